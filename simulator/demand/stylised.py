"""Stylised demand for a city of which only the road graph is known; meant for experiments, not calibrated."""

from __future__ import annotations

import numpy as np

from geo.arrays import FloatArray, IntArray
from simulator.demand.zone_flows import ZoneVolumes, balanced

#: Share of a day's trips in each hour: a quiet night, a morning peak, a higher evening. Drawn by hand, from no record.
HOURLY_WEIGHTS = (18, 13, 9, 6, 5, 8, 18, 34, 45, 40, 34, 34, 37, 37, 38, 42, 50, 60, 64, 58, 50, 45, 40, 29)
#: How strongly people start from the busy middle, by hour: from homes in the morning, from the middle at night.
MIDDLE_SHARE = np.interp(np.arange(24), [0, 5, 8, 13, 18, 23], [0.75, 0.4, 0.25, 0.5, 0.75, 0.8])
#: Mean of the exponential that trips thin out by, a typical taxi's way within a city.
REACH_M = 3_000.0


def stylised_volumes(corners: IntArray, distance_m: FloatArray, trips: float) -> ZoneVolumes:
    """Pickups and dropoffs of 24 hours in zones with so many road `corners` (z,), `distance_m` (z, z) apart.

    Homes are spread as corners are; the middle is where many corners lie within reach of many others.
    """
    homes = corners / corners.sum()
    middle = homes * (np.exp(-distance_m / (REACH_M / 2.0)) @ homes)
    middle /= middle.sum()
    share = MIDDLE_SHARE[:, None]
    pickups = share * middle + (1.0 - share) * homes
    dropoffs = (1.0 - share) * middle + share * homes
    hourly = trips * np.array(HOURLY_WEIGHTS, np.float64)[:, None] / sum(HOURLY_WEIGHTS)
    return ZoneVolumes(np.arange(24), hourly * pickups, hourly * dropoffs)


def stylised_flows(distance_m: FloatArray, volumes: ZoneVolumes) -> FloatArray:
    """Flows (z, z) that thin out with distance, with the totals of the whole day."""
    between = np.exp(-distance_m / REACH_M) * ~np.eye(distance_m.shape[0], dtype=bool)
    return balanced(between, volumes.pickups.sum(axis=0), volumes.dropoffs.sum(axis=0))
