"""Estimates trips between pairs of zones (an origin-destination matrix) from the totals of each zone.

Totals of pickups and dropoffs do not determine the pairs: the result is a model, not a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.distances import great_circle_m
from kernel.local_time import quarters_of_hour

#: Sweeps over both margins; on 981 zones the margins agree to 1e-6 after about 30.
SWEEPS_MAX = 200
MARGIN_ERROR_MAX = 1e-6
#: The reach of trips is searched until their mean length is right to this share, in so many steps at most.
REACH_ERROR_MAX = 1e-4
REACH_STEPS_MAX = 12


@dataclass(frozen=True)
class ZoneVolumes:
    """Hourly pickups and dropoffs of zones on one day.

    Attributes:
        hour: (h,) hours since local midnight, ascending; 24 and more belong to the night after.
        pickups, dropoffs: (h, z) trips that begin and end in each zone in the hour.
    """

    hour: IntArray
    pickups: FloatArray
    dropoffs: FloatArray

    def __post_init__(self) -> None:
        for name in ("pickups", "dropoffs"):
            volumes = getattr(self, name)
            if volumes.ndim != 2 or volumes.shape[0] != self.hour.shape[0]:
                raise ValueError(f"{name} must have shape ({self.hour.shape[0]}, zones), not {volumes.shape}")
            if not (np.isfinite(volumes).all() and (volumes >= 0.0).all() and volumes.sum() > 0.0):
                raise ValueError(f"{name} must be numbers from 0, and not all 0")
        if (np.diff(self.hour) <= 0).any() or (self.hour < 0).any():
            raise ValueError("hour must ascend from 0 or more")

    def by_clocks(self, day: date, timezone: str) -> tuple[ZoneVolumes, list[int]]:
        """Return the volumes of the hours that the clocks of a region show on a day, and the hours that they skip.

        Raises ValueError if nothing is left.
        """
        is_shown = np.array([bool(quarters_of_hour(day, hour, timezone)) for hour in self.hour.tolist()], np.bool_)
        skipped = [int(hour) for hour in self.hour[~is_shown]]
        return ZoneVolumes(self.hour[is_shown], self.pickups[is_shown], self.dropoffs[is_shown]), skipped


def distances_m(lat_deg: FloatArray, lng_deg: FloatArray) -> FloatArray:
    """Great-circle metres (z, z) between the middles of zones."""
    count = lat_deg.shape[0]
    rows = [great_circle_m(lat_deg[zone], lng_deg[zone], lat_deg, lng_deg) for zone in range(count)]
    return np.stack(rows) if count else np.empty((0, 0))


def balanced(seed: FloatArray, origins: FloatArray, destinations: FloatArray) -> FloatArray:
    """The flows (z, z) nearest to `seed` (z, z) whose rows sum to `origins` (z,), columns to `destinations` (z,).

    Iterative proportional fitting (Deming and Stephan 1940, doi:10.1214/aoms/1177731829), which minimises the relative
    entropy to the seed. The destinations are scaled to the sum of the origins, which is kept. Where the seed rules
    out what the totals ask for, the rows are met and the columns as nearly as can be.
    """
    goal = destinations * (origins.sum() / destinations.sum())
    flows = seed.copy()
    for _ in range(SWEEPS_MAX):
        flows *= _ratio(goal, flows.sum(axis=0))
        error = np.abs(flows.sum(axis=1) - origins).sum()
        flows *= _ratio(origins, flows.sum(axis=1))[:, None]
        if error <= MARGIN_ERROR_MAX * origins.sum():
            break
    return flows


def gravity(distance_m: FloatArray, observed: FloatArray) -> FloatArray:
    """Flows (z, z) with the totals of `observed` (z, z) that thin out with distance as observed trips do.

    f = exp(-d / reach), the reach fitted by the secant method so that the mean distance is the observed one (Hyman
    1969, doi:10.1068/a010105). It fills in pairs with few observed trips. Trips within a zone are excluded.
    """
    origins, destinations = observed.sum(axis=1), observed.sum(axis=0)
    goal_m, between = _mean_m(observed, distance_m), ~np.eye(distance_m.shape[0], dtype=bool)

    def of_reach(reach_m: float) -> tuple[FloatArray, float]:
        flows = balanced(np.exp(-distance_m / reach_m) * between, origins, destinations)
        return flows, _mean_m(flows, distance_m)

    before_m, (flows, mean_before_m) = goal_m, of_reach(goal_m)
    reach_m, mean_m = before_m * goal_m / mean_before_m, mean_before_m
    for _ in range(REACH_STEPS_MAX):
        flows, mean_m = of_reach(reach_m)
        if abs(mean_m - goal_m) <= REACH_ERROR_MAX * goal_m or mean_m == mean_before_m:
            break
        secant_m = reach_m + (goal_m - mean_m) * (reach_m - before_m) / (mean_m - mean_before_m)
        before_m, mean_before_m = reach_m, mean_m
        # A secant may overshoot where the reach hardly matters any more: at most a factor of two a step.
        reach_m = min(max(secant_m, reach_m / 2.0), reach_m * 2.0)
    return flows


def seed_of(distance_m: FloatArray, observed: FloatArray) -> FloatArray:
    """The seed matrix of `balanced`: observed trips (z, z) plus their gravity model, with equal weights."""
    between = observed * ~np.eye(observed.shape[0], dtype=bool)
    if not between.sum() > 0.0:
        raise ValueError("no observed trip leads from one zone to another")
    return between + gravity(distance_m, between)


def _mean_m(flows: FloatArray, distance_m: FloatArray) -> float:
    return float((flows * distance_m).sum() / flows.sum())


def _ratio(goal: FloatArray, sums: FloatArray) -> FloatArray:
    return np.divide(goal, sums, out=np.zeros_like(goal), where=sums > 0.0)
