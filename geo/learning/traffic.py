"""Speeds of edges by hour of the week, learned from matched pings, and the travel times that follow from them.

By how much driving is slower than free flow is explained in three steps: by hour of the day, in ever smaller cells;
what that leaves, by hour of the week; what that leaves, by edge and by edge and part of the day. In each step the finer
is shrunk toward the coarser, so that an edge nobody drove still gets the traffic of its neighbourhood.
"""

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray, positions
from geo.cells import latlng_to_cells
from geo.learning.map_matching import Drives
from geo.learning.shrinkage import Chain, Keys, joint_key
from geo.roads.graph import RoadGraph

HOURS_PER_WEEK = 168
FIRST_WEEKEND_HOUR = 120
# Hours at which a part of the day begins: night, morning peak, midday, evening peak, evening.
PARTS_BEGIN_H = (6, 10, 15, 19)
# Seconds of driving that a level must see before half of what it saw is believed: by all, hour of the day, the same
# in coarse and in fine cells; by hour of the week; by edge, by edge and part of the week.
PRIORS_S = ((600.0, 600.0, 1_800.0, 1_800.0), (7_200.0,), (600.0, 600.0))
# No learned speed is outside these multiples of the free-flow time: what is, was a stop or an error of matching.
FACTOR_MIN, FACTOR_MAX = 0.4, 8.0
COARSE_RESOLUTION, FINE_RESOLUTION = 7, 8


def part_of_week(hour_of_week: IntArray) -> IntArray:
    """Return the part (n,), 0 to 9: five parts of a working day, five of a day of the weekend."""
    part: IntArray = np.digitize(hour_of_week % 24, PARTS_BEGIN_H) + 5 * (hour_of_week >= FIRST_WEEKEND_HOUR)
    return part


class EdgeSpeeds:
    """What has been learned about the edges of one road graph; hours of the week are local, 0 is Monday 00:00."""

    def __init__(self, graph: RoadGraph) -> None:
        """Begin at the free flow of ``graph``."""
        self._free_flow_s = graph.travel_time_s
        coarse, fine = (
            latlng_to_cells(graph.lat_deg, graph.lng_deg, resolution)[graph.source]
            for resolution in (COARSE_RESOLUTION, FINE_RESOLUTION)
        )
        self._coarse, self._fine = coarse, fine
        self._chains = [Chain(priors, neutral=1.0) for priors in PRIORS_S]

    def _keys(self, edge: IntArray, hour: IntArray) -> tuple[list[Keys], ...]:
        """Return the keys of every level of every chain for edges in hours of the week."""
        kind = hour % 24 + 24 * (hour >= FIRST_WEEKEND_HOUR)
        by_cell = [joint_key(self._coarse[edge], kind), joint_key(self._fine[edge], kind)]
        return (
            [joint_key(np.zeros_like(hour)), joint_key(kind), *by_cell],
            [joint_key(hour)],
            [joint_key(edge), joint_key(edge, part_of_week(hour))],
        )

    def learn(self, drives: Drives, hour_of_week: npt.ArrayLike, kept_share: float = 1.0) -> None:
        """Take in drives whose steps (s,) began in these hours; what was known before counts for ``kept_share``.

        For live use, learn every few minutes with a share of 2 ** (-minutes / half-life). Raises ValueError for
        hours outside 0 to 167 or a share outside 0 to 1.
        """
        hour = positions("hour_of_week", hour_of_week, HOURS_PER_WEEK)
        if hour.shape != drives.elapsed_s.shape:
            raise ValueError(f"{hour.shape[0]} hours for {drives.elapsed_s.shape[0]} steps")
        expected_s = drives.free_flow_s.copy()
        for chain, keys in zip(self._chains, self._keys(drives.edge, hour[drives.step]), strict=True):
            step_s = np.bincount(drives.step, expected_s, drives.elapsed_s.shape[0])
            slowness = np.clip(drives.elapsed_s / step_s, FACTOR_MIN, FACTOR_MAX)
            expected_s *= chain.learn(keys, slowness[drives.step], expected_s, kept_share)

    def travel_times(self, hour_of_week: int) -> FloatArray:
        """Return the seconds (m,) of every edge in an hour of the week, for ``RoadGraph.with_travel_times``.

        Raises ValueError for an hour outside 0 to 167.
        """
        edge = np.arange(self._free_flow_s.shape[0])
        hour = np.repeat(positions("hour_of_week", hour_of_week, HOURS_PER_WEEK), edge.shape[0])
        factor = np.ones(edge.shape[0])
        for chain, keys in zip(self._chains, self._keys(edge, hour), strict=True):
            factor *= chain.estimate(keys)
        return self._free_flow_s * np.clip(factor, FACTOR_MIN, FACTOR_MAX)
