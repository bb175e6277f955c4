"""Greedy policies, which choose one pair after another: the baselines of the optimal one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dispatch.matching.candidates import Candidates
from dispatch.matching.policy import Considered, PairPolicy


class NearestPolicy(PairPolicy):
    """Gives each request, the oldest first, the free driver with the shortest pickup ETA."""

    name = "nearest"
    heeds_score = False

    def choose(self, considered: Considered, n_requests: int, n_drivers: int) -> NDArray[np.int64]:
        """See `PairPolicy.choose`."""
        pairs = considered.candidates
        return _take(pairs, np.lexsort((pairs.driver, pairs.pickup_eta_s, pairs.request)))


class GreedyPolicy(PairPolicy):
    """Chooses the pair with the shortest pickup ETA of the round, then the shortest of the rest, and so on."""

    name = "greedy"
    heeds_score = False

    def choose(self, considered: Considered, n_requests: int, n_drivers: int) -> NDArray[np.int64]:
        """See `PairPolicy.choose`."""
        pairs = considered.candidates
        return _take(pairs, np.lexsort((pairs.driver, pairs.request, pairs.pickup_eta_s)))


def _take(pairs: Candidates, order: Iterable[int]) -> NDArray[np.int64]:
    """Go through the pairs in this order and keep each whose ride and driver are both still unmatched."""
    kept: dict[int, int] = {}
    taken: set[int] = set()
    for edge in order:
        row, column = int(pairs.request[edge]), int(pairs.driver[edge])
        if row not in kept and column not in taken:
            kept[row] = int(edge)
            taken.add(column)
    return np.array([kept[row] for row in sorted(kept)], np.int64)
