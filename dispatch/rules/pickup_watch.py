"""Detects drivers who will not reach their pickup: silent for too long, or without progress on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dispatch.model import DispatchParams, Ride
from kernel.supply import is_fresh

SILENT = "gps_silence"
STALLED = "pickup_stalled"
#: A smaller gain is not progress: positions snap to one crossing and back to another.
PROGRESS_S = 10.0
#: Nobody this near to the pickup counts as stalled: they look for the door, or wait for a light.
NEAR_S = 60.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest position of a ride's driver: when it was taken, and seconds from there to the pickup by road.

    The seconds are None while the driver still has another rider aboard.
    """

    t_s: float
    remaining_s: float | None


@dataclass(slots=True)
class _Way:
    """The progress of one driver: the shortest remaining time so far, when it was reached, and the last ping."""

    driver_id: str
    remaining_s: float
    nearest_since_s: float
    last_ping_s: float


class PickupWatch:
    """Follows the drivers on their way to a pickup. A new watch gives every driver the full time again.

    If no driver of the region has a fresh position, the fault is in the stream of pings and not with the drivers:
    nobody is reported, and everybody gets the full time again.
    """

    def __init__(self, params: DispatchParams) -> None:
        self._params = params
        self._ways: dict[str, _Way] = {}

    def look(
        self, rides: Sequence[Ride], sightings: Mapping[str, Sighting], newest_s: float | None, now_s: float
    ) -> Iterator[tuple[Ride, str]]:
        """Rides to take back, each with the reason.

        `rides` are all that wait for their driver; while that driver has another rider aboard, silence alone counts.
        `sightings` holds the rides whose driver has a position; `newest_s` is the time of the newest one in the region.
        """
        if newest_s is None or not is_fresh(newest_s, now_s, self._params.stale_after_s):
            self._ways.clear()
            return
        before, self._ways = self._ways, {}
        for ride in rides:
            way = self._follow(before.get(ride.ride_id), ride, sightings.get(ride.ride_id), now_s)
            self._ways[ride.ride_id] = way
            if now_s - way.last_ping_s > self._params.silent_after_s:
                yield ride, SILENT
            elif way.remaining_s > NEAR_S and now_s - way.nearest_since_s > self._params.stalled_after_s:
                yield ride, STALLED

    @staticmethod
    def _follow(way: _Way | None, ride: Ride, seen: Sighting | None, now_s: float) -> _Way:
        if way is None or way.driver_id != ride.driver_id:
            way = _Way(ride.driver_id or "", float("inf"), now_s, now_s)
        if seen is not None:
            way.last_ping_s = max(way.last_ping_s, seen.t_s)
            if seen.remaining_s is None:
                way.nearest_since_s = now_s
            elif seen.remaining_s < way.remaining_s - PROGRESS_S:
                way.remaining_s, way.nearest_since_s = seen.remaining_s, now_s
        return way
