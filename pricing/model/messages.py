"""Messages that pricing reads from topics. They refuse wrong values at birth with ValueError."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kernel.points import Point

ID_CHARS_MAX = 200
#: From here on the counting function, whose numbers are doubles, could not tell two sequences apart.
SEQUENCE_END = 2**53
#: Seconds since 1970; far beyond any real time, and small enough that milliseconds are exact as doubles.
MOMENT_END_S = 2.0**43


@dataclass(frozen=True, slots=True)
class RideEvent:
    """One event of a ride, from the topic ride.events. Fields that pricing does not use are left out."""

    event: str
    ride_id: str
    sequence: int
    at_s: float
    region_id: str
    pickup: Point | None = None
    rider_id: str = ""

    def __post_init__(self) -> None:
        _require_id("ride_id", self.ride_id)
        _require_id("region_id", self.region_id)
        _require_moment("at_s", self.at_s)
        if not 1 <= self.sequence < SEQUENCE_END:
            raise ValueError(f"sequence must be from 1 to below 2^53, not {self.sequence}")
        if self.event == "RideRequested" and self.pickup is None:
            raise ValueError("RideRequested lacks its pickup")


@dataclass(frozen=True, slots=True)
class QuoteAsked:
    """A rider was told a price, from the topic quotes.asked."""

    quote_id: str
    rider_id: str
    at_s: float
    region_id: str
    pickup: Point
    event: Literal["QuoteAsked"]

    def __post_init__(self) -> None:
        for name in ("quote_id", "rider_id", "region_id"):
            _require_id(name, getattr(self, name))
        _require_moment("at_s", self.at_s)


def _require_id(name: str, value: str) -> None:
    if not 1 <= len(value) <= ID_CHARS_MAX:
        raise ValueError(f"{name} must have 1 to {ID_CHARS_MAX} characters, not {len(value)}")


def _require_moment(name: str, value: float) -> None:
    if not 0.0 <= value < MOMENT_END_S:
        raise ValueError(f"{name} must be seconds since 1970 from 0 to below 2^43, not {value}")
