"""The quickest way between two points on roads, wherever along them they lie: from door to door."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray
from geo.roads.graph import RoadGraph
from geo.roads.road_places import Links, RoadPlaces, along_edge, entering, leaving, places_on_roads
from geo.roads.snap import edge_index
from geo.roads.travel_times import UnreachableError, between, path
from kernel.points import Point


@dataclass(frozen=True)
class RoadWay:
    """A quickest way from one point on a road to another.

    Attributes:
        travel_time_s, length_m: of the whole way, with the parts of the first and the last edge.
        node: (n,) the crossings on the way; empty where both points lie on one edge, one after the other.
        edge: (n - 1,) the edges between the crossings; of none at all empty too.
        arrival_s, arrival_m: (n,) seconds and metres to each crossing.
    """

    travel_time_s: float
    length_m: float
    node: IntArray
    edge: IntArray
    arrival_s: FloatArray
    arrival_m: FloatArray


def road_way(graph: RoadGraph, origin: Point, destination: Point) -> RoadWay:
    """Return the quickest way between the nearest points on roads.

    A street in both directions is left and entered in either; a one-way street in its own. Raises UnreachableError if
    there is no way, ValueError for a graph without edges.
    """
    edge_index(graph)  # refuses a graph without edges
    begin, end = (places_on_roads(graph, [point.lat_deg], [point.lng_deg]) for point in (origin, destination))
    try:
        return way_between(graph, begin, end)
    except UnreachableError as error:
        raise UnreachableError(f"no way from {origin} to {destination}") from error


def way_between(graph: RoadGraph, begin: RoadPlaces, end: RoadPlaces) -> RoadWay:
    """Return the quickest way from one place to another, each the only one given. Raises UnreachableError."""
    along_s, along_m = along_edge(graph, begin, end)
    leave, enter = leaving(graph, begin), entering(graph, end)
    pairs_s = _over_crossings(graph, leave, enter)[0]
    best = int(np.argmin(pairs_s))
    if not np.isfinite(min(along_s[0], pairs_s[best])):
        raise UnreachableError("no way from the one place to the other")
    if along_s[0] <= pairs_s[best]:
        nothing = np.empty(0)
        none = np.empty(0, np.int64)
        return RoadWay(float(along_s[0]), float(along_m[0]), none, none, nothing, nothing)
    out, into = divmod(best, 2)
    way = path(graph, int(leave.node[0, out]), int(enter.node[0, into]))
    arrival_m = leave.length_m[0, out] + way.length_m
    return RoadWay(
        travel_time_s=float(pairs_s[best]),
        length_m=float(arrival_m[-1] + enter.length_m[0, into]),
        node=way.node,
        edge=way.edge,
        arrival_s=leave.time_s[0, out] + way.arrival_s,
        arrival_m=arrival_m,
    )


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
    across_s = _over_crossings(graph, leave, enter, limit_s).min(axis=1)
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


def _over_crossings(graph: RoadGraph, leave: Links, enter: Links, limit_s: float = np.inf) -> FloatArray:
    """Seconds (n, 4) of each way out of the first edge with each way into the last one; inf where there is none."""
    links_s = (leave.time_s[:, :, None] + enter.time_s[:, None, :]).reshape(-1, 4)
    row, pair = np.nonzero(np.isfinite(links_s) & (links_s <= limit_s))
    times_s = np.full(links_s.shape, np.inf)
    near, far = leave.node[row, pair // 2], enter.node[row, pair % 2]
    times_s[row, pair] = between(graph, near, far, limit_s) + links_s[row, pair]
    return times_s
