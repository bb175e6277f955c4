"""What one rider may do at once, and the word to operators about who does far more than people do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from dispatch.model import LimitParams
from dispatch.ports import FreeDriver
from kernel.points import Point
from workflows.errors import TooManyCancellations, TooManyQuotes
from workflows.ports import Now

log = structlog.get_logger(__name__)

#: City seconds that an unanswered quote counts: the life of a quote.
QUOTES_WINDOW_S = 300.0
CANCELLATIONS_WINDOW_S = 3600.0
SWARM_WINDOW_S = 300.0
#: Wall seconds between two looks for swarms of drivers.
LOOK_EVERY_S = 15.0
#: Decimals of degrees by which points are one: about ten metres.
SWARM_DECIMALS = 4


class Counted(StrEnum):
    """What is counted, and of whom."""

    QUOTES = "quotes"
    CANCELLATIONS = "cancellations"
    RIDERS_AT_POINT = "riders_at_point"
    RIDERS_WHO_REQUESTED = "riders_who_requested"


class FlagKind(StrEnum):
    """What operators should look at."""

    QUOTE_STORM = "quote_storm"
    CANCEL_LOOP = "cancel_loop"
    SWARM = "swarm"
    DRIVER_SWARM = "driver_swarm"


@dataclass(frozen=True, slots=True)
class Flag:
    """Somebody, or a point, that does far more than people do."""

    kind: FlagKind
    #: The rider's id, or the point as `lat,lng`.
    subject: str
    at_s: float
    count: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Count:
    """How many things of a window are counted, after the call."""

    count: int
    #: When one of them will be out of the window, so that there is room; city seconds.
    room_s: float
    is_added: bool = True


class PersonCounts(Protocol):
    """Counts of things in moving windows, and flags; shared by all processes, each call as a whole."""

    async def add(self, what: Counted, subject: str, thing: str, now_s: float, window_s: float, at_most: int) -> Count:
        """Count a thing once, from its first time on, unless ``at_most`` others are in the window; 0 is no limit."""
        ...

    async def read(
        self, what: Counted, subject: str, now_s: float, window_s: float, at_most: int, until_s: float | None = None
    ) -> Count:
        """Return what was counted first by ``until_s``; ``room_s`` is when fewer than ``at_most`` will be."""
        ...

    async def forget(self, what: Counted, subject: str, thing: str) -> None:
        """Count a thing no more."""
        ...

    async def flag(self, flag: Flag) -> None:
        """Tell operators, once in a while for each kind and subject."""
        ...


@dataclass(frozen=True, slots=True)
class RiderLimits:
    """The limits of a region."""

    params: LimitParams
    counts: PersonCounts
    #: Wall seconds of a stretch of city time.
    wall_duration_s: Callable[[float], float]

    async def take_quote(self, rider_id: str, quote_id: str, pickup: Point, now_s: float) -> None:
        """Count a quote that is asked for. Raises TooManyQuotes."""
        at_most = self.params.unanswered_quotes_max
        held = await self.counts.add(Counted.QUOTES, rider_id, quote_id, now_s, QUOTES_WINDOW_S, at_most)
        if not held.is_added:
            await self.counts.flag(Flag(FlagKind.QUOTE_STORM, rider_id, now_s, held.count, QUOTES_WINDOW_S))
            text = f"You have {held.count} quotes that you have not answered, of at most {at_most}."
            raise TooManyQuotes(text, self.wall_duration_s(held.room_s - now_s))
        await self._watch_point(rider_id, pickup, now_s)

    async def _watch_point(self, rider_id: str, pickup: Point, now_s: float) -> None:
        """Flag riders who ask at one point, had time to decide, and hardly ever take what they asked for."""
        params, point = self.params, point_name(pickup)
        if not params.swarm_riders:
            return
        near = await self.counts.add(Counted.RIDERS_AT_POINT, point, rider_id, now_s, SWARM_WINDOW_S, 0)
        if near.count < params.swarm_riders:
            return
        thought_s = now_s - params.swarm_decision_s
        asked = await self.counts.read(Counted.RIDERS_AT_POINT, point, now_s, SWARM_WINDOW_S, 0, thought_s)
        took = await self.counts.read(Counted.RIDERS_WHO_REQUESTED, point, now_s, SWARM_WINDOW_S, 0)
        if asked.count >= params.swarm_riders and took.count < params.swarm_requests_share_max * asked.count:
            await self.counts.flag(Flag(FlagKind.SWARM, point, now_s, asked.count, SWARM_WINDOW_S))

    async def answer_quote(self, rider_id: str, quote_id: str, pickup: Point, now_s: float) -> None:
        """A quote has become a ride, and counts no more."""
        await _if_it_can(self.counts.forget(Counted.QUOTES, rider_id, quote_id))
        if self.params.swarm_riders:
            what, point = Counted.RIDERS_WHO_REQUESTED, point_name(pickup)
            await _if_it_can(self.counts.add(what, point, rider_id, now_s, SWARM_WINDOW_S, 0))

    async def require_few_cancellations(self, rider_id: str, now_s: float) -> None:
        """Raise TooManyCancellations if the rider cancelled too many rides within an hour."""
        at_most = self.params.cancellations_per_hour_max
        held = await self.counts.read(Counted.CANCELLATIONS, rider_id, now_s, CANCELLATIONS_WINDOW_S, at_most)
        if not at_most or held.count < at_most:
            return
        await self.counts.flag(Flag(FlagKind.CANCEL_LOOP, rider_id, now_s, held.count, CANCELLATIONS_WINDOW_S))
        text = f"You have cancelled {held.count} rides within an hour, of at most {at_most}."
        raise TooManyCancellations(text, self.wall_duration_s(held.room_s - now_s))

    async def count_cancellation(self, rider_id: str, ride_id: str, now_s: float) -> None:
        """Count a ride that its rider cancelled, once. To cancel is always allowed: a driver is on the way."""
        adding = self.counts.add(Counted.CANCELLATIONS, rider_id, ride_id, now_s, CANCELLATIONS_WINDOW_S, 0)
        await _if_it_can(adding)


def point_name(point: Point) -> str:
    """Return the point as `lat,lng`, the same for all within about ten metres."""
    return f"{point.lat_deg:.{SWARM_DECIMALS}f},{point.lng_deg:.{SWARM_DECIMALS}f}"


@dataclass(frozen=True, slots=True)
class DriverSwarms:
    """Tells operators of many drivers at one point who never take an offer: made-up supply that moves prices."""

    params: LimitParams
    counts: PersonCounts
    #: Where the idle drivers of the region are, with what they did with offers.
    idle_drivers: Callable[[], Awaitable[Sequence[tuple[Point, FreeDriver]]]]
    now: Now

    async def look(self) -> None:
        """Flag the swarms of this moment. Raises what the stores raise."""
        if not self.params.swarm_drivers:
            return
        now_s, at_point = self.now(), Counter[str]()
        for point, driver in await self.idle_drivers():
            if not driver.offers_accepted and driver.offers_answered >= self.params.swarm_offers_min:
                at_point[point_name(point)] += 1
        for name, count in sorted(at_point.items()):
            if count >= self.params.swarm_drivers:
                await self.counts.flag(Flag(FlagKind.DRIVER_SWARM, name, now_s, count, 0.0))

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # a store is away: the next look says so, or is well
                log.warning("driver_swarms_not_looked_for", error=repr(error))
            await asyncio.sleep(LOOK_EVERY_S)


async def _if_it_can(counting: Awaitable[object]) -> None:
    """Await a count after the fact: what it is about is committed, and stands without it."""
    try:
        await counting
    except Exception:  # the store of counts is away
        log.warning("not_counted", exc_info=True)
