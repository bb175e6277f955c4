"""Travel times over a road graph, searched under the present traffic; nothing is precomputed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray, positions, positive_count
from geo.kernels.shortest_paths import grouped_times, nearest_drivers, nearest_drivers_from_drivers, path_backwards
from geo.roads.graph import RoadGraph
from geo.roads.road_places import Links, RoadPlaces, entering, leaving, places_of


class UnreachableError(ValueError):
    """There is no way from the origin to the destination."""


@dataclass(frozen=True)
class Path:
    """A quickest way through the graph.

    Attributes:
        node: (p,) the nodes from origin to destination.
        edge: (p - 1,) the edges between them.
        arrival_s: (p,) seconds since the start at each node.
        length_m: (p,) metres since the start at each node.
    """

    node: IntArray
    edge: IntArray
    arrival_s: FloatArray
    length_m: FloatArray


def nearest_by_road(
    graph: RoadGraph,
    drivers: RoadPlaces | npt.ArrayLike,
    pickups: RoadPlaces | npt.ArrayLike,
    k: int,
    limit_s: float,
    delay_s: npt.ArrayLike | None = None,
) -> tuple[IntArray, FloatArray]:
    """Return (index (m, k), time_s (m, k)): the k drivers who reach each pickup first, the first one first.

    ``drivers`` (n,) and ``pickups`` (m,) are places on roads, or numbers of the nodes at which they are; ``index`` are
    rows of ``drivers``. ``delay_s (n,)`` is how long from now each driver sets out, and counts into ``time_s``; at once
    if left out. -1 and inf where fewer than k are within ``limit_s`` (which may be inf). Of equal times the smaller
    index first. Raises ValueError for places that are not on the graph, k below 1, a limit that is negative or NaN, or
    delays that are negative, NaN or not one for each driver.
    """
    cars, riders = (places_of(name, given, graph) for name, given in (("drivers", drivers), ("pickups", pickups)))
    delay = np.zeros(len(cars)) if delay_s is None else np.asarray(delay_s, np.float64)
    if delay.shape != (len(cars),) or not (delay >= 0.0).all():
        raise ValueError(f"delay_s must hold a number from 0 for each of {len(cars)} drivers")
    positive_count("k", k)
    if not limit_s >= 0.0:
        raise ValueError(f"limit_s must not be negative or NaN, but is {limit_s}")
    at_nodes, on_edges = _by_node(graph, leaving(graph, cars), delay), _by_edge(graph, cars, delay)
    ends = entering(graph, riders)
    # One search for each distinct place, in ascending order of the tree: neighbours share what the CPU caches.
    first, row = _distinct(graph, ends, riders)
    seeds = ends.node[first], ends.time_s[first], riders.edge[first], riders.share[first]
    origin = np.flatnonzero(np.diff(at_nodes[0]))
    # A search from a pickup ends with its k-th driver, about when k / n of what is in reach was seen; one from a driver
    # goes as far as the limit. Where requests queue for few drivers, that is still the lesser work.
    if origin.shape[0] * max(1.0, len(cars) / k) < first.shape[0]:
        ways = (graph.leaving.offset, graph.leaving.neighbour, graph.leaving_s)
        index, time_s = nearest_drivers_from_drivers(ways, at_nodes, on_edges, origin, seeds, k, float(limit_s))
    else:
        ways = (graph.arriving.offset, graph.arriving.neighbour, graph.arriving_s)
        index, time_s = nearest_drivers(ways, at_nodes, on_edges, seeds, k, float(limit_s))
    return index[row], time_s[row]


def _by_node(graph: RoadGraph, links: Links, delay_s: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """(offset (nodes + 1,), driver, delay_s): who comes to each node first, and when, with the delay."""
    driver, column = np.nonzero(np.isfinite(links.time_s))
    node, there_s = links.node[driver, column], links.time_s[driver, column] + delay_s[driver]
    offset = np.zeros(graph.node_count + 1, np.int64)
    np.cumsum(np.bincount(node, minlength=graph.node_count), out=offset[1:])
    order = np.argsort(node, kind="stable")
    return offset, driver[order], there_s[order]


def _by_edge(
    graph: RoadGraph, drivers: RoadPlaces, delay_s: FloatArray
) -> tuple[IntArray, IntArray, FloatArray, FloatArray, FloatArray]:
    """(edge, driver, share, delay_s) sorted by edge, and the seconds of every edge: for ways that do not leave one."""
    driver, column = np.nonzero(drivers.edge >= 0)
    edge = drivers.edge[driver, column]
    order = np.argsort(edge, kind="stable")
    edge, driver, column = edge[order], driver[order], column[order]
    return edge, driver, drivers.share[driver, column], delay_s[driver], graph.travel_time_s


def _distinct(graph: RoadGraph, ends: Links, pickups: RoadPlaces) -> tuple[IntArray, IntArray]:
    """(first, row): a row of each distinct place, in the order of the tree of nodes; and which of them each is."""
    count = len(pickups)
    if count == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    place_in_tree = np.empty(graph.node_count, np.int64)
    place_in_tree[graph.node_index.order] = np.arange(graph.node_count)
    keys = (pickups.share[:, 0], pickups.edge[:, 0], place_in_tree[ends.node[:, 0]])
    order = np.lexsort(keys)
    is_new = np.ones(count, np.bool_)
    is_new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    row = np.empty(count, np.int64)
    row[order] = np.cumsum(is_new) - 1
    return order[is_new], row


def between(
    graph: RoadGraph, origin_node: npt.ArrayLike, destination_node: npt.ArrayLike, limit_s: float = np.inf
) -> FloatArray:
    """Return the seconds (n,) from each origin to the destination at the same position.

    inf where there is no way, or none within ``limit_s``, beyond which nothing is searched. Pairs that share an end
    are answered by one search. Raises ValueError for nodes that do not exist, vectors of different lengths, or a limit
    that is negative or NaN.
    """
    origins = positions("origin_node", origin_node, graph.node_count)
    destinations = positions("destination_node", destination_node, graph.node_count)
    if origins.shape != destinations.shape:
        raise ValueError(f"{origins.shape[0]} origins but {destinations.shape[0]} destinations")
    if not limit_s >= 0.0:
        raise ValueError(f"limit_s must not be negative or NaN, but is {limit_s}")
    if origins.shape[0] == 0:
        return np.empty(0)
    forwards = np.unique(origins).shape[0] <= np.unique(destinations).shape[0]
    near, far = (origins, destinations) if forwards else (destinations, origins)
    rows, times = (graph.leaving, graph.leaving_s) if forwards else (graph.arriving, graph.arriving_s)
    order = np.argsort(near, kind="stable")
    group, first = np.unique(near[order], return_index=True)
    answer = np.empty(origins.shape[0])
    searched = (rows.offset, rows.neighbour, times)
    answer[order] = grouped_times(searched, group, np.append(first, order.shape[0]), far[order], float(limit_s))
    return answer


def path(graph: RoadGraph, origin_node: int, destination_node: int) -> Path:
    """Return a quickest path; from a node to itself it has one node and no edge.

    Raises UnreachableError if there is no way, ValueError for nodes that do not exist.
    """
    origin = int(positions("origin_node", origin_node, graph.node_count)[0])
    destination = int(positions("destination_node", destination_node, graph.node_count)[0])
    rows = graph.leaving
    backwards, place = path_backwards((rows.offset, rows.neighbour, graph.leaving_s), origin, destination)
    if backwards.shape[0] == 0:
        raise UnreachableError(f"no way from node {origin} to node {destination}")
    edge = rows.edge[place[::-1]]
    return Path(
        node=backwards[::-1].copy(),
        edge=edge,
        arrival_s=np.concatenate([[0.0], np.cumsum(graph.travel_time_s[edge])]),
        length_m=np.concatenate([[0.0], np.cumsum(graph.length_m[edge])]),
    )
