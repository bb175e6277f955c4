"""Speeds of edges by hour of the week, learned from matched pings, and the travel times that follow from them.

By how much driving is slower than free flow is explained in three steps: by hour of the day, in ever smaller cells;
what that leaves, by hour of the week; what that leaves, by edge and by edge and part of the day. In each step the finer
is shrunk toward the coarser, so that an edge nobody drove still gets the traffic of its neighbourhood.
"""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from geo.array_files import save_arrays
from geo.arrays import FloatArray, IntArray, positions
from geo.cells import latlng_to_cells
from geo.learning.map_matching import Drives
from geo.learning.shrinkage import Chain, KeyedSums, Keys, joint_key
from geo.roads.graph import LearnedElsewhere, RoadGraph, roads_sha256
from kernel.local_time import HOURS_PER_WEEK

# Raised when the meaning of what is stored changes; an older file is then refused rather than misread.
FORMAT_VERSION = 1
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
        self._roads = roads_sha256(graph)
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
        return self._free_flow_s * self.factors(hour_of_week)

    def factors(self, hour_of_week: int) -> FloatArray:
        """Return by how many times (m,) each edge takes longer than in free flow in an hour of the week.

        Raises ValueError for an hour outside 0 to 167.
        """
        edge = np.arange(self._free_flow_s.shape[0])
        hour = np.repeat(positions("hour_of_week", hour_of_week, HOURS_PER_WEEK), edge.shape[0])
        factor = np.ones(edge.shape[0])
        for chain, keys in zip(self._chains, self._keys(edge, hour), strict=True):
            factor *= chain.estimate(keys)
        return np.clip(factor, FACTOR_MIN, FACTOR_MAX)

    @property
    def edges_driven(self) -> int:
        """On how many edges somebody was seen driving."""
        return int(self._chains[-1].levels[0].columns[0].shape[0])

    def save(self, path: Path) -> None:
        """Write what was learned to one file; it appears whole or not at all."""
        columns = {
            f"{chain_at}_{level_at}_{name}": column
            for chain_at, chain in enumerate(self._chains)
            for level_at, sums in enumerate(chain.levels)
            for name, column in zip(("key", "total", "weight"), sums.columns, strict=True)
        }
        save_arrays(path, {"version": FORMAT_VERSION, "roads": self._roads} | columns)

    @classmethod
    def load(cls, path: Path, graph: RoadGraph) -> "EdgeSpeeds":
        """Read what ``save`` wrote, for the roads it was learned on.

        Raises FileNotFoundError if there is none; LearnedElsewhere if it was learned on other roads; ValueError if it
        is broken or of another format version.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no learned traffic at {path}; learn it with `hexhail city learn-traffic`")
        try:
            # Opened here, for numpy leaves a broken file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                content: dict[str, Any] = {name: stored[name] for name in stored.files}
            version, roads = int(content["version"]), str(content["roads"])
        except (BadZipFile, KeyError, EOFError, OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path} holds no learned traffic ({error}); learn it again") from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}; learn it again"
            )
        speeds = cls(graph)
        if roads != speeds._roads:
            raise LearnedElsewhere(f"{path} was learned on other roads than those of the city; learn it again")
        try:
            for chain_at, (chain, priors) in enumerate(zip(speeds._chains, PRIORS_S, strict=True)):
                chain.levels = [
                    KeyedSums.of(prior, _columns(content, f"{chain_at}_{level_at}"))
                    for level_at, prior in enumerate(priors)
                ]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} holds no learned traffic ({error}); learn it again") from error
        return speeds


def _columns(content: dict[str, Any], prefix: str) -> tuple[Keys, FloatArray, FloatArray]:
    return content[f"{prefix}_key"], content[f"{prefix}_total"], content[f"{prefix}_weight"]
