"""Means over seeds, and differences within seeds with their 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean, and in brackets the standard deviation."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.4g} ({spread:.2g})"


def difference(after: Sequence[float], before: Sequence[float]) -> str:
    """The mean of the differences within seeds, with Student's interval."""
    against = np.subtract(after, before)
    if against.size < 2:
        return f"{against.mean():+.3g}"
    half = stats.t.ppf(0.975, against.size - 1) * against.std(ddof=1) / np.sqrt(against.size)
    return f"{against.mean():+.3g} ± {half:.2g}"
