"""The ride store in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backing.left_out import LeftOut
from backing.outbox.outbox import SqlOutbox
from backing.sql.database import Database
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql import scripts
from dispatch.adapters.sql import statements as sql
from dispatch.errors import QuoteUsed
from dispatch.events import RideEvent
from dispatch.model import Intervened, Ride, Shift, ShiftStatus
from dispatch.ports import Carrying, Decide, FreeDriver, Outcome, Scope
from kernel.contracts.topics import RIDE_EVENTS_STREAM
from kernel.idempotency import IdempotencyKey

#: What may be found unreadable, each read as a whole and told apart from the others.
KINDS = ("open ride", "live ride", "trip", "ride aboard", "event")


class SqlRideStore:
    """`RideStore` and `EventTail` over a database that other stores may share; whoever opened it closes it."""

    def __init__(self, database: Database, set_aside: Any = None) -> None:
        """``set_aside`` is a Prometheus counter with the labels region and kind, of what could not be read."""
        self._database = database
        self._outbox = SqlOutbox(database)
        self._left_out = {kind: LeftOut(kind, set_aside) for kind in KINDS}

    async def transact(self, scope: Scope, decide: Decide, idempotency: IdempotencyKey | None = None) -> Outcome:
        """See `RideStore.transact`."""
        try:
            return await self._database.run(
                lambda: scripts.transact(self._database.dialect, scope, decide, idempotency)
            )
        except QuoteUsed as used:
            # Not in the transaction: what it reads before the index refuses may have changed by then.
            rows = await self._database.read(sql.FIND_RIDE_OF_QUOTE, used.quote_id)
            raise QuoteUsed(used.quote_id, *rows[0]) from None

    async def replay(self, idempotency: IdempotencyKey) -> Outcome | None:
        """See `RideStore.replay`."""
        return await self._database.run(lambda: scripts.replay(self._database.dialect, idempotency))

    async def find_ride(self, ride_id: str) -> Ride | None:
        """See `RideStore.find_ride`."""
        rows = await self._database.read(sql.FIND_RIDE, ride_id)
        return scripts.read_ride(rows[0][0]) if rows else None

    async def open_rides(self, region_id: str) -> list[Ride]:
        """See `RideStore.open_rides`."""
        return self._readable("open ride", region_id, await self._database.read(sql.OPEN_RIDES, region_id))

    async def live_rides(self, region_id: str) -> list[Ride]:
        """See `RideStore.live_rides`."""
        return self._readable("live ride", region_id, await self._database.read(sql.LIVE_RIDES, region_id))

    async def latest_trips(self, region_id: str, limit: int) -> list[Ride]:
        """Rides that have been picked up, the newest requests first."""
        return self._readable("trip", region_id, await self._database.read(sql.LATEST_TRIPS, region_id, limit))

    async def free_drivers(self) -> dict[str, FreeDriver]:
        """See `RideStore.free_drivers`."""
        return {row[0]: FreeDriver(*row[1:]) for row in await self._database.read(sql.FREE_DRIVERS)}

    async def carrying_drivers(self, region_id: str) -> list[Carrying]:
        """See `RideStore.carrying_drivers`."""
        carrying, left_out = [], {}
        for row in await self._database.read(sql.CARRYING_DRIVERS, region_id):
            try:
                carrying.append(scripts.read_carrying(row))
            except scripts.UNREADABLE as error:
                left_out[str(row[-1])] = str(error)
        self._left_out["ride aboard"].tell(region_id, left_out)
        return carrying

    async def is_on_shift(self, driver_id: str) -> bool:
        """See `RideStore.is_on_shift`."""
        rows = await self._database.read(sql.SHIFT_OF_DRIVER, driver_id)
        return bool(rows) and rows[0][0] == ShiftStatus.ONLINE

    async def set_shift(self, shift: Shift) -> Shift:
        """See `RideStore.set_shift`."""
        return await self._database.run(lambda: scripts.set_shift(self._database.dialect, shift))

    async def standing_offers(self, driver_id: str) -> list[str]:
        """See `RideStore.standing_offers`."""
        return [offer_id for (offer_id,) in await self._database.read(sql.STANDING_OFFERS_OF_DRIVER, driver_id)]

    async def interventions(self, region_id: str, ride_id: str | None, limit: int) -> list[Intervened]:
        """See `RideStore.interventions`."""
        if ride_id is None:
            rows = await self._database.read(sql.LATEST_INTERVENTIONS, region_id, limit)
        else:
            rows = await self._database.read(sql.INTERVENTIONS_IN_RIDE, region_id, limit, ride_id)
        return [scripts.read_intervened(row) for row in rows]

    async def outbox_progress(self) -> tuple[int, int]:
        """See `RideStore.outbox_progress`."""
        return await self._outbox.progress()

    async def newest_token(self, region_id: str) -> int:
        """See `RideStore.newest_token`."""
        return int((await self._database.read(sql.NEWEST_FENCE, region_id))[0][0])

    async def events_since(self, region_id: str, position: int, limit: int) -> list[tuple[int, RideEvent | None]]:
        """See `EventTail.events_since`."""
        rows = await self._outbox.since(RIDE_EVENTS_STREAM, region_id, position, limit)
        events, left_out = list[tuple[int, RideEvent | None]](), {}
        for at, payload in rows:
            try:
                events.append((at, decode(payload)))
            except scripts.UNREADABLE as error:
                left_out[str(at)] = str(error)
                events.append((at, None))
        self._left_out["event"].tell(region_id, left_out)
        return events

    def _readable(self, kind: str, region_id: str, rows: Sequence[Sequence[Any]]) -> list[Ride]:
        """The rides in rows of ride_id and body, without those that cannot be read: they are named and counted."""
        rides, left_out = [], {}
        for ride_id, body in rows:
            try:
                rides.append(scripts.read_ride(body))
            except scripts.UNREADABLE as error:
                left_out[str(ride_id)] = str(error)
        self._left_out[kind].tell(region_id, left_out)
        return rides

    async def history(self) -> list[str]:
        """Every event ever, as JSON; those of one ride in their order."""
        return await self._outbox.history(RIDE_EVENTS_STREAM)

    async def count_rides(self) -> dict[str, int]:
        """Rides by state."""
        return {row[0]: row[1] for row in await self._database.read(sql.COUNT_RIDES)}
