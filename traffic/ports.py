"""What learning traffic needs from the world, named for the need."""

from __future__ import annotations

from typing import Protocol

from geo.arrays import FloatArray
from traffic.model import Evidence, Refusal, Weights


class WeightsUnusable(Exception):
    """What is stored are not weights of these roads; the message says why."""


class WeightsReads(Protocol):
    """The weights in force of one region."""

    async def stamp(self) -> tuple[int, int] | None:
        """Return (epoch, version) of the weights, which differ whenever the weights do; None if there are none."""
        ...

    async def read(self) -> Weights | None:
        """Return the weights that were put last; None if there are none. Raises WeightsUnusable."""
        ...


class WeightsStore(WeightsReads, Protocol):
    """The same, for the one process that makes them."""

    async def claim(self) -> int:
        """Return a new epoch, higher than all before: what holders of an older one put is refused from now on."""
        ...

    async def put(self, epoch: int, factor: FloatArray, now_s: float, evidence: Evidence) -> int | None:
        """Put factors (m,) in force at once and as a whole; return their version, None if the epoch is outdated."""
        ...

    async def note_refusal(self, epoch: int, refusal: Refusal, now_s: float, evidence: Evidence) -> None:
        """Count a refused update, and keep what it stood on; an outdated epoch changes nothing."""
        ...
