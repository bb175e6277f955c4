"""Distance driven and time worked by the drivers of a day, with and without a rider."""

from __future__ import annotations

from simulator.streets.motion import Drive, Movement


class Odometer:
    """Totals over n drivers, addressed by index.

    Attributes:
        online_s, occupied_s: seconds on shift, and those with a rider aboard.
        deadhead_m, occupied_m: metres without and with a rider aboard.
        leg: (n,) the movement that each driver is on; None before the first.
    """

    def __init__(self, count: int) -> None:
        self.online_s = 0.0
        self.occupied_s = 0.0
        self.deadhead_m = 0.0
        self.occupied_m = 0.0
        self.leg: list[Movement | None] = [None] * count
        self._is_leg_occupied = [False] * count
        self._online_since_s = [0.0] * count
        self._aboard_since_s = [0.0] * count

    def go_online(self, number: int, now_s: float) -> None:
        """A shift begins."""
        self._online_since_s[number] = now_s

    def go_offline(self, number: int, now_s: float) -> None:
        """A shift ends."""
        self.online_s += now_s - self._online_since_s[number]

    def pick_up(self, number: int, now_s: float) -> None:
        """A rider gets in."""
        self._aboard_since_s[number] = now_s

    def drop_off(self, number: int, now_s: float) -> None:
        """The rider gets out."""
        self.occupied_s += now_s - self._aboard_since_s[number]

    def set_out(self, number: int, leg: Movement, now_s: float, *, is_occupied: bool) -> None:
        """Start another leg, and count the distance driven on the one before."""
        self._count_leg(number, now_s)
        self.leg[number], self._is_leg_occupied[number] = leg, is_occupied

    def settle(self, number: int, now_s: float, *, is_online: bool) -> None:
        """Count the leg and shift under way; the last call for a driver."""
        self._count_leg(number, now_s)
        if is_online:
            self.go_offline(number, now_s)

    def _count_leg(self, number: int, now_s: float) -> None:
        leg = self.leg[number]
        if not isinstance(leg, Drive):
            return
        if self._is_leg_occupied[number]:
            self.occupied_m += leg.driven_m(now_s)
        else:
            self.deadhead_m += leg.driven_m(now_s)
