"""The optimal sparse assignment with opt-out.

Every request may stay unmatched at a score of 0, so a pair with a negative score is never chosen, and the problem
always has a solution. The kernels of `augmenting_paths` do the work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dispatch.matching.augmenting_paths import cheapest_places, edges_by_row


def assign(
    request: ArrayLike, driver: ArrayLike, score: ArrayLike, n_requests: int, n_drivers: int
) -> NDArray[np.int64]:
    """Choose the set of pairs with the greatest total score.

    Edge e pairs `request[e]` with `driver[e]` for `score[e]`; the three have shape (e,). Pairs without an edge are
    infeasible and never come back; of several edges of one pair the best counts. An unmatched request scores 0.

    Returns the driver of each request, shape (n_requests,), -1 where it stays unmatched.
    Raises ValueError for arrays of different length, an index out of range or a score that is not finite.
    """
    rows = np.ascontiguousarray(request, np.int64)
    columns = np.ascontiguousarray(driver, np.int64)
    scores = np.ascontiguousarray(score, np.float64)
    _check(rows, columns, scores, n_requests, n_drivers)
    return cheapest_places(*edges_by_row(rows, columns, scores, n_requests, n_drivers), n_drivers)


def _check(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    scores: NDArray[np.float64],
    n_requests: int,
    n_drivers: int,
) -> None:
    if not rows.ndim == columns.ndim == scores.ndim == 1 or not len(rows) == len(columns) == len(scores):
        raise ValueError(
            f"edges are three arrays of one length, not of shapes {rows.shape}, {columns.shape}, {scores.shape}"
        )
    for name, index, size in (("request", rows, n_requests), ("driver", columns, n_drivers)):
        if len(index) and not (index.min() >= 0 and index.max() < size):
            raise ValueError(f"{name} indices must lie in 0..{size - 1}, not {index.min()}..{index.max()}")
    if not np.isfinite(scores).all():
        raise ValueError("every score must be finite: leave infeasible pairs out instead of marking them")
