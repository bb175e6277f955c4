"""Travel times over a road graph, searched under the present traffic; nothing is precomputed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray, positions, positive_count
from geo.kernels.shortest_paths import grouped_times, nearest_drivers, nearest_drivers_from_drivers, path_backwards
from geo.roads.graph import RoadGraph


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
    driver_node: npt.ArrayLike,
    pickup_node: npt.ArrayLike,
    k: int,
    limit_s: float,
    delay_s: npt.ArrayLike | None = None,
) -> tuple[IntArray, FloatArray]:
    """Return (index (m, k), time_s (m, k)): the k drivers who reach each pickup first, the first one first.

    ``driver_node (n,)`` and ``pickup_node (m,)`` are node numbers; ``index`` are positions in ``driver_node``;
    ``delay_s (n,)`` is how long from now each driver sets out, and counts into ``time_s``; at once if left out.
    -1 and inf where fewer than k are within ``limit_s`` (which may be inf). Of equal times the smaller index first.
    Raises ValueError for nodes that do not exist, k below 1, a limit that is negative or NaN, or delays that are
    negative, NaN or not one for each driver.
    """
    drivers = positions("driver_node", driver_node, graph.node_count)
    pickups = positions("pickup_node", pickup_node, graph.node_count)
    delay = np.zeros(drivers.shape[0]) if delay_s is None else np.asarray(delay_s, np.float64)
    if delay.shape != drivers.shape or not (delay >= 0.0).all():
        raise ValueError(f"delay_s must hold a number from 0 for each of {drivers.shape[0]} drivers")
    positive_count("k", k)
    if not limit_s >= 0.0:
        raise ValueError(f"limit_s must not be negative or NaN, but is {limit_s}")
    offset = np.zeros(graph.node_count + 1, np.int64)
    np.cumsum(np.bincount(drivers, minlength=graph.node_count), out=offset[1:])
    order = np.argsort(drivers, kind="stable")
    at_nodes = (offset, order, delay[order])
    # One search for each distinct node, in ascending order: neighbours share what the CPU caches.
    place_in_tree = np.empty(graph.node_count, np.int64)
    place_in_tree[graph.node_index.order] = np.arange(graph.node_count)
    places, row = np.unique(place_in_tree[pickups], return_inverse=True)
    searched = graph.node_index.order[places]
    origin = np.flatnonzero(np.diff(offset))
    # A search from a pickup ends with its k-th driver, about when k / n of what is in reach was seen; one from a driver
    # goes as far as the limit. Where requests queue for few drivers, that is still the lesser work.
    if origin.shape[0] * max(1.0, drivers.shape[0] / k) < searched.shape[0]:
        ways = (graph.leaving.offset, graph.leaving.neighbour, graph.leaving_s)
        index, time_s = nearest_drivers_from_drivers(ways, at_nodes, origin, searched, k, float(limit_s))
    else:
        ways = (graph.arriving.offset, graph.arriving.neighbour, graph.arriving_s)
        index, time_s = nearest_drivers(ways, at_nodes, searched, k, float(limit_s))
    return index[row], time_s[row]


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
