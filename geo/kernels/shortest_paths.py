"""Dijkstra's algorithm on a compressed sparse row graph, with a binary heap that tolerates outdated entries.

Source: Dijkstra 1959, doi:10.1007/BF01386390. A graph comes as a tuple of ``offset (n+1,)``,
``neighbour (m,)``, ``time_s (m,)``: from node u to neighbour[j] it takes time_s[j], for offset[u] <= j < offset[u+1].
Given the graph reversed, a search from a pickup finds the times *to* it.
"""

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray, NodeArray
from geo.jit import kernel

#: (offset (nodes + 1,), driver, delay_s): who comes to each node first, and how long from now.
Drivers = tuple[IntArray, IntArray, FloatArray]
#: (edge, driver, share, delay_s) of drivers on edges, sorted by edge; and the seconds of every edge.
OnEdges = tuple[IntArray, IntArray, FloatArray, FloatArray, FloatArray]
#: Of pickups: (node (m, 2), time_s (m, 2), edge (m, 2), share (m, 2)).
Seeds = tuple[IntArray, FloatArray, IntArray, FloatArray]


@kernel
def _push_inplace(key: FloatArray, item: NodeArray, size: int, new_key: float, new_item: int) -> int:
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if key[parent] <= new_key:
            break
        key[place], item[place] = key[parent], item[parent]
        place = parent
    key[place], item[place] = new_key, new_item
    return size + 1


@kernel
def _pop_inplace(key: FloatArray, item: NodeArray, size: int) -> int:
    """Remove the root; the caller has read it.

    The hole sinks to a leaf past the smaller children, and the last entry rises from there: it belongs low, so this
    compares less than sinking the entry itself (Wegener 1993, doi:10.1016/0304-3975(93)90364-Y).
    """
    size -= 1
    last_key, last_item = key[size], item[size]
    place, child = 0, 1
    while child + 1 < size:
        child += key[child + 1] < key[child]
        key[place], item[place] = key[child], item[child]
        place, child = child, 2 * child + 1
    if child < size:
        key[place], item[place] = key[child], item[child]
        place = child
    _push_inplace(key, item, place, last_key, last_item)
    return size


@kernel
def _insert_inplace(index: IntArray, time_s: FloatArray, found: int, driver: int, at_s: float) -> int:
    """Add a driver in the order of times, unless k are sooner; of equal times the smaller driver stands first.

    A driver who is there already keeps the sooner of both times.
    """
    k = index.shape[0]
    for held in range(found):
        if index[held] == driver:
            if time_s[held] <= at_s:
                return found
            for later in range(held, found - 1):
                index[later], time_s[later] = index[later + 1], time_s[later + 1]
            found -= 1
            break
    place = found
    while place > 0 and time_s[place - 1] >= at_s and (time_s[place - 1] > at_s or index[place - 1] > driver):
        place -= 1
    if place >= k:
        return found
    for later in range(min(found, k - 1), place, -1):
        index[later], time_s[later] = index[later - 1], time_s[later - 1]
    index[place], time_s[place] = driver, at_s
    return found + 1 if found < k else found


@kernel
def _insert_on_edge_inplace(
    index: IntArray,
    found_s: FloatArray,
    found: int,
    on_edges: OnEdges,
    edge: IntArray,
    share: FloatArray,
    limit_s: float,
) -> int:
    """Add the drivers before a pickup on one of its edges (2,), who need not leave the edge."""
    driver_edge, driver, driver_share, delay_s, edge_s = on_edges
    for way in range(2):
        if edge[way] < 0:
            continue
        place = np.searchsorted(driver_edge, edge[way])
        while place < driver_edge.shape[0] and driver_edge[place] == edge[way]:
            part = share[way] - driver_share[place]
            if part >= 0.0 and edge_s[edge[way]] < np.inf:
                there_s = delay_s[place] + part * edge_s[edge[way]]
                if there_s <= limit_s:
                    found = _insert_inplace(index, found_s, found, driver[place], there_s)
            place += 1
    return found


@kernel
def _begin_inplace(
    work: tuple[FloatArray, NodeArray, FloatArray, NodeArray], node: IntArray, time_s: FloatArray, limit_s: float
) -> int:
    """Begin a search at those of the nodes (s,), which differ, that are within the limit; returns how many."""
    best_s, touched, heap_s, heap_node = work
    size = 0
    for seed in range(node.shape[0]):
        if time_s[seed] <= limit_s:
            touched[size], best_s[node[seed]] = node[seed], time_s[seed]
            size = _push_inplace(heap_s, heap_node, size, time_s[seed], node[seed])
    return size


@kernel
def _nearest_to_one_inplace(
    index: IntArray,
    found_s: FloatArray,
    found: int,
    graph: tuple[IntArray, NodeArray, FloatArray],
    drivers: Drivers,
    work: tuple[FloatArray, NodeArray, FloatArray, NodeArray],
    seed_node: IntArray,
    seed_s: FloatArray,
    limit_s: float,
) -> None:
    """Fill one row, which holds ``found`` drivers; ``work`` is (best_s all inf, touched, heap keys, heap items).

    ``work`` is left as it was found. The search ends at nodes farther than the k-th best time, delays included: no
    driver there can arrive sooner.
    """
    offset, neighbour, time_s = graph
    driver_offset, driver, delay_s = drivers
    best_s, touched, heap_s, heap_node = work
    reach_s = found_s[found - 1] if found == index.shape[0] else limit_s
    size = touched_count = _begin_inplace(work, seed_node, seed_s, reach_s)
    while size > 0 and heap_s[0] <= reach_s:
        at_s, node = heap_s[0], heap_node[0]
        size = _pop_inplace(heap_s, heap_node, size)
        if at_s > best_s[node]:
            continue
        for place in range(driver_offset[node], driver_offset[node + 1]):
            there_s = at_s + delay_s[place]
            if there_s <= reach_s:
                found = _insert_inplace(index, found_s, found, driver[place], there_s)
        if found == index.shape[0]:
            reach_s = found_s[found - 1]
        for edge in range(offset[node], offset[node + 1]):
            next_s, next_node = at_s + time_s[edge], neighbour[edge]
            if next_s <= reach_s and next_s < best_s[next_node]:
                if best_s[next_node] == np.inf:
                    touched[touched_count] = next_node
                    touched_count += 1
                best_s[next_node] = next_s
                size = _push_inplace(heap_s, heap_node, size, next_s, next_node)
    for place in range(touched_count):
        best_s[touched[place]] = np.inf


@kernel
def nearest_drivers(
    graph: tuple[IntArray, NodeArray, FloatArray],
    drivers: Drivers,
    on_edges: OnEdges,
    seeds: Seeds,
    k: int,
    limit_s: float,
) -> tuple[IntArray, FloatArray]:
    """Return (index (m, k), time_s (m, k)), -1 and inf where there are fewer than k within the limit.

    ``graph`` is the reversed one: (offset, neighbour, time_s). The ``drivers`` from offset[u] to offset[u + 1] are at
    node u delay_s from now; ``on_edges`` are the same drivers, for pickups farther on along their edge. From node[i, j]
    of ``seeds`` pickup i is reached in time_s[i, j]; it is at share[i, j] of edge[i, j].
    """
    seed_node, seed_s, seed_edge, seed_share = seeds
    nodes, edges, pickups = graph[0].shape[0] - 1, graph[1].shape[0], seed_node.shape[0]
    index = np.full((pickups, k), -1, np.int64)
    found_s = np.full((pickups, k), np.inf)
    work = (np.full(nodes, np.inf), np.empty(nodes, np.int32), np.empty(edges + 2), np.empty(edges + 2, np.int32))
    for pickup in range(pickups):
        row, row_s = index[pickup], found_s[pickup]
        found = _insert_on_edge_inplace(row, row_s, 0, on_edges, seed_edge[pickup], seed_share[pickup], limit_s)
        _nearest_to_one_inplace(row, row_s, found, graph, drivers, work, seed_node[pickup], seed_s[pickup], limit_s)
    return index, found_s


@kernel
def _times_from_one_inplace(
    work: tuple[FloatArray, NodeArray, FloatArray, NodeArray],
    graph: tuple[IntArray, NodeArray, FloatArray],
    is_wanted: BoolArray,
    wanted: int,
    origin: int,
    limit_s: float,
) -> int:
    """Settle nodes from ``origin`` until all the ``wanted`` ones within the limit are settled.

    ``work`` is (best_s, touched, heap keys, heap items); returns how many nodes were touched, so that only those need
    to be cleared.
    """
    offset, neighbour, time_s = graph
    best_s, touched, heap_s, heap_node = work
    best_s[origin] = 0.0
    touched[0] = origin
    touched_count = 1
    size = _push_inplace(heap_s, heap_node, 0, 0.0, origin)
    while size > 0 and wanted > 0:
        at_s, node = heap_s[0], heap_node[0]
        size = _pop_inplace(heap_s, heap_node, size)
        if at_s > best_s[node]:
            continue
        if is_wanted[node]:
            is_wanted[node] = False
            wanted -= 1
        for edge in range(offset[node], offset[node + 1]):
            next_s, next_node = at_s + time_s[edge], neighbour[edge]
            if next_s <= limit_s and next_s < best_s[next_node]:
                if best_s[next_node] == np.inf:
                    touched[touched_count] = next_node
                    touched_count += 1
                best_s[next_node] = next_s
                size = _push_inplace(heap_s, heap_node, size, next_s, next_node)
    return touched_count


@kernel
def _insert_from_node_inplace(
    index: IntArray, found_s: FloatArray, found: int, drivers: Drivers, node: int, road_s: float, limit_s: float
) -> int:
    """Add the drivers of a node, from where it takes ``road_s`` to the pickup."""
    if road_s > limit_s:
        return found
    for place in range(drivers[0][node], drivers[0][node + 1]):
        there_s = road_s + drivers[2][place]
        if there_s <= limit_s:
            found = _insert_inplace(index, found_s, found, drivers[1][place], there_s)
    return found


@kernel
def nearest_drivers_from_drivers(
    graph: tuple[IntArray, NodeArray, FloatArray],
    drivers: Drivers,
    on_edges: OnEdges,
    origin: IntArray,
    seeds: Seeds,
    k: int,
    limit_s: float,
) -> tuple[IntArray, FloatArray]:
    """The result of `nearest_drivers`, searched from the drivers, which is cheaper if they are few.

    ``graph`` runs forwards, ``origin`` are the nodes to which ``drivers`` come first.
    """
    seed_node, seed_s, seed_edge, seed_share = seeds
    nodes, edges, pickups = graph[0].shape[0] - 1, graph[1].shape[0], seed_node.shape[0]
    index = np.full((pickups, k), -1, np.int64)
    found_s = np.full((pickups, k), np.inf)
    found = np.zeros(pickups, np.int64)
    is_seed = np.zeros(nodes, np.bool_)
    for pickup in range(pickups):
        row, row_s = index[pickup], found_s[pickup]
        found[pickup] = _insert_on_edge_inplace(row, row_s, 0, on_edges, seed_edge[pickup], seed_share[pickup], limit_s)
        for way in range(2):
            is_seed[seed_node[pickup, way]] |= seed_s[pickup, way] <= limit_s
    wanted = int(np.count_nonzero(is_seed))
    is_wanted = np.zeros(nodes, np.bool_)
    work = (np.full(nodes, np.inf), np.empty(nodes, np.int32), np.empty(edges + 1), np.empty(edges + 1, np.int32))
    for node in origin:
        is_wanted[:] = is_seed
        touched = _times_from_one_inplace(work, graph, is_wanted, wanted, node, limit_s)
        for pickup in range(pickups):
            road_s = min(
                work[0][seed_node[pickup, 0]] + seed_s[pickup, 0], work[0][seed_node[pickup, 1]] + seed_s[pickup, 1]
            )
            found[pickup] = _insert_from_node_inplace(
                index[pickup], found_s[pickup], found[pickup], drivers, node, road_s, limit_s
            )
        for place in range(touched):
            work[0][work[1][place]] = np.inf
    return index, found_s


@kernel
def grouped_times(
    graph: tuple[IntArray, NodeArray, FloatArray],
    group_node: IntArray,
    group_offset: IntArray,
    target: IntArray,
    limit_s: float,
) -> FloatArray:
    """Return the seconds (n,) from group_node[g] to target[p] for group_offset[g] <= p < group_offset[g + 1].

    One search for each group, which ends when the last target of the group is settled; inf where there is no way, or
    none within the limit.
    """
    nodes, edges = graph[0].shape[0] - 1, graph[1].shape[0]
    answer_s = np.empty(target.shape[0])
    is_wanted = np.zeros(nodes, np.bool_)
    work = (np.full(nodes, np.inf), np.empty(nodes, np.int32), np.empty(edges + 1), np.empty(edges + 1, np.int32))
    for group in range(group_node.shape[0]):
        wanted = 0
        for pair in range(group_offset[group], group_offset[group + 1]):
            if not is_wanted[target[pair]]:
                is_wanted[target[pair]] = True
                wanted += 1
        touched = _times_from_one_inplace(work, graph, is_wanted, wanted, group_node[group], limit_s)
        for pair in range(group_offset[group], group_offset[group + 1]):
            answer_s[pair] = work[0][target[pair]]
            is_wanted[target[pair]] = False
        for place in range(touched):
            work[0][work[1][place]] = np.inf
    return answer_s


@kernel
def _walk_back(came_from: IntArray, came_by: IntArray, origin: int, destination: int) -> tuple[IntArray, IntArray]:
    steps, node = 0, destination
    while node != origin:
        node, steps = came_from[node], steps + 1
    path, place = np.empty(steps + 1, np.int64), np.empty(steps, np.int64)
    node = destination
    for step in range(steps):
        path[step], place[step] = node, came_by[node]
        node = came_from[node]
    path[steps] = origin
    return path, place


@kernel
def path_backwards(
    graph: tuple[IntArray, NodeArray, FloatArray], origin: int, destination: int
) -> tuple[IntArray, IntArray]:
    """Return (node (p,), place (p - 1,)) of a quickest path in reverse order; both empty where there is no way.

    ``place`` are positions in the graph's neighbours: place[i] leads from node[i + 1] to node[i].
    """
    offset, neighbour, time_s = graph
    nodes, edges = offset.shape[0] - 1, neighbour.shape[0]
    best_s = np.full(nodes, np.inf)
    came_from, came_by = np.full(nodes, -1, np.int64), np.full(nodes, -1, np.int64)
    heap_s, heap_node = np.empty(edges + 1), np.empty(edges + 1, np.int32)
    best_s[origin] = 0.0
    size = _push_inplace(heap_s, heap_node, 0, 0.0, origin)
    while size > 0 and heap_node[0] != destination:
        at_s, node = heap_s[0], heap_node[0]
        size = _pop_inplace(heap_s, heap_node, size)
        if at_s > best_s[node]:
            continue
        for edge in range(offset[node], offset[node + 1]):
            next_s, next_node = at_s + time_s[edge], neighbour[edge]
            if next_s < best_s[next_node]:
                best_s[next_node] = next_s
                came_from[next_node], came_by[next_node] = node, edge
                size = _push_inplace(heap_s, heap_node, size, next_s, next_node)
    if best_s[destination] == np.inf:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return _walk_back(came_from, came_by, origin, destination)
