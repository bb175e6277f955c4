"""The rule of supply: whose position counts, who is idle, and in which state a driver is shown.

Dispatch, pricing, the API and the simulator judge drivers by these functions alone. All arrays have shape (n,), one
place per driver; times are city seconds. Decision 095.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]

#: `stale_after_s` where a city's file does not set it: fifteen pings missed at the usual 4 s.
STALE_AFTER_S = 60.0


class DriverState(StrEnum):
    """What a driver is doing; beside each the word of the Mobility Data Specification, passenger services."""

    OFFLINE = "OFFLINE"  # non_operational
    IDLE = "IDLE"  # available
    OFFERED = "OFFERED"  # available
    TO_PICKUP = "TO_PICKUP"  # reserved
    AT_PICKUP = "AT_PICKUP"  # stopped
    ON_TRIP = "ON_TRIP"  # on_trip
    STALE = "STALE"  # non_contactable


#: The states of a driver who is on the way to a rider, or has one.
BUSY = frozenset({DriverState.TO_PICKUP, DriverState.AT_PICKUP, DriverState.ON_TRIP})


@dataclass(frozen=True, slots=True)
class Duties:
    """What drivers are bound to, as shifts, offers and rides say.

    A driver with a rider aboard may also have an offer or be on the way to the next pickup.
    """

    is_on_shift: BoolArray
    has_offer: BoolArray
    is_to_pickup: BoolArray
    is_at_pickup: BoolArray
    is_on_trip: BoolArray

    @property
    def is_free(self) -> BoolArray:
        """Who is on shift with neither an offer nor a ride."""
        return is_free(self.is_on_shift, self.has_offer | self.is_to_pickup | self.is_at_pickup | self.is_on_trip)


def is_fresh(seen_s: ArrayLike, now_s: float, stale_after_s: float) -> BoolArray:
    """Whose position still says where the driver is: the newest ping is at most ``stale_after_s`` old.

    ``seen_s`` are the times of the newest pings; of a driver who was never seen -inf or NaN. A time after ``now_s``,
    from a clock that is ahead, is fresh: ingestion bounds how far ahead it may be.
    """
    return np.asarray(now_s - np.asarray(seen_s, np.float64) <= stale_after_s)


def is_free(is_on_shift: BoolArray, is_bound: BoolArray) -> BoolArray:
    """Who could take a ride at once if their position were known; bound is who has an offer or a ride."""
    return is_on_shift & ~is_bound


def is_idle(is_free: BoolArray, is_fresh: BoolArray) -> BoolArray:
    """Who is supply: may be asked now, counts against surge, and gives a quote its pickup time."""
    return is_free & is_fresh


def driver_states(duties: Duties, is_fresh: BoolArray) -> list[DriverState]:
    """The state of each driver; with a rider aboard it is ON_TRIP, whatever comes next.

    IDLE are exactly those whom `is_idle` finds; STALE is who is on shift, busy or not, without a fresh position.
    """
    ordered = tuple(DriverState)
    cases = [
        (~duties.is_on_shift, DriverState.OFFLINE),
        (~is_fresh, DriverState.STALE),
        (duties.is_on_trip, DriverState.ON_TRIP),
        (duties.is_at_pickup, DriverState.AT_PICKUP),
        (duties.is_to_pickup, DriverState.TO_PICKUP),
        (duties.has_offer, DriverState.OFFERED),
    ]
    conditions, states = zip(*cases, strict=True)
    code = np.select(conditions, [ordered.index(state) for state in states], ordered.index(DriverState.IDLE))
    return [ordered[at] for at in code.tolist()]
