"""The quickest way between two points on roads, wherever along them they lie: from door to door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray
from geo.roads.graph import RoadGraph
from geo.roads.road_places import RoadPlaces, along_edge, entering, leaving, places_on_roads
from geo.roads.snap import edge_index
from geo.roads.travel_times import UnreachableError, between, path
from kernel.points import Point


@dataclass(frozen=True)
class RoadWay:
    """A quickest way from one point on a road to another.

    Attributes:
        travel_time_s, length_m: of the whole way, with the parts of the first and the last edge.
        node: (n,) the crossings on the way; empty where both points lie on one edge, one after the other.
    """

    travel_time_s: float
    length_m: float
    node: IntArray


def road_way(graph: RoadGraph, origin: Point, destination: Point) -> RoadWay:
    """Return the quickest way between the nearest points on roads.

    A street in both directions is left and entered in either; a one-way street in its own. Raises UnreachableError if
    there is no way, ValueError for a graph without edges.
    """
    edge_index(graph)  # refuses a graph without edges
    begin, end = _places_of(graph, [origin]), _places_of(graph, [destination])
    along_s, along_m = along_edge(graph, begin, end)
    leave, enter = leaving(graph, begin), entering(graph, end)
    pairs_s = _over_crossings(graph, leave.node, leave.time_s, enter.node, enter.time_s)[0]
    best = int(np.argmin(pairs_s))
    if not np.isfinite(min(along_s[0], pairs_s[best])):
        raise UnreachableError(f"no way from {origin} to {destination}")
    if along_s[0] <= pairs_s[best]:
        return RoadWay(float(along_s[0]), float(along_m[0]), np.empty(0, np.int64))
    out, into = divmod(best, 2)
    way = path(graph, int(leave.node[0, out]), int(enter.node[0, into]))
    length_m = leave.length_m[0, out] + way.length_m[-1] + enter.length_m[0, into]
    return RoadWay(float(pairs_s[best]), float(length_m), way.node)


def times_between(
    graph: RoadGraph, origins: RoadPlaces, destinations: RoadPlaces, limit_s: float = np.inf
) -> FloatArray:
    """Return the seconds (n,) from each origin to the destination in the same row, as `road_way` does.

    inf where there is no way, or none within ``limit_s``. In a graph without edges points at one node are 0 s apart.
    Raises ValueError for different numbers of places, or a limit that is negative or NaN.
    """
    if len(origins) != len(destinations):
        raise ValueError(f"{len(origins)} origins but {len(destinations)} destinations")
    along_s, _ = along_edge(graph, origins, destinations)
    leave, enter = leaving(graph, origins), entering(graph, destinations)
    across_s = _over_crossings(graph, leave.node, leave.time_s, enter.node, enter.time_s, limit_s).min(axis=1)
    times_s = np.minimum(along_s, across_s)
    return np.where(times_s <= limit_s, times_s, np.inf)


def node_on_road(graph: RoadGraph, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """Return (node (n,), off_road_m (n,)): the nearer end of each place's nearest road, and the metres to that road.

    In a graph without edges the nearest node. Raises ValueError for coordinates that do not exist.
    """
    if graph.edge_count == 0:
        return graph.snap(lat_deg, lng_deg)
    found = edge_index(graph).nearest(lat_deg, lng_deg)
    edge = found.edge[:, 0]
    node = np.where(found.share[:, 0] < 0.5, graph.source[edge], graph.target[edge]).astype(np.int64)
    return node, found.distance_m[:, 0]


def _places_of(graph: RoadGraph, points: Sequence[Point]) -> RoadPlaces:
    return places_on_roads(graph, [point.lat_deg for point in points], [point.lng_deg for point in points])


def _over_crossings(
    graph: RoadGraph,
    leave_node: IntArray,
    leave_s: FloatArray,
    enter_node: IntArray,
    enter_s: FloatArray,
    limit_s: float = np.inf,
) -> FloatArray:
    """Seconds (n, 4) of each way out of the first edge with each way into the last one; inf where there is none."""
    links_s = (leave_s[:, :, None] + enter_s[:, None, :]).reshape(-1, 4)
    row, pair = np.nonzero(links_s <= limit_s) if limit_s < np.inf else np.nonzero(np.isfinite(links_s))
    times_s = np.full(links_s.shape, np.inf)
    near, far = leave_node[row, pair // 2], enter_node[row, pair % 2]
    times_s[row, pair] = between(graph, near, far, limit_s) + links_s[row, pair]
    return times_s
