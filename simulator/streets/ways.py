"""Seconds and metres of quickest ways, searched in batches: what a city's day needs of its streets, without paths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray, NodeArray, positions
from geo.jit import kernel
from geo.roads.graph import RoadGraph
from geo.roads.road_places import Links, along_edge
from simulator.streets.stops import Stops


class Way(NamedTuple):
    """How long a quickest way takes in free flow, and how far it leads; infinite where there is none."""

    duration_s: float
    length_m: float


class Ways:
    """Quickest ways between stops of one city, remembered once they are known."""

    def __init__(self, graph: RoadGraph) -> None:
        rows = graph.leaving
        self._roads = graph
        self._graph = (rows.offset, rows.neighbour, graph.leaving_s, graph.length_m[rows.edge])
        self._known: dict[tuple[int, int], Way] = {}
        self.stops = Stops(graph)

    def learn(self, origin: npt.ArrayLike, destination: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Find the ways (n,) between stops in one sweep, remember them, and return their seconds (n,) and metres (n,).

        Crossings that several ways leave from are searched from once. Raises ValueError for stops that do not exist or
        vectors of different lengths.
        """
        origins = positions("origin", origin, len(self.stops))
        destinations = positions("destination", destination, len(self.stops))
        if origins.shape != destinations.shape:
            raise ValueError(f"{origins.shape[0]} origins but {destinations.shape[0]} destinations")
        places = self.stops.places
        along_s, along_m = along_edge(self._roads, places[origins], places[destinations])
        across_s, across_m = self._across(self.stops.out[origins], self.stops.into[destinations])
        is_along = along_s <= across_s
        duration_s, length_m = np.where(is_along, along_s, across_s), np.where(is_along, along_m, across_m)
        pairs = zip(origins.tolist(), destinations.tolist(), strict=True)
        self._known.update(zip(pairs, map(Way, duration_s.tolist(), length_m.tolist()), strict=True))
        return duration_s, length_m

    def between(self, origin: int, destination: int) -> Way:
        """The way from one stop to another; searched only if nobody has asked for it before."""
        pair = origin, destination
        if pair not in self._known:
            self.learn([origin], [destination])
        return self._known[pair]

    def _across(self, leave: Links, enter: Links) -> tuple[FloatArray, FloatArray]:
        """Seconds (n,) and metres (n,) of the quickest way over crossings for each row."""
        links_s = (leave.time_s[:, :, None] + enter.time_s[:, None, :]).reshape(-1, 4)
        links_m = (leave.length_m[:, :, None] + enter.length_m[:, None, :]).reshape(-1, 4)
        row, pair = np.nonzero(np.isfinite(links_s))
        near, far = leave.node[row, pair // 2].astype(np.int64), enter.node[row, pair % 2].astype(np.int64)
        order = np.argsort(near, kind="stable")
        found_s, found_m = quickest_ways(self._graph, near[order], far[order])
        row, pair = row[order], pair[order]
        links_s[row, pair] += found_s
        links_m[row, pair] += found_m
        best = np.argmin(links_s, axis=1)[:, None]
        return np.take_along_axis(links_s, best, 1)[:, 0], np.take_along_axis(links_m, best, 1)[:, 0]


@kernel
def quickest_ways(
    graph: tuple[IntArray, NodeArray, FloatArray, FloatArray], origin: IntArray, destination: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return (duration_s (n,), length_m (n,)) of a quickest way for each pair, both inf where there is none.

    ``graph`` is offset (nodes + 1,), neighbour, time_s, length_m (edges,). ``origin`` is sorted: equal neighbours share
    one search (Dijkstra 1959, doi:10.1007/BF01386390), which ends when the last of their destinations is settled.
    """
    nodes, edges, pairs = graph[0].shape[0] - 1, graph[1].shape[0], origin.shape[0]
    duration_s, length_m = np.empty(pairs), np.empty(pairs)
    best_s, metres = np.empty(nodes), np.empty(nodes)
    heap_s, heap_node = np.empty(edges + 1), np.empty(edges + 1, np.int32)
    is_wanted = np.zeros(nodes, np.bool_)
    first = 0
    while first < pairs:
        last, wanted = first, 0
        while last < pairs and origin[last] == origin[first]:
            if not is_wanted[destination[last]]:
                is_wanted[destination[last]] = True
                wanted += 1
            last += 1
        _search_inplace(best_s, metres, is_wanted, graph, (heap_s, heap_node), origin[first], wanted)
        for pair in range(first, last):
            duration_s[pair], length_m[pair] = best_s[destination[pair]], metres[destination[pair]]
            is_wanted[destination[pair]] = False
        first = last
    return duration_s, length_m


@kernel
def _search_inplace(
    best_s: FloatArray,
    metres: FloatArray,
    is_wanted: npt.NDArray[np.bool_],
    graph: tuple[IntArray, NodeArray, FloatArray, FloatArray],
    heap: tuple[FloatArray, NodeArray],
    origin: int,
    wanted: int,
) -> None:
    """Settle nodes from ``origin`` until the wanted ones are; what was never reached stays at inf."""
    offset, neighbour, time_s, length_m = graph
    heap_s, heap_node = heap
    best_s[:], metres[:] = np.inf, np.inf
    best_s[origin], metres[origin] = 0.0, 0.0
    size = _push(heap_s, heap_node, 0, 0.0, origin)
    while size > 0 and wanted > 0:
        at_s, node = heap_s[0], heap_node[0]
        size = _pop(heap_s, heap_node, size)
        if at_s > best_s[node]:
            continue
        if is_wanted[node]:
            is_wanted[node] = False
            wanted -= 1
        for edge in range(offset[node], offset[node + 1]):
            next_s, next_node = at_s + time_s[edge], neighbour[edge]
            if next_s < best_s[next_node]:
                best_s[next_node], metres[next_node] = next_s, metres[node] + length_m[edge]
                size = _push(heap_s, heap_node, size, next_s, next_node)


@kernel
def _push(key: FloatArray, item: NodeArray, size: int, new_key: float, new_item: int) -> int:
    """Add an entry to the binary heap; returns the new size."""
    place = size
    while place > 0 and key[(place - 1) >> 1] > new_key:
        parent = (place - 1) >> 1
        key[place], item[place] = key[parent], item[parent]
        place = parent
    key[place], item[place] = new_key, new_item
    return size + 1


@kernel
def _pop(key: FloatArray, item: NodeArray, size: int) -> int:
    """Remove the root, which the caller has read; returns the new size. The hole sinks, the last entry rises there."""
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
    _push(key, item, place, last_key, last_item)
    return size
