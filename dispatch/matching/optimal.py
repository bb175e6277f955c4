"""The default policy: the k nearest by road time of every request, and the best set of pairs over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dispatch.events import MatchFound
from dispatch.matching.assignment import assign
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from geo.roads import RoadGraph
from geo.travel_times import nearest_by_road

#: A second that a rider has waited already counts as this many seconds of pickup ETA, so that nobody starves.
WAITED_WEIGHT = 1.0


class OptimalPolicy:
    """Maximises the sum of scores over a whole round.

    The score of a pair is the pickup ETA it saves against the farthest ETA allowed, plus what the rider has waited.
    """

    def __init__(self, graph: RoadGraph) -> None:
        self._graph = graph

    def match(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> list[MatchFound]:
        """See `MatchingPolicy.match`."""
        request, driver, pickup_eta_s = self._candidates(waiting, supply, params)
        waited_s = np.array([now_s - ride.requested_s for ride in waiting])
        score = params.pickup_eta_s_max - pickup_eta_s + WAITED_WEIGHT * waited_s[request]
        chosen = assign(request, driver, score, len(waiting), len(supply))
        eta_s_of = {(int(r), int(d)): float(eta) for r, d, eta in zip(request, driver, pickup_eta_s, strict=True)}
        score_of = {(int(r), int(d)): float(s) for r, d, s in zip(request, driver, score, strict=True)}
        return [
            MatchFound(
                ride_id=waiting[row].ride_id,
                driver_id=supply.driver_id[column],
                pickup_eta_s=eta_s_of[row, column],
                score=score_of[row, column],
            )
            for row, column in enumerate(chosen.tolist())
            if column >= 0
        ]

    def _candidates(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Feasible pairs as three arrays (e,): request row, driver column, pickup ETA in seconds."""
        # Ask for as many more as the most refused request may lose, so that it still has its k.
        k = params.candidates_per_request + max(len(ride.refused_by) for ride in waiting)
        found = [
            self._nearest(waiting, supply, seats, k, params.pickup_eta_s_max)
            for seats in sorted({ride.seats for ride in waiting})
        ]
        request, driver, pickup_eta_s = (np.concatenate(parts) for parts in zip(*found, strict=True))
        feasible = ~self._refused(waiting, supply, request, driver)
        return request[feasible], driver[feasible], pickup_eta_s[feasible]

    def _nearest(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, seats: int, k: int, eta_s_max: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """The k nearest drivers with room to each request for so many seats, as three arrays like `_candidates`."""
        rows = np.array([row for row, ride in enumerate(waiting) if ride.seats == seats], np.int64)
        columns = np.flatnonzero(supply.seats >= seats)
        if not columns.size:
            return rows[:0], columns, np.zeros(0)
        pickup_node = np.array([waiting[row].pickup.node for row in rows], np.int64)
        k = min(k, columns.size)
        index, eta_s = nearest_by_road(self._graph, supply.node[columns], pickup_node, k, eta_s_max)
        near = index >= 0
        return np.repeat(rows, k)[near.ravel()], columns[index[near]], eta_s[near]

    @staticmethod
    def _refused(
        waiting: Sequence[Ride], supply: SupplySnapshot, request: NDArray[np.int64], driver: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Pairs that a driver turned down before, (e,)."""
        column_of = {driver_id: column for column, driver_id in enumerate(supply.driver_id)}
        pairs = [
            row * len(supply) + column_of[driver_id]
            for row, ride in enumerate(waiting)
            for driver_id in ride.refused_by
            if driver_id in column_of
        ]
        return np.isin(request * len(supply) + driver, np.array(pairs, np.int64))
