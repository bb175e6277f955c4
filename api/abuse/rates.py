"""How many requests a person may send: the generic cell rate algorithm (GCRA). Pure: the time is an argument.

One number is kept for each person and kind of route, the *theoretical arrival time*: when the whole budget is there
again. Each request moves it by one interval; a request that would move it farther ahead than the burst is refused.
Times are whole microseconds of any one clock, so that `gcra.lua`, which counts for all processes, gives the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from api.auth.tokens import Principal, Role

US_PER_S = 1_000_000


class RouteKind(StrEnum):
    """What is counted apart, so that no kind of request can use up what another one needs."""

    READS = "reads"
    WRITES = "writes"
    #: Batches of pings by HTTP; those of streams have budgets of their own (`api.streams.budgets`).
    PINGS = "pings"


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests that may come at once after a silence, and steadily."""

    burst: int
    per_s: float

    def __post_init__(self) -> None:
        if not (self.burst >= 1 and math.isfinite(self.per_s) and self.per_s > 0.0):
            raise ValueError(f"a rate has a burst of 1 or more and a positive number a second, not {self}")

    @property
    def interval_us(self) -> int:
        """Microseconds in which one more request may come."""
        return max(1, round(US_PER_S / self.per_s))

    @property
    def window_s(self) -> int:
        """Seconds in which the whole burst is there again."""
        return math.ceil(self.burst * self.interval_us / US_PER_S)

    def scaled(self, factor: float) -> Rate:
        """A rate that allows so many times as much."""
        return Rate(max(1, round(self.burst * factor)), self.per_s * factor)


#: A phone sends a request each few seconds, and some ten when it comes back from a tunnel: this is far above both, and
#: far below what would be felt by others. The numbers of reads are those of a stream's frames.
_PERSON = {RouteKind.READS: Rate(200, 20.0), RouteKind.WRITES: Rate(100, 10.0), RouteKind.PINGS: Rate(100, 10.0)}
#: Operators share a token among those who watch the map.
_OPERATOR = {kind: rate.scaled(10.0) for kind, rate in _PERSON.items()}
RATES: Mapping[Role, Mapping[RouteKind, Rate]] = {
    Role.RIDER: _PERSON,
    Role.DRIVER: _PERSON,
    Role.OPERATOR: _OPERATOR,
}


def kind_of(method: str) -> RouteKind:
    """The kind of a route other than that of pings."""
    return RouteKind.READS if method in ("GET", "HEAD") else RouteKind.WRITES


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request, and what is left after it."""

    is_allowed: bool
    #: Requests that may be sent at once now.
    left: int
    #: Until one more may come, if this one may not.
    wait_us: int
    #: Until the whole burst is there again.
    full_us: int

    @property
    def retry_after_s(self) -> int:
        """Whole seconds to wait, never shorter than needed."""
        return max(1, math.ceil(self.wait_us / US_PER_S))


def take(rate: Rate, arrival_us: int, now_us: int) -> tuple[Verdict, int]:
    """Judge a request by the theoretical arrival time before it; return the time after it. 0 is that of a newcomer."""
    interval_us, ahead_us = rate.interval_us, max(0, arrival_us - now_us)
    room_us = rate.burst * interval_us - ahead_us
    if room_us < interval_us:
        return Verdict(is_allowed=False, left=0, wait_us=interval_us - room_us, full_us=ahead_us), arrival_us
    left = (room_us - interval_us) // interval_us
    return Verdict(
        is_allowed=True, left=left, wait_us=0, full_us=ahead_us + interval_us
    ), now_us + ahead_us + interval_us


def key_of(principal: Principal, kind: RouteKind) -> tuple[str, str]:
    """What a budget is kept under: the kind and the person."""
    return kind.value, principal.inbox
