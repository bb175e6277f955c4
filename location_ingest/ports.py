"""Ports of ingestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from location_ingest.columns import PingColumns, PositionColumns
from location_ingest.model import DeadLetter, LastPings, RawMessage, Reason, RejectedPing, UnbelievedPing


class PingLog(Protocol):
    """A durable log of ping groups, ordered per region."""

    async def append(self, group: PingColumns) -> None:
        """Return when every replica has the group; raises an Exception if it cannot have it in time."""
        ...


class PingReader(Protocol):
    """Decodes groups of pings."""

    def decode(self, message: RawMessage) -> PingColumns:
        """Return the group; raises UndecodableMessage, and nothing else, for anything that is none."""
        ...


class DeadLetters(Protocol):
    """A durable log of undecodable messages."""

    async def append(self, letter: DeadLetter) -> None:
        """Return when every replica has the letter; raises an Exception if it cannot have it in time."""
        ...


class Cells(Protocol):
    """Drivers by cell. The newest position wins, whatever the order of writes."""

    async def put(self, region_id: str, positions: PositionColumns, rejected: Mapping[Reason, int]) -> int:
        """Store the positions that are newer than what is stored, and count both kinds; all or nothing.

        Returns how many were newer, the earlier positions of each driver included.
        """
        ...

    async def read(self, region_id: str, cells: Sequence[str]) -> dict[str, bytes]:
        """Return the packed position of every driver in the cells, by driver."""
        ...

    async def last_times_s(self, region_id: str, driver_ids: Sequence[str]) -> dict[str, float]:
        """Return the city time of the stored position of those drivers that have one."""
        ...

    async def remove(self, region_id: str, driver_ids: Sequence[str]) -> int:
        """Take the drivers out; returns how many were in."""
        ...

    async def sweep(self, region_id: str, *, before_s: float, after_s: float) -> int:
        """Take out every driver whose position is older than `before_s` or newer than `after_s`; returns how many.

        With each, and not without, a DriverWentStale is told.
        """
        ...


class Standings(Protocol):
    """Why drivers do not count, for their phones."""

    async def mark(self, region_id: str, unbelieved: Sequence[UnbelievedPing]) -> None:
        """Keep for some minutes that the newest ping of these drivers was not believed, and why."""
        ...

    async def read(self, region_id: str, driver_ids: Sequence[str]) -> dict[str, LastPings]:
        """Return the last ping of each of these drivers that was believed, and the last that was not."""
        ...


class RejectionSamples(Protocol):
    """Samples of rejected pings for operators."""

    async def add(self, region_id: str, samples: Sequence[RejectedPing]) -> None:
        """Keep the samples, the oldest first, and forget the oldest of too many."""
        ...
