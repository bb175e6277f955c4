"""Each driver's own acceptance rate, Beta-smoothed, with exponential decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

#: Drivers whose answers weigh less than this in sum are left out of the state: their rate is the prior.
WEIGHT_MIN = 0.05


class Histories:
    """(prior·k + Σ λ^age·yes) / (k + Σ λ^age) for each driver: Beta-smoothed with decay λ."""

    def __init__(self, prior_share: float, prior_count: float, half_life_s: float) -> None:
        self._prior_share = prior_share
        self._prior_count = prior_count
        self._half_life_s = half_life_s
        #: driver_id -> weight of acceptances, weight of all answers, time of these weights.
        self._of: dict[str, tuple[float, float, float]] = {}
        self._newest_s = 0.0

    def add(self, driver_id: str, *, accepted: bool, at_s: float) -> None:
        """Add an answer; one that comes late counts as if given at the time of the newest."""
        yes, weight, since_s = self._of.get(driver_id, (0.0, 0.0, at_s))
        kept = 0.5 ** (max(at_s - since_s, 0.0) / self._half_life_s)
        self._of[driver_id] = yes * kept + accepted, weight * kept + 1.0, max(at_s, since_s)
        self._newest_s = max(self._newest_s, at_s)

    def shares(self, driver_id: Sequence[str], at_s: float) -> NDArray[np.float64]:
        """The smoothed acceptance rates (n,)."""
        nothing = (0.0, 0.0, at_s)
        rows = np.array([self._of.get(name, nothing) for name in driver_id], np.float64).reshape(-1, 3)
        kept = 0.5 ** (np.maximum(at_s - rows[:, 2], 0.0) / self._half_life_s)
        prior = self._prior_count
        shares: NDArray[np.float64] = (prior * self._prior_share + kept * rows[:, 0]) / (prior + kept * rows[:, 1])
        return shares

    def state(self) -> dict[str, tuple[float, float, float]]:
        """The weights by driver, without drivers whose weight is negligible."""
        self._of = {name: row for name, row in self._of.items() if self._weight(row) >= WEIGHT_MIN}
        return dict(self._of)

    def take(self, state: Mapping[str, tuple[float, float, float]]) -> None:
        """Restore a state."""
        self._of = {name: (row[0], row[1], row[2]) for name, row in state.items()}
        self._newest_s = max((row[2] for row in self._of.values()), default=0.0)

    def _weight(self, row: tuple[float, float, float]) -> float:
        return float(row[1] * 0.5 ** ((self._newest_s - row[2]) / self._half_life_s))
