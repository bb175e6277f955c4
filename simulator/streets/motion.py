"""Movements of drivers: a polyline through the streets with the time at which each corner is reached."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kernel.points import Point
from simulator.model import Position


class Movement(Protocol):
    """A movement: positions over time."""

    @property
    def arrival_s(self) -> float:
        """When the end is reached."""
        ...

    @property
    def end_stop(self) -> int:
        """The stop where it ends."""
        ...

    def at(self, now_s: float) -> Position:
        """The position at a time."""
        ...

    def next_corner(self, now_s: float) -> tuple[int, float]:
        """The stop where the driver can first turn off, and when that is reached."""
        ...


@dataclass(frozen=True, slots=True)
class Motion:
    """A way along p corners; before its first moment the driver stands at the first, after its last at the last.

    Attributes:
        stop: (p,) the stop at each corner (`simulator.streets.stops`), a node at all but the first and the last; a way
            that starts where no stop is names the one it leads to.
        reach_s: (p,) when each corner is reached, ascending.
        lat_deg, lng_deg: (p,) where it is.
        heading_deg, speed_mps: (p - 1,) of the stretch that leaves each corner but the last.
    """

    stop: tuple[int, ...]
    reach_s: tuple[float, ...]
    lat_deg: tuple[float, ...]
    lng_deg: tuple[float, ...]
    heading_deg: tuple[float, ...]
    speed_mps: tuple[float, ...]

    @classmethod
    def standing(cls, stop: int, point: Point, now_s: float) -> Motion:
        """Rest at a stop, which is at the point."""
        return cls((stop,), (now_s,), (point.lat_deg,), (point.lng_deg,), (), ())

    @property
    def arrival_s(self) -> float:
        """When the last corner is reached."""
        return self.reach_s[-1]

    @property
    def end_stop(self) -> int:
        """The stop where it ends."""
        return self.stop[-1]

    def at(self, now_s: float) -> Position:
        """Return the position at a time; a straight line from corner to corner. Python numbers: 1 µs, no arrays."""
        corner = bisect_right(self.reach_s, now_s)
        if corner == 0:
            return Position(self.lat_deg[0], self.lng_deg[0], None, 0.0)
        if corner == len(self.reach_s):
            return Position(self.lat_deg[-1], self.lng_deg[-1], None, 0.0)
        left_s, right_s = self.reach_s[corner - 1], self.reach_s[corner]
        share = (now_s - left_s) / (right_s - left_s)
        lat_deg, lng_deg = self.lat_deg[corner - 1], self.lng_deg[corner - 1]
        return Position(
            lat_deg + share * (self.lat_deg[corner] - lat_deg),
            _between_deg(lng_deg, self.lng_deg[corner], share),
            self.heading_deg[corner - 1],
            self.speed_mps[corner - 1],
        )

    def next_corner(self, now_s: float) -> tuple[int, float]:
        """Return (stop, reach_s): where the driver can first turn off, not before now; a driver at rest can at once."""
        if now_s >= self.arrival_s or len(self.stop) == 1:
            return self.stop[-1], now_s
        corner = bisect_left(self.reach_s, now_s, lo=1)
        return self.stop[corner], self.reach_s[corner]


def _between_deg(from_deg: float, to_deg: float, share: float) -> float:
    """The longitude at a share of the short way from one to another, -180 to 180."""
    east_deg = to_deg - from_deg
    if abs(east_deg) <= 180.0:
        return from_deg + share * east_deg
    lng_deg = from_deg + share * (east_deg - math.copysign(360.0, east_deg))
    return lng_deg if abs(lng_deg) <= 180.0 else lng_deg - math.copysign(360.0, lng_deg)


class Drive:
    """A way of known duration and length, whose corners are searched only if someone asks what lies between its ends.

    In virtual time hardly anybody does: a driver who is not called back is only ever met at the end of the way.
    """

    __slots__ = ("_corners", "_search", "arrival_s", "begin_s", "end_stop", "length_m", "point")

    def __init__(
        self,
        end_stop: int,
        point: Point,
        begin_s: float,
        arrival_s: float,
        length_m: float,
        search: Callable[[], Motion],
    ) -> None:
        """`end_stop` and `point` are where it ends; `search` finds the corners."""
        self.end_stop = end_stop
        self.point = point
        self.begin_s = begin_s
        self.arrival_s = arrival_s
        self.length_m = length_m
        self._search = search
        self._corners: Motion | None = None

    def at(self, now_s: float) -> Position:
        """The position at a time."""
        if now_s >= self.arrival_s:
            return Position(self.point.lat_deg, self.point.lng_deg, None, 0.0)
        return self._found().at(now_s)

    def next_corner(self, now_s: float) -> tuple[int, float]:
        """The stop where the driver can first turn off, and when that is reached."""
        return (self.end_stop, now_s) if now_s >= self.arrival_s else self._found().next_corner(now_s)

    def driven_m(self, now_s: float) -> float:
        """Metres driven by a time, as if at one speed."""
        if now_s >= self.arrival_s:
            return self.length_m
        if now_s <= self.begin_s:
            return 0.0
        return self.length_m * (now_s - self.begin_s) / (self.arrival_s - self.begin_s)

    def _found(self) -> Motion:
        if self._corners is None:
            self._corners = self._search()
        return self._corners
