"""Proposes travel times from where drivers were seen, and remembers what waits for more drivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo.arrays import BoolArray, FloatArray
from geo.cells import latlng_to_cells
from geo.learning.map_matching import MatchParams, match_pings
from geo.roads.graph import RoadGraph
from geo.roads.snap import EdgeIndex
from traffic.model import Candidate, Evidence, LearnedTrafficParams, Refusal, Weights
from traffic.rules.drives import RecentDrives
from traffic.rules.pings import PingBuffer
from traffic.rules.proposal import Asked, asked_factor, expected_factor, limited, mean_by_length

#: Streets of one neighbourhood slow down together: cells of about 0.7 km².
CELL_RESOLUTION = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Outlook:
    """What the drives become if the update is accepted, and if it is refused."""

    accepted: RecentDrives
    #: Drives that wait for more drivers of the region.
    fresh: RecentDrives


class TrafficEngine:
    """Learns one region's travel times. Waits for nothing; the caller brings pings, time and the weights in force.

    What it remembers may be lost: the state of learning is the weights in force themselves.
    """

    def __init__(self, graph: RoadGraph, params: LearnedTrafficParams, match_params: MatchParams | None = None) -> None:
        """``graph`` holds free-flow travel times."""
        self._graph = graph
        self._params = params
        self._match = match_params or MatchParams()
        self._index = EdgeIndex.of(graph)
        cells = latlng_to_cells(graph.lat_deg, graph.lng_deg, CELL_RESOLUTION)[graph.source]
        self._cell_of_edge = np.unique(cells, return_inverse=True)[1].astype(np.int64)
        self._pings = PingBuffer(self._match)
        self._waiting = RecentDrives.none()
        self._fresh = RecentDrives.none()
        self._outlook: _Outlook | None = None
        self._updates = 0

    def take(self, driver_ids: Sequence[str], place: FloatArray) -> None:
        """Take in believed pings; ``place (n, 3)`` holds t_s, lat_deg and lng_deg of each."""
        self._pings.add(driver_ids, place)

    def propose(self, in_force: FloatArray, base: FloatArray, age_s: float, now_s: float) -> Candidate:
        """Return the weights that the drives since the last update ask for; `settle` says what became of them.

        ``in_force (m,)`` are the factors in force, made ``age_s`` ago; ``base (m,)`` those to which they return.
        """
        params = self._params
        self._waiting = self._recent(self._waiting, now_s)
        fresh = self._recent(self._fresh.joined(self._matched()), now_s)
        is_held_back = self._held_back(fresh)
        learned, held_back = fresh.where(~is_held_back), fresh.where(is_held_back)
        expected = expected_factor(in_force, base, age_s, params.half_life_s)
        waiting = self._waiting.joined(learned)
        asked = asked_factor(learned, waiting, expected, self._cell_of_edge, params)
        factor = limited(in_force, asked.factor, self._graph.length_m, params)
        self._outlook = _Outlook(waiting.without_edges(asked.edge).joined(held_back), fresh)
        return Candidate(factor, in_force, self._evidence(learned, held_back, asked, in_force, factor))

    def settle(self, refusal: Refusal | None) -> None:
        """Keep what the update was made of, or forget it if the update was refused: a fault leaves no trace.

        Drives that were merely too few wait for others.
        """
        assert self._outlook is not None, "settle comes after propose"
        if refusal is None:
            self._waiting, self._fresh = self._outlook.accepted, RecentDrives.none()
        else:
            self._fresh = self._outlook.fresh if refusal is Refusal.COVERAGE else RecentDrives.none()
        self._outlook = None
        self._updates += 1

    def _matched(self) -> RecentDrives:
        driver, t_s, lat_deg, lng_deg = self._pings.drain()
        if len(driver) == 0:
            return RecentDrives.none()
        drives = match_pings(self._graph, self._index, driver, t_s, lat_deg, lng_deg, self._match)
        return RecentDrives.of(drives, driver, self._graph.travel_time_s)

    def _recent(self, drives: RecentDrives, now_s: float) -> RecentDrives:
        return drives.where(drives.started_s >= now_s - self._params.window_s)

    def _held_back(self, fresh: RecentDrives) -> BoolArray:
        """Whose steps (s,) judge this update instead of making it: another part of the drivers each time."""
        _, rank = np.unique(fresh.driver, return_inverse=True)
        return np.asarray((rank + self._updates) % self._params.held_back_one_in == 0)

    def _evidence(
        self,
        learned: RecentDrives,
        held_back: RecentDrives,
        asked: Asked,
        in_force: FloatArray,
        factor: FloatArray,
    ) -> Evidence:
        before, after = (
            float(np.abs(held_back.slowness(weights)).mean()) if len(held_back) else None
            for weights in (in_force, factor)
        )
        pace = float(np.exp(mean_by_length(np.log(asked.factor), self._graph.length_m)))
        drivers = len(np.unique(learned.driver))
        return Evidence(drivers, len(learned), len(asked.edge), pace, len(held_back), before, after)


def base_factors(graph: RoadGraph, usual: FloatArray | None, params: LearnedTrafficParams) -> FloatArray:
    """Return the factors (m,) to which edges return: the usual ones of the hour, within bounds; 1 without a profile."""
    if usual is None:
        return np.ones(graph.edge_count)
    return np.clip(usual, 1.0 / params.faster_max, params.slower_max)


def in_force_at(weights: Weights | None, base: FloatArray, now_s: float, params: LearnedTrafficParams) -> Weights:
    """Return the weights that count at ``now_s``: those made last, or ``base`` as version 0 once they are too old."""
    if weights is not None and now_s - weights.made_s <= params.keep_s:
        return weights
    return Weights(version=0, epoch=0, made_s=now_s, factor=base)
