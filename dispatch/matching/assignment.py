"""The optimal sparse assignment with opt-out.

Shortest augmenting paths over reduced costs (Jonker, Volgenant 1987, doi:10.1007/BF02278710), one request at a time, on
the sparse candidate graph. Every request has a private way out that is worth nothing, so a pair that costs more than it
gains is left alone, and the problem always has a solution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo.jit import kernel


def assign(
    request: ArrayLike, driver: ArrayLike, score: ArrayLike, n_requests: int, n_drivers: int
) -> NDArray[np.int64]:
    """Choose the set of pairs with the greatest total score.

    Edge e pairs `request[e]` with `driver[e]` for `score[e]`; the three have shape (e,). Pairs without an edge are
    infeasible and never come back; of several edges of one pair the best counts. Leaving a request alone scores 0.

    Returns the driver of each request, shape (n_requests,), -1 where it is left alone.
    Raises ValueError for arrays of different length, an index out of range or a score that is not finite.
    """
    rows = np.ascontiguousarray(request, np.int64)
    columns = np.ascontiguousarray(driver, np.int64)
    scores = np.ascontiguousarray(score, np.float64)
    _check(rows, columns, scores, n_requests, n_drivers)
    useful = scores > 0.0
    rows, columns, scores = rows[useful], columns[useful], scores[useful]
    order = np.lexsort((columns, rows))  # ties are broken by driver, whatever order the edges came in
    start = np.searchsorted(rows[order], np.arange(n_requests + 1))
    return _augment_all(start, columns[order], -scores[order], n_drivers)


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


@kernel
def _augment_all(
    start: NDArray[np.int64], column: NDArray[np.int64], cost: NDArray[np.float64], n_columns: int
) -> NDArray[np.int64]:
    """Insert the rows one after another along the cheapest augmenting path.

    Rows' edges stand in CSR order: `column` and `cost` (e,) between `start[row]` and `start[row + 1]`. Costs are
    negative. Returns the column of each row or -1.
    """
    n_rows = len(start) - 1
    column_of_row = np.full(n_rows, -1, np.int64)
    row_of_column = np.full(n_columns, -1, np.int64)
    price = np.zeros(n_columns)  # dual of the columns, never positive; a row's dual follows from it
    distance = np.full(n_columns, np.inf)
    came_from = np.full(n_columns, -1, np.int64)
    settled = np.zeros(n_columns, np.bool_)
    touched = np.empty(n_columns, np.int64)
    heap_key = np.empty(len(column) + 1)
    heap_column = np.empty(len(column) + 1, np.int64)

    for new_row in range(n_rows):
        n_touched = 0
        n_heap = 0
        row = new_row
        row_distance = 0.0
        # The cheapest end so far: a row on the path takes its way out (cost 0), or a free column.
        best_end = 0.0
        end_row = new_row
        end_column = -1
        while row >= 0:
            for edge in range(start[row], start[row + 1]):
                j = column[edge]
                reached = row_distance + cost[edge] - price[j]
                if reached < distance[j] and not settled[j]:
                    if distance[j] == np.inf:
                        touched[n_touched] = j
                        n_touched += 1
                    distance[j] = reached
                    came_from[j] = row
                    n_heap = _push(heap_key, heap_column, n_heap, reached, j)
            j, n_heap = _pop_nearest(heap_key, heap_column, n_heap, distance, settled)
            if j < 0 or distance[j] >= best_end:
                break
            settled[j] = True
            row = row_of_column[j]
            if row < 0:
                best_end, end_row, end_column = distance[j], -1, j
            else:
                # Go on from the row that holds the column: its edge to it has reduced cost 0.
                row_distance = distance[j] - _edge_cost(start, column, cost, row, j) + price[j]
                if row_distance < best_end:
                    best_end, end_row, end_column = row_distance, row, -1

        _flip(column_of_row, row_of_column, came_from, new_row, end_row, end_column)
        _settle_prices(price, distance, settled, touched[:n_touched], best_end)
    return column_of_row


@kernel
def _pop_nearest(
    heap_key: NDArray[np.float64],
    heap_column: NDArray[np.int64],
    size: int,
    distance: NDArray[np.float64],
    settled: NDArray[np.bool_],
) -> tuple[int, int]:
    """The nearest column that is not settled, or -1, and the heap's new size; entries overtaken since are dropped."""
    while size > 0:
        key = heap_key[0]
        j = heap_column[0]
        size = _pop(heap_key, heap_column, size)
        if not settled[j] and key == distance[j]:
            return j, size
    return -1, size


@kernel
def _settle_prices(
    price: NDArray[np.float64],
    distance: NDArray[np.float64],
    settled: NDArray[np.bool_],
    touched: NDArray[np.int64],
    path_length: float,
) -> None:
    """Lower the prices of the columns nearer than the path's end, so that reduced costs stay non-negative; clean up."""
    for j in touched:
        if settled[j] and distance[j] < path_length:
            price[j] += distance[j] - path_length
        distance[j] = np.inf
        settled[j] = False


@kernel
def _edge_cost(
    start: NDArray[np.int64], column: NDArray[np.int64], cost: NDArray[np.float64], row: int, j: int
) -> float:
    """Cost of the cheapest edge from a row to a column it is known to have."""
    best = np.inf
    for edge in range(start[row], start[row + 1]):
        if column[edge] == j and cost[edge] < best:
            best = cost[edge]
    return best


@kernel
def _flip(
    column_of_row: NDArray[np.int64],
    row_of_column: NDArray[np.int64],
    came_from: NDArray[np.int64],
    new_row: int,
    end_row: int,
    end_column: int,
) -> None:
    """Hand the columns along the path on; it ends at a free column or at a row that takes its way out."""
    j = end_column
    if end_row >= 0:
        j = column_of_row[end_row]
        column_of_row[end_row] = -1
    while j >= 0:
        row = came_from[j]
        previous = column_of_row[row]
        column_of_row[row] = j
        row_of_column[j] = row
        if row == new_row:
            break
        j = previous


@kernel
def _push(heap_key: NDArray[np.float64], heap_column: NDArray[np.int64], size: int, key: float, j: int) -> int:
    """Put a column into the binary heap; smaller (key, column) first. Returns the new size."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap_key[parent] < key or (heap_key[parent] == key and heap_column[parent] <= j):
            break
        heap_key[child] = heap_key[parent]
        heap_column[child] = heap_column[parent]
        child = parent
    heap_key[child] = key
    heap_column[child] = j
    return size + 1


@kernel
def _pop(heap_key: NDArray[np.float64], heap_column: NDArray[np.int64], size: int) -> int:
    """Remove the top of the heap. Returns the new size."""
    size -= 1
    key = heap_key[size]
    j = heap_column[size]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            heap_key[right] < heap_key[child]
            or (heap_key[right] == heap_key[child] and heap_column[right] < heap_column[child])
        ):
            child = right
        if key < heap_key[child] or (key == heap_key[child] and j <= heap_column[child]):
            break
        heap_key[hole] = heap_key[child]
        heap_column[hole] = heap_column[child]
        hole = child
    heap_key[hole] = key
    heap_column[hole] = j
    return size
