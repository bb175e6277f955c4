"""The ride store in SQL."""

from __future__ import annotations

from backing.outbox.outbox import SqlOutbox
from backing.sql.database import Database
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql import scripts
from dispatch.adapters.sql import statements as sql
from dispatch.events import RideEvent
from dispatch.model import Ride, Shift
from dispatch.ports import Carrying, Decide, FreeDriver, Outcome, Scope
from kernel.contracts.topics import RIDE_EVENTS_STREAM
from kernel.idempotency import IdempotencyKey


class SqlRideStore:
    """`RideStore` and `EventTail` over a database that other stores may share; whoever opened it closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._outbox = SqlOutbox(database)

    async def transact(self, scope: Scope, decide: Decide, idempotency: IdempotencyKey | None = None) -> Outcome:
        """See `RideStore.transact`."""
        return await self._database.run(lambda: scripts.transact(self._database.dialect, scope, decide, idempotency))

    async def replay(self, idempotency: IdempotencyKey) -> Outcome | None:
        """See `RideStore.replay`."""
        return await self._database.run(lambda: scripts.replay(idempotency))

    async def find_ride(self, ride_id: str) -> Ride | None:
        """See `RideStore.find_ride`."""
        rows = await self._database.read(sql.FIND_RIDE, ride_id)
        return scripts.read_ride(rows[0][0]) if rows else None

    async def open_rides(self, region_id: str) -> list[Ride]:
        """See `RideStore.open_rides`."""
        return [scripts.read_ride(body) for (body,) in await self._database.read(sql.OPEN_RIDES, region_id)]

    async def live_rides(self, region_id: str) -> list[Ride]:
        """See `RideStore.live_rides`."""
        return [scripts.read_ride(body) for (body,) in await self._database.read(sql.LIVE_RIDES, region_id)]

    async def latest_trips(self, region_id: str, limit: int) -> list[Ride]:
        """Rides that have been picked up, the newest requests first."""
        return [scripts.read_ride(body) for (body,) in await self._database.read(sql.LATEST_TRIPS, region_id, limit)]

    async def free_drivers(self) -> dict[str, FreeDriver]:
        """See `RideStore.free_drivers`."""
        return {row[0]: FreeDriver(*row[1:]) for row in await self._database.read(sql.FREE_DRIVERS)}

    async def carrying_drivers(self, region_id: str) -> list[Carrying]:
        """See `RideStore.carrying_drivers`."""
        return [scripts.read_carrying(row) for row in await self._database.read(sql.CARRYING_DRIVERS, region_id)]

    async def set_shift(self, shift: Shift) -> Shift:
        """See `RideStore.set_shift`."""
        return await self._database.run(lambda: scripts.set_shift(self._database.dialect, shift))

    async def outbox_progress(self) -> tuple[int, int]:
        """See `RideStore.outbox_progress`."""
        return await self._outbox.progress()

    async def newest_token(self, region_id: str) -> int:
        """See `RideStore.newest_token`."""
        return int((await self._database.read(sql.NEWEST_FENCE, region_id))[0][0])

    async def events_since(self, region_id: str, position: int, limit: int) -> list[tuple[int, RideEvent]]:
        """See `EventTail.events_since`."""
        rows = await self._outbox.since(RIDE_EVENTS_STREAM, region_id, position, limit)
        return [(at, decode(payload)) for at, payload in rows]

    async def history(self) -> list[str]:
        """Every event ever, as JSON; those of one ride in their order."""
        return await self._outbox.history(RIDE_EVENTS_STREAM)

    async def count_rides(self) -> dict[str, int]:
        """Rides by state."""
        return {row[0]: row[1] for row in await self._database.read(sql.COUNT_RIDES)}
