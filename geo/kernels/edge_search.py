"""Nearest edges of a point, by a tree over the middles of short straight pieces of edges.

A piece whose middle is at distance d is no nearer than d minus half its length, so a tree of middles finds it.
Distances are chords through the unit sphere, which equal metres on the ground to 1 in 10^9 at this scale.
"""

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.jit import kernel

# Depth of the work stack, as in the tree's own search.
STACK_DEPTH = 64


@kernel
def _foot_on_piece(start: FloatArray, end: FloatArray, query: FloatArray) -> tuple[float, float]:
    """Return (share along the piece, squared chord) of the point of the piece nearest to the query."""
    along, length = 0.0, 0.0
    for axis in range(3):
        run = end[axis] - start[axis]
        along += (query[axis] - start[axis]) * run
        length += run * run
    share = min(1.0, max(0.0, along / length)) if length > 0.0 else 0.0
    squared = 0.0
    for axis in range(3):
        gap = start[axis] + share * (end[axis] - start[axis]) - query[axis]
        squared += gap * gap
    return share, squared


@kernel
def _offer_inplace(
    edge: IntArray, share: FloatArray, chord: FloatArray, found: int, new_edge: int, new_share: float, new_chord: float
) -> int:
    """Keep the nearest edges sorted by (chord, edge), each once at its nearest point; return how many there are."""
    count = edge.shape[0]
    place = found
    for at in range(found):
        if edge[at] == new_edge:
            if chord[at] <= new_chord:
                return found
            place = at
            break
    if place == found:
        if found == count:
            if chord[count - 1] < new_chord or (chord[count - 1] == new_chord and edge[count - 1] < new_edge):
                return found
            place = count - 1
        else:
            found += 1
    while place > 0 and (
        chord[place - 1] > new_chord or (chord[place - 1] == new_chord and edge[place - 1] > new_edge)
    ):
        edge[place], share[place], chord[place] = edge[place - 1], share[place - 1], chord[place - 1]
        place -= 1
    edge[place], share[place], chord[place] = new_edge, new_share, new_chord
    return found


@kernel
def _search_one_inplace(
    edge: IntArray,
    share: FloatArray,
    chord: FloatArray,
    tree: tuple[FloatArray, IntArray],
    pieces: tuple[FloatArray, FloatArray, IntArray, FloatArray, FloatArray],
    query: FloatArray,
    limits: tuple[float, float],
) -> None:
    middle_xyz, axis = tree
    start, end, piece_edge, share_from, share_per_piece = pieces
    limit_chord, half_chord_max = limits
    low_stack, high_stack = np.empty(STACK_DEPTH, np.int64), np.empty(STACK_DEPTH, np.int64)
    gap_stack = np.empty(STACK_DEPTH)
    low_stack[0], high_stack[0], gap_stack[0] = 0, piece_edge.shape[0], 0.0
    depth, found, reach = 1, 0, limit_chord
    while depth > 0:
        depth -= 1
        if gap_stack[depth] > reach + half_chord_max:
            continue
        low, high = low_stack[depth], high_stack[depth]
        if low == high:
            continue
        middle = (low + high) // 2
        is_leaf = axis[middle] < 0
        first, last = (low, high) if is_leaf else (middle, middle + 1)
        for place in range(first, last):
            along, squared = _foot_on_piece(start[place], end[place], query)
            away = np.sqrt(squared)
            if away <= reach:
                at = share_from[place] + along * share_per_piece[place]
                found = _offer_inplace(edge, share, chord, found, piece_edge[place], at, away)
                if found == edge.shape[0]:
                    reach = min(limit_chord, chord[found - 1])
        if is_leaf:
            continue
        offset = query[axis[middle]] - middle_xyz[middle, axis[middle]]
        near_low, near_high = (low, middle) if offset < 0.0 else (middle + 1, high)
        far_low, far_high = (middle + 1, high) if offset < 0.0 else (low, middle)
        low_stack[depth], high_stack[depth], gap_stack[depth] = far_low, far_high, abs(offset)
        low_stack[depth + 1], high_stack[depth + 1], gap_stack[depth + 1] = near_low, near_high, 0.0
        depth += 2


@kernel
def nearest_edges(
    tree: tuple[FloatArray, IntArray],
    pieces: tuple[FloatArray, FloatArray, IntArray, FloatArray, FloatArray],
    query_xyz: FloatArray,
    count: int,
    limits: tuple[float, float],
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return (edge (m, count), share (m, count), chord (m, count)), nearest first; -1, 0 and inf where there are fewer.

    Args:
        tree: (middle_xyz (p, 3), axis (p,)), in the order of the tree.
        pieces: (start (p, 3), end (p, 3), edge (p,), share at the start (p,), share added by it (p,)).
        query_xyz: (m, 3).
        count: how many distinct edges to find.
        limits: (greatest chord to an edge, half of the longest piece as a chord).
    """
    queries = query_xyz.shape[0]
    edge = np.full((queries, count), -1, np.int64)
    share = np.zeros((queries, count))
    chord = np.full((queries, count), np.inf)
    for at in range(queries):
        _search_one_inplace(edge[at], share[at], chord[at], tree, pieces, query_xyz[at], limits)
    return edge, share, chord
