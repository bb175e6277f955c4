"""The ride store and the outbox in SQL, over whatever runs scripts and reads rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql import scripts
from dispatch.adapters.sql import statements as sql
from dispatch.adapters.sql.scripts import Dialect, Script, Statement
from dispatch.events import RideEvent
from dispatch.model import Ride, Shift
from dispatch.ports import Carrying, Decide, FreeDriver, OutboxRow, Outcome, Scope
from kernel.idempotency import IdempotencyKey

T = TypeVar("T")


class SqlStore(ABC):
    """`RideStore` and `Outbox`; a driver adds how scripts are run and rows are read."""

    _dialect: ClassVar[Dialect]

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed in and let the database go."""

    @abstractmethod
    async def _run(self, script: Callable[[], Script[T]]) -> T:
        """Play a script in one transaction; return once it is durable."""

    @abstractmethod
    async def _read(self, text: str, *parameters: Any) -> Sequence[Any]:
        """Rows as last committed."""

    # -- RideStore ---------------------------------------------------------------------------------------------------

    async def transact(self, scope: Scope, decide: Decide, idempotency: IdempotencyKey | None = None) -> Outcome:
        """See `RideStore.transact`."""
        return await self._run(lambda: scripts.transact(self._dialect, scope, decide, idempotency))

    async def replay(self, idempotency: IdempotencyKey) -> Outcome | None:
        """See `RideStore.replay`."""
        return await self._run(lambda: scripts.replay(idempotency))

    async def find_ride(self, ride_id: str) -> Ride | None:
        """See `RideStore.find_ride`."""
        rows = await self._read(sql.FIND_RIDE, ride_id)
        return scripts.read_ride(rows[0][0]) if rows else None

    async def open_rides(self, region_id: str) -> list[Ride]:
        """See `RideStore.open_rides`."""
        return [scripts.read_ride(body) for (body,) in await self._read(sql.OPEN_RIDES, region_id)]

    async def live_rides(self, region_id: str) -> list[Ride]:
        """See `RideStore.live_rides`."""
        return [scripts.read_ride(body) for (body,) in await self._read(sql.LIVE_RIDES, region_id)]

    async def latest_trips(self, region_id: str, limit: int) -> list[Ride]:
        """Rides that have been picked up, the newest requests first."""
        return [scripts.read_ride(body) for (body,) in await self._read(sql.LATEST_TRIPS, region_id, limit)]

    async def free_drivers(self) -> dict[str, FreeDriver]:
        """See `RideStore.free_drivers`."""
        return {row[0]: FreeDriver(*row[1:]) for row in await self._read(sql.FREE_DRIVERS)}

    async def carrying_drivers(self, region_id: str) -> list[Carrying]:
        """See `RideStore.carrying_drivers`."""
        return [scripts.read_carrying(row) for row in await self._read(sql.CARRYING_DRIVERS, region_id)]

    async def set_shift(self, shift: Shift) -> Shift:
        """See `RideStore.set_shift`."""
        return await self._run(lambda: scripts.set_shift(self._dialect, shift))

    async def outbox_progress(self) -> tuple[int, int]:
        """See `RideStore.outbox_progress`."""
        committed, published = (await self._read(sql.PROGRESS))[0]
        return committed, published

    async def newest_token(self, region_id: str) -> int:
        """See `RideStore.newest_token`."""
        return int((await self._read(sql.NEWEST_FENCE, region_id))[0][0])

    # -- Outbox ------------------------------------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[OutboxRow]:
        """See `Outbox.unpublished`."""
        return [scripts.read_outbox_row(row) for row in await self._read(sql.UNPUBLISHED, limit)]

    async def newest_rows(self, limit: int) -> list[OutboxRow]:
        """See `Outbox.newest_rows`."""
        return [scripts.read_outbox_row(row) for row in await self._read(sql.NEWEST_ROWS, limit)]

    async def newest_published(self) -> int:
        """See `Outbox.newest_published`."""
        return int((await self._read(sql.PUBLISHED))[0][0])

    async def mark_published(self, position: int) -> None:
        """See `Outbox.mark_published`."""
        await self._run(lambda: _one(Statement(sql.MARK_PUBLISHED, (position,))))

    async def events_since(self, region_id: str, position: int, limit: int) -> list[tuple[int, RideEvent]]:
        """See `EventTail.events_since`."""
        rows = await self._read(sql.EVENTS_SINCE, region_id, position, limit)
        return [(at, decode(payload)) for at, payload in rows]

    async def history(self) -> list[str]:
        """Every event ever, as JSON; those of one ride in their order."""
        return [payload for (payload,) in await self._read(sql.HISTORY)]

    async def count_rides(self) -> dict[str, int]:
        """Rides by state."""
        return dict(await self._read(sql.COUNT_RIDES))


def _one(statement: Statement) -> Script[None]:
    yield statement
