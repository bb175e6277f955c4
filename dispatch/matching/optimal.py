"""The default policy: the set of pairs with the greatest total score of the round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dispatch.matching.assignment import assign
from dispatch.matching.policy import Considered, PairPolicy


class OptimalPolicy(PairPolicy):
    """Maximises the sum of scores over a whole round."""

    name = "optimal"

    def choose(self, considered: Considered, n_requests: int, n_drivers: int) -> NDArray[np.int64]:
        """See `PairPolicy.choose`."""
        pairs = considered.candidates
        column = assign(pairs.request, pairs.driver, considered.score, n_requests, n_drivers)
        chosen = np.flatnonzero(column[pairs.request] == pairs.driver)
        return chosen[np.argsort(pairs.request[chosen], kind="stable")]
