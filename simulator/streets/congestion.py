"""Congestion model: a macroscopic relation between the number of vehicles in a city and their speed.

Greenshields 1935, A Study of Traffic Capacity (Proc. Highway Research Board 14): speed falls in a straight line with
density, v = v_free (1 - k / k_jam). That a whole city's mean speed follows its mean density, whatever happens on single
streets, is measured: Geroliminis and Daganzo 2008 (doi:10.1016/j.trb.2008.02.002). The speeds of a road graph are those
of its background traffic k_0 alone, so that the fleet's k vehicles more per kilometre stretch every way by

    pace = (k_jam - k_0) / (k_jam - k_0 - k).

The model has one pace for the whole city: it neither locates jams nor reroutes drivers around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

HOURS = 24
M_PER_KM = 1000.0


@dataclass(frozen=True, slots=True)
class TrafficParams:
    """Parameters of the congestion model: section `[traffic]`. Densities are in vehicles per kilometre of lane."""

    SECTION: ClassVar[str] = "traffic"

    #: Bumper to bumper, seven metres a vehicle and a gap.
    jam_per_km: float = 120.0
    #: Background vehicles outside the fleet; the speeds of the road graph already include them.
    background_per_km: float = 15.0
    #: Vehicles that stand for each simulated one: a sample of the fleet slows as the whole fleet does.
    vehicles_per_driver: float = 1.0
    #: Upper limit of the pace: the relation ends in a standstill, which cities do not show.
    pace_max: float = 5.0
    #: Pace by local hour of the day, before the fleet's own effect.
    hourly_pace: tuple[float, ...] = (1.0,) * HOURS

    def __post_init__(self) -> None:
        if not 0.0 <= self.background_per_km < self.jam_per_km < math.inf:
            given = f"{self.background_per_km}, {self.jam_per_km}"
            raise ValueError(f"[traffic] 0 <= background_per_km < jam_per_km must hold, not {given}")
        if not 0.0 < self.vehicles_per_driver < math.inf:
            raise ValueError(f"[traffic] vehicles_per_driver must be positive, not {self.vehicles_per_driver}")
        if not 1.0 <= self.pace_max < math.inf:
            raise ValueError(f"[traffic] pace_max must be at least 1, not {self.pace_max}")
        if len(self.hourly_pace) != HOURS or not all(0.0 < pace < math.inf for pace in self.hourly_pace):
            raise ValueError(f"[traffic] hourly_pace must be {HOURS} positive numbers, not {list(self.hourly_pace)}")


def pace_of(vehicles_per_km: float, params: TrafficParams) -> float:
    """How many times the graph's time every way takes with so many vehicles of the fleet on each kilometre of lane."""
    room_per_km = params.jam_per_km - params.background_per_km
    left_per_km = room_per_km - vehicles_per_km
    return min(room_per_km / left_per_km, params.pace_max) if left_per_km > 0.0 else params.pace_max


class Traffic:
    """The pace of one city, measured anew from time to time."""

    def __init__(self, params: TrafficParams, lanes_m: float, timezone: str) -> None:
        """`lanes_m` is the length of all lanes, a street that is driven both ways counting twice."""
        self._params = params
        self._lanes_km = lanes_m / M_PER_KM
        self._timezone = ZoneInfo(timezone)
        #: (n,) each: what was measured, in the order of time.
        self.paces: list[float] = []

    def measure(self, moving: int, now_s: float) -> float:
        """Return the pace when `moving` vehicles of the fleet are moving."""
        hour = datetime.fromtimestamp(now_s, self._timezone).hour
        density = moving * self._params.vehicles_per_driver / self._lanes_km
        pace = min(self._params.hourly_pace[hour] * pace_of(density, self._params), self._params.pace_max)
        self.paces.append(pace)
        return pace

    def figures(self) -> dict[str, float]:
        """The figures for a run's summary."""
        return {
            "pace_mean": round(sum(self.paces) / len(self.paces), 4) if self.paces else 1.0,
            "pace_max": round(max(self.paces, default=1.0), 4),
        }
