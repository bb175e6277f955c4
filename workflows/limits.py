"""What one rider may do at once, and the word to operators about who does far more than people do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from dispatch.model import LimitParams
from kernel.points import Point
from workflows.errors import TooManyCancellations, TooManyQuotes

log = structlog.get_logger(__name__)

#: City seconds that an unanswered quote counts: the life of a quote.
QUOTES_WINDOW_S = 300.0
CANCELLATIONS_WINDOW_S = 3600.0
SWARM_WINDOW_S = 300.0
#: Decimals of degrees by which points are one: about ten metres.
SWARM_DECIMALS = 4


class Counted(StrEnum):
    """What is counted, and of whom."""

    QUOTES = "quotes"
    CANCELLATIONS = "cancellations"
    RIDERS_AT_POINT = "riders_at_point"


class FlagKind(StrEnum):
    """What operators should look at."""

    QUOTE_STORM = "quote_storm"
    CANCEL_LOOP = "cancel_loop"
    SWARM = "swarm"


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
        """Count a thing once, unless ``at_most`` others are counted in the window; 0 is no limit."""
        ...

    async def read(self, what: Counted, subject: str, now_s: float, window_s: float, at_most: int) -> Count:
        """Return what is counted; ``room_s`` is when fewer than ``at_most`` will be."""
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
        if not self.params.swarm_riders:
            return
        point = f"{pickup.lat_deg:.{SWARM_DECIMALS}f},{pickup.lng_deg:.{SWARM_DECIMALS}f}"
        near = await self.counts.add(Counted.RIDERS_AT_POINT, point, rider_id, now_s, SWARM_WINDOW_S, 0)
        if near.count >= self.params.swarm_riders:
            await self.counts.flag(Flag(FlagKind.SWARM, point, now_s, near.count, SWARM_WINDOW_S))

    async def answer_quote(self, rider_id: str, quote_id: str) -> None:
        """A quote has become a ride, and counts no more."""
        await _if_it_can(self.counts.forget(Counted.QUOTES, rider_id, quote_id))

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


async def _if_it_can(counting: Awaitable[object]) -> None:
    """Await a count after the fact: what it is about is committed, and stands without it."""
    try:
        await counting
    except Exception:  # the store of counts is away
        log.warning("not_counted", exc_info=True)
