"""Kernels of the assignment: bidding settles most rows, cheapest augmenting paths the rest.

Costs are negative scores. Every row may stay unmatched at cost 0 (its way out), so a problem always has a solution.
Prices are the duals of the columns: 0 for a column without a row, never positive; the duals of the rows follow from
them. At all times a row that has a column, or its way out, has no cheaper choice at these prices, which makes the final
assignment optimal. The two phases are those of Jonker and Volgenant 1987 (doi:10.1007/BF02278710), on a sparse graph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo.jit import kernel

#: start (m + 1,), column (e,), cost (e,): the edges of row r stand between start[r] and start[r + 1], by column.
Edges = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]
#: edge_of_row (m,), row_of_column (n,), -1 for none, and price (n,).
Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

#: Bids per row before augmenting paths take over: where many rows want few columns, bidding converges slowly.
BIDS_PER_ROW = 4
#: Costs are integers of so many bits, and no price or reduced cost is greater than the greatest cost, ...
COST_BITS = 58
#: ... so a path, a sum of at most three of them, stays below this.
FAR = 1 << 62


@kernel
def edges_by_row(
    request: NDArray[np.int64], driver: NDArray[np.int64], score: NDArray[np.float64], n_rows: int, n_columns: int
) -> Edges:
    """The edges (e,) with a positive score, sorted by row and then column, whatever order they came in.

    Two counting sorts, by column and by row. Edges with a score of 0 or less lose to the way out and are dropped.
    """
    by_column = _places(driver, score, n_columns)
    scale = _scale(score)
    edge = np.empty(by_column[n_columns], np.int64)
    for e in range(len(driver)):
        if score[e] > 0.0:
            edge[by_column[driver[e]]] = e
            by_column[driver[e]] += 1
    by_row = _places(request, score, n_rows)
    start = by_row.copy()
    column = np.empty(len(edge), np.uint32)
    cost = np.empty(len(edge), np.int64)
    for e in edge:
        place = by_row[request[e]]
        by_row[request[e]] += 1
        column[place] = driver[e]
        cost[place] = -round(score[e] * scale)
    return start, column, cost


@kernel
def _scale(score: NDArray[np.float64]) -> float:
    """The power of two by which scores are scaled to integers, the greatest with `COST_BITS` bits.

    Integers add up exactly: ties stay ties, and no rounding error leads a path in a circle. Only bits below
    the 2**-58th part of the greatest score are lost.
    """
    greatest = 0.0
    for value in score:
        greatest = max(greatest, value)
    return 2.0 ** (COST_BITS - 1 - np.floor(np.log2(greatest))) if greatest > 0.0 else 1.0


@kernel
def _places(index: NDArray[np.int64], score: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Where the edges of each index begin, (size + 1,), if those with a positive score stand sorted by it."""
    begin = np.zeros(size + 1, np.int64)
    for e in range(len(index)):
        if score[e] > 0.0:
            begin[index[e] + 1] += 1
    for i in range(size):
        begin[i + 1] += begin[i]
    return begin


@kernel
def cheapest_places(
    start: NDArray[np.int64], column: NDArray[np.uint32], cost: NDArray[np.int64], n_columns: int
) -> NDArray[np.int64]:
    """The column of each row, (m,), -1 where it takes its way out, so that the total cost is least."""
    n_rows = len(start) - 1
    edges = start, column, cost
    places = np.full(n_rows, -1, np.int64), np.full(n_columns, -1, np.int64), np.zeros(n_columns, np.int64)
    without_place = _bid(edges, places)
    _augment_all(edges, places, without_place)
    column_of_row = np.full(n_rows, -1, np.int64)
    for row in range(n_rows):
        if places[0][row] >= 0:
            column_of_row[row] = column[places[0][row]]
    return column_of_row


@kernel
def _bid(edges: Edges, places: Places) -> NDArray[np.int64]:
    """Let each row bid for its cheapest column, up to where its second choice is as good; returns rows without a place.

    The row reduction of Jonker and Volgenant: a row that is outbid bids again at once. Rows of equal cost do not bid
    against each other, and there are at most `BIDS_PER_ROW` bids per row.
    """
    _, column, _ = edges
    edge_of_row, row_of_column, price = places
    n_rows = len(edges[0]) - 1
    n_bids_left = BIDS_PER_ROW * n_rows
    left = np.empty(n_rows, np.int64)
    n_left = 0
    for first in range(n_rows):
        row = first
        while row >= 0:
            edge, gap, second_edge = _two_cheapest(edges, price, row)
            if edge < 0:
                break  # its way out is as cheap as any column, and stays so: prices only fall
            if gap == 0 and row_of_column[column[edge]] >= 0 and second_edge >= 0:
                edge = second_edge
            holder = row_of_column[column[edge]]
            if holder >= 0 and (gap == 0 or n_bids_left == 0):
                left[n_left] = row
                n_left += 1
                break
            price[column[edge]] -= gap
            edge_of_row[row] = edge
            row_of_column[column[edge]] = row
            if holder >= 0:
                edge_of_row[holder] = -1
                n_bids_left -= 1
            row = holder
    return left[:n_left]


@kernel
def _two_cheapest(edges: Edges, price: NDArray[np.int64], row: int) -> tuple[int, int, int]:
    """A row's cheapest edge at these prices, how much dearer its second choice is, and the edge of that.

    An edge is -1 where the way out is meant: it is first if nothing is cheaper.
    """
    start, column, cost = edges
    best, second = 0, 0
    best_edge, second_edge = -1, -1
    for edge in range(start[row], start[row + 1]):
        reduced = cost[edge] - price[column[edge]]
        if reduced < best:
            second, second_edge = best, best_edge
            best, best_edge = reduced, edge
        elif reduced < second:
            second, second_edge = reduced, edge
    return best_edge, second - best, second_edge


@kernel
def _first_equal_row(edges: Edges) -> NDArray[np.int64]:
    """The first row with the same columns and, up to a constant, the same costs, (m,): such as riders at one station.

    At any prices such rows have the same reduced costs, so a search needs to expand only one of them.
    """
    start, column, cost = edges
    n_rows = len(start) - 1
    size = 4
    while size < 2 * n_rows:
        size *= 2
    table = np.full(size, -1, np.int64)
    first_equal = np.arange(n_rows)
    for row in range(n_rows):
        slot = 0
        for edge in range(start[row], start[row + 1]):
            part = column[edge] ^ (cost[edge] - cost[start[row]])
            slot = (slot * 1_000_003 ^ part ^ part >> 31) & 0x7FFFFFFF  # no product overflows, compiled or not
        slot &= size - 1
        while table[slot] >= 0 and not _have_equal_costs(edges, table[slot], row):
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = row
        first_equal[row] = table[slot]
    return first_equal


@kernel
def _have_equal_costs(edges: Edges, one: int, other: int) -> bool:
    start, column, cost = edges
    if start[one + 1] - start[one] != start[other + 1] - start[other]:
        return False
    for place in range(start[one + 1] - start[one]):
        a, b = start[one] + place, start[other] + place
        if column[a] != column[b] or cost[a] - cost[start[one]] != cost[b] - cost[start[other]]:
            return False
    return True


@kernel
def _augment_all(edges: Edges, places: Places, rows: NDArray[np.int64]) -> None:
    """Give each of the rows a place along the cheapest augmenting path, one after another; changes `places`."""
    n_columns = len(places[1])
    distance = np.full(n_columns, FAR, np.int64)
    came_by = np.full(n_columns, -1, np.int64)  # edge over which a column was reached
    came_from = np.full(n_columns, -1, np.int64)  # and the row that the edge belongs to
    touched = np.empty(n_columns, np.int64)
    heap_key = np.empty(len(edges[1]) + 1, np.int64)
    ready = np.empty(len(edges[1]) + 1, np.int64)
    heap_column = np.empty(len(edges[1]) + 1, np.int64)
    reached = distance, came_by, came_from, touched
    first_equal = _first_equal_row(edges)
    searched_for = np.full(len(first_equal), -1, np.int64)
    for row in rows:
        _augment(edges, places, reached, (heap_key, heap_column, ready), (first_equal, searched_for), row)


@kernel
def _augment(
    edges: Edges,
    places: Places,
    reached: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    heap: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    equal_rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    new_row: int,
) -> None:
    """Dijkstra over reduced costs from one row to the nearest free column or way out; flips the path, lowers prices."""
    start, column, cost = edges
    edge_of_row, row_of_column, price = places
    distance, came_by, came_from, touched = reached
    n_touched, n_heap, n_ready = 0, 0, 0
    row, row_distance, level = new_row, 0, -FAR
    # The nearest end so far: a row on the path that takes its way out, or a free column.
    path_length, end_row, end_column = 0, new_row, -1
    first_equal, searched_for = equal_rows
    while True:
        end = start[row + 1] if searched_for[first_equal[row]] != new_row else start[row]
        searched_for[first_equal[row]] = new_row
        for edge in range(start[row], end):
            j = column[edge]
            length = row_distance + cost[edge] - price[j]
            if length >= path_length or length >= distance[j]:
                continue
            if distance[j] == FAR:
                touched[n_touched] = j
                n_touched += 1
            distance[j], came_by[j], came_from[j] = length, edge, row
            if row_of_column[j] < 0:
                path_length, end_row, end_column = length, -1, j
            elif length == level:
                heap[2][n_ready] = j
                n_ready += 1
            else:
                n_heap = _push(heap[0], heap[1], n_heap, length, j)
        j, n_heap, n_ready = _next(heap, n_heap, n_ready, distance)
        if j < 0 or distance[j] >= path_length:
            break
        level = distance[j]
        # Go on from the row that holds the column: its edge to it has reduced cost 0.
        row = row_of_column[j]
        row_distance = distance[j] - (cost[edge_of_row[row]] - price[j])
        if row_distance < path_length:
            path_length, end_row, end_column = row_distance, row, -1
    for j in touched[:n_touched]:
        price[j] += min(0, distance[j] - path_length)
        distance[j] = FAR
    _flip(edges, places, (came_by, came_from), new_row, end_row, end_column)


@kernel
def _flip(
    edges: Edges,
    places: Places,
    came: tuple[NDArray[np.int64], NDArray[np.int64]],
    new_row: int,
    end_row: int,
    end_column: int,
) -> None:
    """Reassign the columns along the path, which ends at a free column or at a row that stays unmatched."""
    column = edges[1]
    edge_of_row, row_of_column, _ = places
    came_by, came_from = came
    if end_row == new_row:
        return
    j = end_column
    if end_row >= 0:
        j = column[edge_of_row[end_row]]
        edge_of_row[end_row] = -1
    while True:
        row = came_from[j]
        held = edge_of_row[row]
        edge_of_row[row] = came_by[j]
        row_of_column[j] = row
        if row == new_row:
            break
        j = column[held]


@kernel
def _next(
    heap: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    n_heap: int,
    n_ready: int,
    distance: NDArray[np.int64],
) -> tuple[int, int, int]:
    """The nearest column that waits, or -1, and what is left in the heap and among the ready ones, which come first.

    Entries that were overtaken since are dropped.
    """
    heap_key, heap_column, ready = heap
    if n_ready > 0:
        return ready[n_ready - 1], n_heap, n_ready - 1
    while n_heap > 0:
        key, j = heap_key[0], heap_column[0]
        n_heap = _pop(heap_key, heap_column, n_heap)
        if key == distance[j]:
            return j, n_heap, n_ready
    return -1, n_heap, n_ready


@kernel
def _push(heap_key: NDArray[np.int64], heap_column: NDArray[np.int64], size: int, key: int, j: int) -> int:
    """Put a column into the binary heap, smallest key first. Returns the new size."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap_key[parent] <= key:
            break
        heap_key[child] = heap_key[parent]
        heap_column[child] = heap_column[parent]
        child = parent
    heap_key[child] = key
    heap_column[child] = j
    return size + 1


@kernel
def _pop(heap_key: NDArray[np.int64], heap_column: NDArray[np.int64], size: int) -> int:
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
        if right < size and heap_key[right] < heap_key[child]:
            child = right
        if key <= heap_key[child]:
            break
        heap_key[hole] = heap_key[child]
        heap_column[hole] = heap_column[child]
        hole = child
    heap_key[hole] = key
    heap_column[hole] = j
    return size
