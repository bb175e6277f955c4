"""Calibration of acceptance forecasts: a window of the last answers, their Brier score, deciles and a correction.

The correction is isotonic regression on deciles (Zadrozny, Elkan 2002, doi:10.1145/775047.775151), shrunk toward none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Size of the window: four hundred answers in each decile, whose rate is then known to 2 percentage points.
WINDOW = 4096
#: Answers between two corrections.
RENEW_EVERY = 128
BINS = 10
#: The uncorrected forecast weighs as much as so many answers of a decile, so that chance is not corrected.
PRIOR_ANSWERS = 100.0


@dataclass(frozen=True, slots=True)
class Decile:
    """One decile of the forecasts: its mean forecast and the rate of acceptance that was observed."""

    predicted: float
    observed: float
    count: int


@dataclass(frozen=True, slots=True)
class AcceptanceFigures:
    """How good the last forecasts were, each made before its answer."""

    #: Answers learned from in all, and those in the window of the other figures.
    answers: int
    window: int
    #: Mean square of forecast minus answer; None without answers.
    brier: float | None
    #: Brier score of a baseline that always predicts the mean acceptance rate.
    brier_of_mean: float | None
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """The last answers, oldest first."""

    uncalibrated: tuple[float, ...]
    share: tuple[float, ...]
    accepted: tuple[bool, ...]
    knots: tuple[float, ...]
    corrections: tuple[float, ...]
    since_renewal: int


class Calibration:
    """Keeps the last answers and corrects forecasts by them."""

    def __init__(self, state: CalibrationState | None = None) -> None:
        self._uncalibrated: list[float] = [] if state is None else list(state.uncalibrated)
        self._share: list[float] = [] if state is None else list(state.share)
        self._accepted: list[bool] = [] if state is None else list(state.accepted)
        self._since_renewal = 0 if state is None else state.since_renewal
        self.knots: tuple[Floats, Floats] = np.array([0.5]), np.zeros(1)
        if state is not None:
            self.knots = np.array(state.knots), np.array(state.corrections)

    def add(self, uncalibrated: float, share: float, *, accepted: bool) -> None:
        """Add one answer with its forecast before and after correction."""
        self._uncalibrated.append(uncalibrated)
        self._share.append(share)
        self._accepted.append(accepted)
        self._since_renewal += 1
        if self._since_renewal >= RENEW_EVERY:
            self._renew()

    def figures(self, answers: int) -> AcceptanceFigures:
        """Brier score and table of the window."""
        share = np.array(self._share[-WINDOW:])
        came = np.array(self._accepted[-WINDOW:], np.float64)
        if not share.size:
            return AcceptanceFigures(answers, 0, None, None, ())
        deciles = [
            Decile(float(share[part].mean()), float(came[part].mean()), int(part.size)) for part in _tenths(share)
        ]
        brier, brier_of_mean = float(np.mean((share - came) ** 2)), float(came.mean() * (1.0 - came.mean()))
        return AcceptanceFigures(answers, int(share.size), brier, brier_of_mean, tuple(deciles))

    def state(self) -> CalibrationState:
        """The whole state."""
        return CalibrationState(
            tuple(self._uncalibrated),
            tuple(self._share),
            tuple(self._accepted),
            tuple(self.knots[0].tolist()),
            tuple(self.knots[1].tolist()),
            self._since_renewal,
        )

    def _renew(self) -> None:
        for kept in (self._uncalibrated, self._share, self._accepted):
            del kept[:-WINDOW]
        self._since_renewal = 0
        self.knots = corrections(np.array(self._uncalibrated), np.array(self._accepted, np.float64))


def corrections(said: Floats, came: Floats) -> tuple[Floats, Floats]:
    """Knots (k,), ascending, and what to add to a forecast there (k,), from forecasts (n,) and answers, 0 or 1 (n,)."""
    parts = _tenths(said)
    knot = np.array([said[part].mean() for part in parts])
    weight = np.array([part.size + PRIOR_ANSWERS for part in parts])
    share = np.array([(came[part].sum() + PRIOR_ANSWERS * at) for part, at in zip(parts, knot, strict=True)]) / weight
    is_new = np.concatenate([[True], np.diff(knot) > 0.0])  # equal forecasts are one knot
    group = np.cumsum(is_new) - 1
    merged: Floats = np.bincount(group, weights=weight).astype(np.float64)
    mean: Floats = np.bincount(group, weights=share * weight) / merged
    return knot[is_new], _isotonic(mean, merged) - knot[is_new]


def _tenths(values: Floats) -> list[NDArray[np.int64]]:
    """Positions of the values in ten parts of equal size, ascending; fewer parts for fewer values."""
    order = np.argsort(values, kind="stable")
    return [part for part in np.array_split(order, BINS) if part.size]


def _isotonic(values: Floats, weights: Floats) -> Floats:
    """The nearest sequence that never decreases, by pooling adjacent violators (Ayer et al. 1955)."""
    pools: list[list[float]] = []  # mean, weight, how many
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, mass, count = pools.pop()
            before = pools[-1]
            before[0] = (before[0] * before[1] + mean * mass) / (before[1] + mass)
            before[1] += mass
            before[2] += count
    return np.repeat([pool[0] for pool in pools], [int(pool[2]) for pool in pools])
