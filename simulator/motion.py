"""Where a driver is at a time: a way through the streets, each corner with the moment it is reached."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from simulator.model import Place, Position


@dataclass(frozen=True, slots=True)
class Motion:
    """A way along p corners; before its first moment the driver stands at the first, after its last at the last.

    Attributes:
        node: (p,) the node at each corner; a way that starts in the middle of a road names the node it leads to.
        reach_s: (p,) when each corner is reached, ascending.
        place: (p,) where it is.
        heading_deg, speed_mps: (p - 1,) of the stretch that leaves each corner but the last.
    """

    node: tuple[int, ...]
    reach_s: tuple[float, ...]
    place: tuple[Place, ...]
    heading_deg: tuple[float, ...]
    speed_mps: tuple[float, ...]

    @classmethod
    def standing(cls, node: int, place: Place, now_s: float) -> Motion:
        """Rest at a node."""
        return cls((node,), (now_s,), (place,), (), ())

    @property
    def arrival_s(self) -> float:
        """When the last corner is reached."""
        return self.reach_s[-1]

    def at(self, now_s: float) -> Position:
        """Return the position at a time; a straight line from corner to corner. Python numbers: 1 µs, no arrays."""
        corner = bisect_right(self.reach_s, now_s)
        if corner == 0:
            return Position(*self.place[0], None, 0.0)
        if corner == len(self.reach_s):
            return Position(*self.place[-1], None, 0.0)
        before, after = self.place[corner - 1], self.place[corner]
        left_s, right_s = self.reach_s[corner - 1], self.reach_s[corner]
        share = (now_s - left_s) / (right_s - left_s)
        return Position(
            before.lat_deg + share * (after.lat_deg - before.lat_deg),
            before.lng_deg + share * (after.lng_deg - before.lng_deg),
            self.heading_deg[corner - 1],
            self.speed_mps[corner - 1],
        )

    def next_corner(self, now_s: float) -> tuple[int, float]:
        """Return (node, reach_s): where the driver can first turn off, not before now; a driver at rest can at once."""
        if now_s >= self.arrival_s or len(self.node) == 1:
            return self.node[-1], now_s
        corner = bisect_left(self.reach_s, now_s, lo=1)
        return self.node[corner], self.reach_s[corner]
