"""Drives of the last minutes, each part of which waits until enough drivers have driven the same edge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray
from geo.learning.map_matching import Drives

#: A part says something about its edge if so much of the edge was driven in it.
SHARE_MIN = 0.3
#: No step counts as slower or faster than by this factor: beyond it, it was a stop or an error of matching.
SLOWNESS_MAX = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class RecentDrives:
    """Steps of the last minutes with their parts.

    Attributes:
        started_s, elapsed_s, driver: (s,) when each step began, how long it took, whose it was.
        step, edge, free_flow_s: (q,) the parts, as in `Drives`.
        is_waiting: (q,) whether a part may still move its edge.
    """

    started_s: FloatArray
    elapsed_s: FloatArray
    driver: IntArray
    step: IntArray
    edge: IntArray
    free_flow_s: FloatArray
    is_waiting: BoolArray

    @classmethod
    def of(cls, drives: Drives, driver_of_ping: IntArray, free_flow_s: FloatArray) -> RecentDrives:
        """Take the steps of matched pings; ``free_flow_s (m,)`` are the travel times of whole edges."""
        whole_s = free_flow_s[drives.edge]
        waits = drives.free_flow_s >= SHARE_MIN * whole_s
        driver = driver_of_ping[drives.ping]
        return cls(drives.started_s, drives.elapsed_s, driver, drives.step, drives.edge, drives.free_flow_s, waits)

    @classmethod
    def none(cls) -> RecentDrives:
        """No drives."""
        numbers, places = np.empty(0), np.empty(0, np.int64)
        return cls(numbers, numbers, places, places, places, numbers, np.empty(0, np.bool_))

    def __len__(self) -> int:
        return len(self.started_s)

    def where(self, is_kept: BoolArray) -> RecentDrives:
        """Return the steps for which ``is_kept (s,)`` is true, numbered anew."""
        number = np.cumsum(is_kept) - 1
        parts = is_kept[self.step]
        return RecentDrives(
            self.started_s[is_kept],
            self.elapsed_s[is_kept],
            self.driver[is_kept],
            number[self.step[parts]],
            self.edge[parts],
            self.free_flow_s[parts],
            self.is_waiting[parts],
        )

    def joined(self, later: RecentDrives) -> RecentDrives:
        """Return these steps and then the later ones."""
        return RecentDrives(
            np.concatenate([self.started_s, later.started_s]),
            np.concatenate([self.elapsed_s, later.elapsed_s]),
            np.concatenate([self.driver, later.driver]),
            np.concatenate([self.step, later.step + len(self)]),
            np.concatenate([self.edge, later.edge]),
            np.concatenate([self.free_flow_s, later.free_flow_s]),
            np.concatenate([self.is_waiting, later.is_waiting]),
        )

    def without_edges(self, edge: IntArray) -> RecentDrives:
        """Return the same steps; their parts on these edges have had their say."""
        return replace(self, is_waiting=self.is_waiting & ~np.isin(self.edge, edge))

    def slowness(self, factor: FloatArray) -> FloatArray:
        """Return the logarithm (s,) of how much longer each step took than ``factor (m,)`` predicts, limited."""
        predicted_s = np.bincount(self.step, self.free_flow_s * factor[self.edge], len(self))
        limit = np.log(SLOWNESS_MAX)
        return np.clip(np.log(self.elapsed_s / predicted_s), -limit, limit)
