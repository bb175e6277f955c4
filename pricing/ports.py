"""What pricing needs of the world."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pricing.model import SupplySnapshot, SurgePrice


@dataclass(frozen=True, slots=True)
class ConsumedEvent:
    """The identity of one event of a ride, and when it happened."""

    ride_id: str
    sequence: int
    at_s: float


class SurgePrices(Protocol):
    """The multipliers that all processes of a region see."""

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        """Return the multiplier of a cell as it counts at ``now_s``; 1.0 where nothing, or nothing fresh, is known."""
        ...

    async def read_many(self, cells: Iterable[int], now_s: float) -> list[SurgePrice]:
        """Return the same for many cells, in their order."""
        ...

    async def write(self, multiplier_of: Mapping[int, float], now_s: float) -> None:
        """Set or renew the multipliers of these cells, all at once."""
        ...


class ConsumedEvents(Protocol):
    """The count of ride events that outlives the process."""

    async def count(self, events: Sequence[ConsumedEvent]) -> int:
        """Count each (ride_id, sequence) once, whoever brings it how often; return how many of these were new.

        The events of one ride come in the order of their sequences.
        """
        ...


class Supply(Protocol):
    """The drivers of a region."""

    async def snapshot(self, busy_drivers: Collection[str], now_s: float) -> SupplySnapshot:
        """Return the drivers whose position is fresh at ``now_s``; idle are those not in ``busy_drivers``."""
        ...
