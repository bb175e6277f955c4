"""The one clock of an installation."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CityClock:
    """City time: the wall clock in production, shifted and faster in a demo.

    City time is `city_s` when the wall clock says `wall_s`, and runs `speed` times as fast from there.
    """

    speed: float = 1.0
    city_s: float = 0.0
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"the clock's speed must be positive, not {self.speed}")

    def now_s(self) -> float:
        """Seconds since 1970 in the city."""
        return self.city_s + (time.time() - self.wall_s) * self.speed

    def wall_duration_s(self, city_duration_s: float) -> float:
        """How long a stretch of city time takes on the wall."""
        return city_duration_s / self.speed
