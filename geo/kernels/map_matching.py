"""Hidden-Markov map matching: the most likely route of a car with sparse positions.

Hidden states are edges near a position. The likelihood of a position falls with its distance from the edge, that of a
step with the excess of its route over the straight line. Source: Newson and Krumm 2009, doi:10.1145/1653771.1653818.
The heap is duplicated in shortest_paths.py: an edited kernel does not invalidate cached callers in other files.
"""

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray, NodeArray
from geo.jit import kernel


@kernel
def _sift_up_inplace(key: FloatArray, item: NodeArray, place: int, new_key: float, new_item: int) -> None:
    while place > 0 and key[(place - 1) >> 1] > new_key:
        key[place], item[place] = key[(place - 1) >> 1], item[(place - 1) >> 1]
        place = (place - 1) >> 1
    key[place], item[place] = new_key, new_item


@kernel
def _sift_down_inplace(key: FloatArray, item: NodeArray, size: int) -> None:
    """Remove the root of ``size`` entries."""
    last_key, last_item = key[size - 1], item[size - 1]
    place, child = 0, 1
    while child < size - 1:
        if child + 1 < size - 1 and key[child + 1] < key[child]:
            child += 1
        if key[child] >= last_key:
            break
        key[place], item[place] = key[child], item[child]
        place, child = child, 2 * child + 1
    key[place], item[place] = last_key, last_item


@kernel
def _explore_inplace(
    best_m: FloatArray,
    came_by: IntArray,
    touched: NodeArray,
    heap: tuple[FloatArray, NodeArray],
    graph: tuple[IntArray, NodeArray, FloatArray],
    origin: int,
    limit_m: float,
) -> int:
    """Compute the metres from ``origin`` to every node within the limit; return the number of nodes reached."""
    offset, neighbour, length_m = graph
    heap_m, heap_node = heap
    best_m[origin], came_by[origin], touched[0] = 0.0, -1, origin
    heap_m[0], heap_node[0] = 0.0, origin
    size, touched_count = 1, 1
    while size > 0:
        at_m, node = heap_m[0], heap_node[0]
        _sift_down_inplace(heap_m, heap_node, size)
        size -= 1
        if at_m > best_m[node]:
            continue
        for place in range(offset[node], offset[node + 1]):
            next_m, next_node = at_m + length_m[place], neighbour[place]
            if next_m <= limit_m and next_m < best_m[next_node]:
                if best_m[next_node] == np.inf:
                    touched[touched_count] = next_node
                    touched_count += 1
                best_m[next_node], came_by[next_node] = next_m, place
                _sift_up_inplace(heap_m, heap_node, size, next_m, next_node)
                size += 1
    return touched_count


@kernel
def _reset_inplace(best_m: FloatArray, touched: NodeArray, touched_count: int) -> None:
    for place in range(touched_count):
        best_m[touched[place]] = np.inf


@kernel
def _route_m(
    ends: tuple[NodeArray, NodeArray, FloatArray], best_m: FloatArray, here: tuple[int, float], there: tuple[int, float]
) -> float:
    """Return the route's metres between places on two edges, given the metres from the end of the first edge."""
    source, _, length_m = ends
    first_m, last_m = float(length_m[here[0]]), float(length_m[there[0]])
    if here[0] == there[0] and there[1] >= here[1]:
        return (there[1] - here[1]) * first_m
    return (1.0 - here[1]) * first_m + float(best_m[source[there[0]]]) + there[1] * last_m


@kernel
def match_tracks(
    graph: tuple[IntArray, NodeArray, FloatArray],
    ends: tuple[NodeArray, NodeArray, FloatArray],
    candidates: tuple[IntArray, FloatArray, FloatArray],
    straight_m: FloatArray,
    follows: BoolArray,
    scales: tuple[float, float, float, float],
) -> IntArray:
    """Return the chosen candidate (p,) of every position, -1 where none is near.

    Args:
        graph: (offset, neighbour, length_m): the edges by source node.
        ends: (source (m,), target (m,), length_m (m,)): the edges by number.
        candidates: (edge (p, c), share (p, c), distance_m (p, c)), edge -1 where there are fewer.
        straight_m: (p,) great-circle metres from the position before.
        follows: (p,) whether a position belongs to the same track as the one before.
        scales: (standard deviation of positions in metres, mean excess of routes in metres, greatest route as a
            multiple of the straight line, metres added to it).
    """
    edge, share, distance_m = candidates
    stray_m, detour_m, reach_factor, reach_m = scales
    count, width = edge.shape
    nodes = graph[0].shape[0] - 1
    best_m, came_by = np.full(nodes, np.inf), np.full(nodes, -1, np.int64)
    touched = np.empty(nodes, np.int32)
    heap = (np.empty(graph[1].shape[0] + 1), np.empty(graph[1].shape[0] + 1, np.int32))
    cost = np.full((count, width), np.inf)
    back = np.full((count, width), -1, np.int64)
    for at in range(count):
        if at > 0 and follows[at]:
            limit_m = reach_factor * straight_m[at] + reach_m
            for before in range(width):
                if cost[at - 1, before] == np.inf:
                    continue
                here = (edge[at - 1, before], share[at - 1, before])
                touched_count = _explore_inplace(best_m, came_by, touched, heap, graph, ends[1][here[0]], limit_m)
                for now in range(width):
                    if edge[at, now] >= 0:
                        way_m = _route_m(ends, best_m, here, (edge[at, now], share[at, now]))
                        total = cost[at - 1, before] + abs(way_m - straight_m[at]) / detour_m
                        if total < cost[at, now]:
                            cost[at, now], back[at, now] = total, before
                _reset_inplace(best_m, touched, touched_count)
        is_broken = cost[at].min() == np.inf
        for now in range(width):
            if edge[at, now] >= 0:
                own = 0.5 * (distance_m[at, now] / stray_m) ** 2
                cost[at, now] = own if is_broken else cost[at, now] + own
    return _backtrack(cost, back)


@kernel
def _backtrack(cost: FloatArray, back: IntArray) -> IntArray:
    """Follow the cheapest chains back from their ends; a chain begins where no step leads back."""
    count = cost.shape[0]
    chosen = np.full(count, -1, np.int64)
    for at in range(count - 1, -1, -1):
        if at + 1 < count and chosen[at + 1] >= 0 and back[at + 1, chosen[at + 1]] >= 0:
            chosen[at] = back[at + 1, chosen[at + 1]]
        elif cost[at].min() < np.inf:
            chosen[at] = np.argmin(cost[at])
    return chosen


@kernel
def trace_steps(
    graph: tuple[IntArray, NodeArray, FloatArray],
    row_edge: IntArray,
    ends: tuple[NodeArray, NodeArray, FloatArray],
    steps: tuple[IntArray, FloatArray, IntArray, FloatArray],
    limit_m: FloatArray,
) -> tuple[IntArray, NodeArray, FloatArray]:
    """Return (offset (s + 1,), edge (q,), metres (q,)): the edges driven in each step and how far on each.

    ``steps`` is (edge, share, next edge, next share), (s,) each; ``row_edge`` are the numbers of the graph's edges.
    A step without a route within its limit has no edges.
    """
    from_edge, from_share, to_edge, to_share = steps
    source, target, length_m = ends
    count, nodes = from_edge.shape[0], graph[0].shape[0] - 1
    best_m, came_by = np.full(nodes, np.inf), np.full(nodes, -1, np.int64)
    touched = np.empty(nodes, np.int32)
    heap = (np.empty(graph[1].shape[0] + 1), np.empty(graph[1].shape[0] + 1, np.int32))
    offset = np.zeros(count + 1, np.int64)
    edge, metres = np.empty(4 * count + 16, np.int32), np.empty(4 * count + 16)
    filled = 0
    for step in range(count):
        here, there = from_edge[step], to_edge[step]
        if filled + 2 + nodes > edge.shape[0]:
            edge = np.concatenate((edge, np.empty(edge.shape[0] + nodes + 2, np.int32)))
            metres = np.concatenate((metres, np.empty(metres.shape[0] + nodes + 2)))
        if here == there and to_share[step] >= from_share[step]:
            edge[filled], metres[filled] = here, (to_share[step] - from_share[step]) * length_m[here]
            filled += 1
        else:
            touched_count = _explore_inplace(best_m, came_by, touched, heap, graph, target[here], limit_m[step])
            if best_m[source[there]] < np.inf:
                edge[filled], metres[filled] = here, (1.0 - from_share[step]) * length_m[here]
                edge[filled + 1], metres[filled + 1] = there, to_share[step] * length_m[there]
                filled += 2
                node = source[there]
                while came_by[node] >= 0:
                    between = row_edge[came_by[node]]
                    edge[filled], metres[filled] = between, length_m[between]
                    filled += 1
                    node = source[between]
            _reset_inplace(best_m, touched, touched_count)
        offset[step + 1] = filled
    return offset, edge[:filled].copy(), metres[:filled].copy()


@kernel
def far_enough(place: FloatArray, follows: BoolArray, chord_min: float) -> BoolArray:
    """Return which positions (p,) to keep: the first of each track, then each that is far from the last one kept.

    ``place (p, 3)`` are unit vectors, ``chord_min`` is the least straight distance between two that are kept.
    """
    count = follows.shape[0]
    is_kept = np.zeros(count, np.bool_)
    last = 0
    for at in range(count):
        square = 0.0
        for axis in range(3):
            square += (place[at, axis] - place[last, axis]) ** 2
        if not follows[at] or square >= chord_min * chord_min:
            is_kept[at] = True
            last = at
    return is_kept
