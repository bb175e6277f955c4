"""Confidence intervals for the difference between two arms of an experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean difference between two arms and its confidence interval; the ends are NaN if there are too few samples."""

    mean: float
    low: float
    high: float
    #: Number of pairs or clusters it was computed from.
    n: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0 or self.high < 0.0


def paired(baseline: npt.ArrayLike, other: npt.ArrayLike) -> Difference:
    """Mean of other - baseline over pairs (n,) with a paired t interval; pairs with a NaN are left out.

    Raises ValueError for vectors of different lengths.
    """
    first, second = np.asarray(baseline, np.float64), np.asarray(other, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"pairs need two vectors of one length, not {first.shape} and {second.shape}")
    differences = second - first
    differences = differences[np.isfinite(differences)]
    n = differences.size
    if n == 0:
        return Difference(math.nan, math.nan, math.nan, 0)
    mean = float(differences.mean())
    if n == 1:
        return Difference(mean, math.nan, math.nan, 1)
    standard_error = float(differences.std(ddof=1)) / math.sqrt(n)
    return _interval(mean, standard_error, n - 1, n)


def clustered(arm: IntArray, count: npt.ArrayLike, total: npt.ArrayLike) -> Difference:
    """Mean of arm 1 minus mean of arm 0 when whole clusters of rides were assigned to an arm.

    `arm` (g,) is 0 or 1, `count` (g,) the rides of each cluster, `total` (g,) the sum of their values. Rides of one
    cluster are correlated, so the standard error is clustered: the bias-reduced sandwich CR2 of Bell
    and McCaffrey (2002, Survey Methodology 28, 169-181), which for two means is each cluster's squared sum of
    residuals over 1 less its share of the arm's rides; degrees of freedom by Satterthwaite.
    """
    counts, totals = np.asarray(count, np.float64), np.asarray(total, np.float64)
    means, variances, freedom = [], [], []
    for side in (0, 1):
        mine = (arm == side) & (counts > 0)
        n, s = counts[mine], totals[mine]
        mean = float(s.sum() / n.sum()) if n.size else math.nan
        means.append(mean)
        freedom.append(n.size - 1)
        share = n / n.sum() if n.size else n
        is_enough = n.size > 1
        variances.append(float(((s - n * mean) ** 2 / (1.0 - share)).sum() / n.sum() ** 2) if is_enough else math.nan)
    n_clusters = int((counts > 0).sum())
    difference, variance = means[1] - means[0], sum(variances)
    if not variance > 0.0:
        spread = 0.0 if variance == 0.0 else math.nan
        return Difference(difference, difference - spread, difference + spread, n_clusters)
    degrees = variance**2 / sum(part**2 / max(free, 1) for part, free in zip(variances, freedom, strict=True))
    return _interval(difference, math.sqrt(variance), degrees, n_clusters)


def _interval(mean: float, standard_error: float, degrees: float, n: int) -> Difference:
    # scipy comes with an extra, and takes a second to be imported.
    from scipy.stats import t

    reach = float(t.ppf(0.5 + CONFIDENCE / 2, degrees)) * standard_error
    return Difference(mean, mean - reach, mean + reach, n)


def values_of(figures: list[float | None]) -> FloatArray:
    """Figures as numbers (n,), NaN where there was none."""
    return np.array([math.nan if figure is None else figure for figure in figures], np.float64)
