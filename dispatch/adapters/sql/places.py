"""Makes the places of rides that ended long ago coarse, in their rows and in the messages that are still in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from backing.outbox import scripts as outbox
from backing.sql.database import Database
from backing.sql.scripts import Script, Statement
from dispatch.adapters.sql import statements as sql
from dispatch.adapters.sql.scripts import UNREADABLE, read_ride
from dispatch.model import Ride
from dispatch.rules.kept_places import event_with_coarse_places, needs_no_places, with_coarse_places
from kernel.contracts.topics import RIDE_EVENTS_STREAM

#: Of a region that is served no more.
RESOLUTION_ELSEWHERE = 8


class _Cursor(NamedTuple):
    """The ride up to which all were looked at."""

    requested_s: float
    ride_id: str


_START = _Cursor(float("-inf"), "")


class SqlPlaces:
    """Where rides began and ended; whoever opened the database closes it."""

    def __init__(self, database: Database, resolution_of: Mapping[str, int]) -> None:
        """``resolution_of`` is the H3 resolution of each region's surge cells."""
        self._database = database
        self._resolution_of = resolution_of
        self._cursor = _START

    async def forget(self, before_s: float, limit: int) -> int:
        """Make the places of up to ``limit`` rides coarse that ended before a time, city seconds; return how many.

        Only of rides that have ended, say what is owed, and whose events are all published. Each call goes on after
        the ride where the last one stopped, so that rides which have to wait do not keep others waiting.
        """
        rows = await self._database.read(sql.ENDED_RIDES_WITH_PLACES, before_s, *self._cursor, limit)
        self._cursor = _Cursor(*rows[-1][:2]) if len(rows) == limit else _START
        rides = [ride for row in rows if (ride := _readable(row[2])) is not None and needs_no_places(ride, before_s)]
        if not rides:
            return 0
        return await self._database.run(lambda: _forget(rides, self._resolution_of))

    async def oldest_s(self) -> float | None:
        """When the oldest ended ride was requested whose places are exact, city seconds; None if there is none."""
        oldest_s: float | None = (await self._database.read(sql.OLDEST_PLACES))[0][0]
        return oldest_s


def _readable(body: str) -> Ride | None:
    try:
        return read_ride(body)
    except UNREADABLE:  # set aside and told by who reads it
        return None


def _forget(rides: Sequence[Ride], resolution_of: Mapping[str, int]) -> Script[int]:
    forgotten = 0
    for ride in rides:
        forgotten += yield from _forget_places_of(ride, resolution_of.get(ride.region_id, RESOLUTION_ELSEWHERE))
    return forgotten


def _forget_places_of(ride: Ride, resolution: int) -> Script[int]:
    """Make the places of one ride coarse; return 1, or 0 if it has events to be published or has moved on."""
    messages = yield from outbox.of_key(RIDE_EVENTS_STREAM, ride.ride_id)
    if not all(message.is_published for message in messages):
        return 0
    body = msgspec.json.encode(with_coarse_places(ride, resolution)).decode()
    moved = yield Statement(sql.FORGET_PLACES, (body, ride.ride_id, ride.sequence))
    if not moved:
        return 0
    for message in messages:
        event = event_with_coarse_places(_object(message.payload), resolution)
        if event is not None:
            payload = msgspec.json.encode(event).decode()
            yield from outbox.replace_payload(RIDE_EVENTS_STREAM, ride.ride_id, message.sequence, payload)
    return 1


def _object(payload: str) -> dict[str, Any]:
    return msgspec.json.decode(payload, type=dict[str, Any])
