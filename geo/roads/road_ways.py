"""The quickest way between two points on roads, wherever along them they lie: from door to door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray
from geo.roads.graph import RoadGraph
from geo.roads.snap import edge_index
from geo.roads.travel_times import UnreachableError, between, path
from kernel.points import Point

#: A point so near to the end of its edge lies at the crossing there, from where every street of it can be taken.
AT_CROSSING_M = 0.5


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


@dataclass(frozen=True, slots=True)
class _Link:
    """How a point is joined to a crossing: the rest of its edge, or the beginning of it."""

    node: int
    travel_time_s: float
    length_m: float


@dataclass(frozen=True, slots=True)
class _OnEdge:
    edge: int
    share: float


def road_way(graph: RoadGraph, origin: Point, destination: Point) -> RoadWay:
    """Return the quickest way between the nearest points on roads.

    A street in both directions is left and entered in either; a one-way street in its own. Raises UnreachableError if
    there is no way, ValueError for a graph without edges.
    """
    begins, ends = _on_edges(graph, [origin, destination])
    ways = [way for begin, end in product(begins, ends) if (way := _along_edge(graph, begin, end)) is not None]
    across = _across_crossings(graph, begins, ends)
    if across is not None:
        ways.append(across)
    if not ways:
        raise UnreachableError(f"no way from {origin} to {destination}")
    return min(ways, key=lambda way: (way.travel_time_s, way.length_m))


def times_between(
    graph: RoadGraph, origins: Sequence[Point], destinations: Sequence[Point], limit_s: float = np.inf
) -> FloatArray:
    """Return the seconds (n,) from each origin to the destination at the same position, as `road_way` does.

    inf where there is no way, or none within ``limit_s``. In a graph without edges points at one node are 0 s apart.
    Raises ValueError for sequences of different lengths, or a limit that is negative or NaN.
    """
    if len(origins) != len(destinations):
        raise ValueError(f"{len(origins)} origins but {len(destinations)} destinations")
    if graph.edge_count == 0:
        near, far = (
            graph.snap([p.lat_deg for p in ends], [p.lng_deg for p in ends])[0] for ends in (origins, destinations)
        )
        return between(graph, near, far, limit_s)
    on_edges = _on_edges(graph, [*origins, *destinations])
    times_s = np.full(len(origins), np.inf)
    joined: list[tuple[int, _Link, _Link]] = []
    for row, (begins, ends) in enumerate(zip(on_edges[: len(origins)], on_edges[len(origins) :], strict=True)):
        along = (_along_edge(graph, begin, end) for begin, end in product(begins, ends))
        times_s[row] = min((way.travel_time_s for way in along if way is not None), default=np.inf)
        joined += [(row, leave, enter) for leave, enter in _joined(graph, begins, ends)]
    node_s = between(graph, [leave.node for _, leave, _ in joined], [enter.node for _, _, enter in joined], limit_s)
    links_s = np.array([leave.travel_time_s + enter.travel_time_s for _, leave, enter in joined])
    np.minimum.at(times_s, np.array([row for row, _, _ in joined], np.int64), node_s + links_s)
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


def _on_edges(graph: RoadGraph, points: Sequence[Point]) -> list[list[_OnEdge]]:
    """The edge nearest to each point, and its other direction, which is as near."""
    found = edge_index(graph).nearest([p.lat_deg for p in points], [p.lng_deg for p in points], count=2)
    is_on = (found.edge >= 0) & (found.distance_m == found.distance_m[:, :1])
    return [
        [_OnEdge(*at) for *at, is_one in zip(edges, shares, are_on, strict=True) if is_one]
        for edges, shares, are_on in zip(found.edge.tolist(), found.share.tolist(), is_on.tolist(), strict=True)
    ]


def _along_edge(graph: RoadGraph, begin: _OnEdge, end: _OnEdge) -> RoadWay | None:
    """The way that does not leave the edge; None if the points lie on different ones, or the wrong way round."""
    share = end.share - begin.share
    time_s = graph.travel_time_s[begin.edge]
    if begin.edge != end.edge or share < 0.0 or not np.isfinite(time_s):
        return None
    return RoadWay(float(share * time_s), float(share * graph.length_m[begin.edge]), np.empty(0, np.int64))


def _across_crossings(graph: RoadGraph, begins: list[_OnEdge], ends: list[_OnEdge]) -> RoadWay | None:
    pairs = list(_joined(graph, begins, ends))
    if not pairs:
        return None
    times_s = between(graph, [leave.node for leave, _ in pairs], [enter.node for _, enter in pairs])
    times_s += [leave.travel_time_s + enter.travel_time_s for leave, enter in pairs]
    best = int(np.argmin(times_s))
    if not np.isfinite(times_s[best]):
        return None
    leave, enter = pairs[best]
    way = path(graph, leave.node, enter.node)
    length_m = leave.length_m + float(way.length_m[-1]) + enter.length_m
    return RoadWay(float(times_s[best]), length_m, way.node)


def _joined(graph: RoadGraph, begins: list[_OnEdge], ends: list[_OnEdge]) -> Iterator[tuple[_Link, _Link]]:
    """Each way out of the first edge with each way into the last one."""
    for begin, end in product(begins, ends):
        yield from product(_leaving(graph, begin), _entering(graph, end))


def _leaving(graph: RoadGraph, point: _OnEdge) -> list[_Link]:
    """The crossings that a car reaches first from a point."""
    time_s, length_m = float(graph.travel_time_s[point.edge]), float(graph.length_m[point.edge])
    links = [_link(int(graph.target[point.edge]), 1.0 - point.share, time_s, length_m)]
    if point.share * length_m <= AT_CROSSING_M:
        links.append(_Link(int(graph.source[point.edge]), 0.0, 0.0))
    return links


def _entering(graph: RoadGraph, point: _OnEdge) -> list[_Link]:
    """The crossings from which a car comes to a point."""
    time_s, length_m = float(graph.travel_time_s[point.edge]), float(graph.length_m[point.edge])
    links = [_link(int(graph.source[point.edge]), point.share, time_s, length_m)]
    if (1.0 - point.share) * length_m <= AT_CROSSING_M:
        links.append(_Link(int(graph.target[point.edge]), 0.0, 0.0))
    return links


def _link(node: int, share: float, time_s: float, length_m: float) -> _Link:
    """A part of an edge; no part of it takes no time, also where the edge is closed."""
    return _Link(node, share * time_s if share > 0.0 else 0.0, share * length_m)
