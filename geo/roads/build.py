"""Builds a road graph from ways: cut at crossings, in both directions, the largest strongly connected part. Pure."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from geo.arrays import BoolArray, FloatArray, IntArray
from geo.distances import great_circle_m
from geo.kernels.components import strong_parts
from geo.roads.graph import Adjacency, RoadGraph, Shapes

M_PER_S_OF_KMH = 1.0 / 3.6
OFF_THE_LARGEST_PART = "edges that one cannot both reach and leave"


class CityBuildError(ValueError):
    """Roads cannot be built from what was given; the message says what is wrong, where and what to do."""


@dataclass(frozen=True)
class Ways:
    """Drivable ways as they are mapped.

    Attributes:
        offset: (w + 1,) where the points of each way begin.
        point_id: (p,) equal ids are one point, where ways meet.
        lat_deg, lng_deg: (p,) the points.
        forward_kmh, backward_kmh: (w,) speeds in and against the mapped direction, 0 where forbidden.
        is_closed: (p,) nobody drives through these points, such as bollards; one may drive up to them from each side.
    """

    offset: IntArray
    point_id: IntArray
    lat_deg: FloatArray
    lng_deg: FloatArray
    forward_kmh: FloatArray
    backward_kmh: FloatArray
    is_closed: BoolArray


@dataclass(frozen=True)
class Losses:
    """What a road graph leaves out of its source because one cannot both reach and leave it.

    Attributes:
        dropped: how many edges, by reason.
        length_share: of the metres of all edges.
        next_part_m, next_part_deg: metres and one place (lat, lng) of the largest part left out, if there is one.
    """

    dropped: dict[str, int]
    length_share: float
    next_part_m: float = 0.0
    next_part_deg: tuple[float, float] | None = None


@dataclass(frozen=True)
class BuildReport:
    """The size of a built graph, and what was left out and why.

    Attributes:
        node_count, edge_count: of the graph.
        edges_m: metres of all edges together: both directions of a street count.
        dropped: how many ways, points or edges were left out, by reason.
        lost_share: share of the metres of all edges that was left out because one cannot both reach and leave them.
        next_part_m, next_part_deg: metres and one place (lat, lng) of the largest part left out, if there is one.
        closed_points: how many points of roads are closed to taxis, by the kind of barrier.
        bounded_speeds: how many speeds of the source were none that a road has, and were replaced.
        taxis_are_psv: whether taxis may use what is open to public service vehicles; None if the source does not say.
    """

    node_count: int
    edge_count: int
    edges_m: float
    dropped: dict[str, int] = field(default_factory=dict)
    lost_share: float = 0.0
    next_part_m: float = 0.0
    next_part_deg: tuple[float, float] | None = None
    closed_points: dict[str, int] = field(default_factory=dict)
    bounded_speeds: int = 0
    taxis_are_psv: bool | None = None


def build_graph(ways: Ways) -> tuple[RoadGraph, Losses]:
    """Return the road graph of the ways, and what it leaves out.

    Raises CityBuildError if no two points are connected both ways.
    """
    ways = _cut_at_closed_points(ways)
    is_crossing = _crossings(ways)
    is_crossing |= _middles_of_loops(ways, is_crossing)
    way, first, last = _segments(ways, is_crossing)
    length_m = _lengths(ways, first, last)
    kmh = np.concatenate([ways.forward_kmh[way], ways.backward_kmh[way]])
    both_first, both_last = np.concatenate([first, last]), np.concatenate([last, first])
    is_open = (kmh > 0.0) & (ways.point_id[both_first] != ways.point_id[both_last])
    if not is_open.any():
        raise CityBuildError("the ways hold no street with two ends; is this an extract of a place with roads?")
    crossing_id, end = np.unique(ways.point_id[np.concatenate([both_first, both_last])], return_inverse=True)
    source, target = end.reshape(2, -1)
    part = _parts(crossing_id.shape[0], source, target, is_open)
    is_kept = is_open & _in_largest_part(part, source, target)
    if not is_kept.any():
        raise CityBuildError("no two crossings can be reached from each other; are all ways one-way?")
    length_both = np.concatenate([length_m, length_m])
    graph = _assemble(ways, source, target, both_first, both_last, length_both, kmh, is_kept)
    place_deg = ways.lat_deg[both_first], ways.lng_deg[both_first]
    return graph, _losses(
        is_open, is_kept, length_both, np.where(part[source] == part[target], part[source], -1), place_deg
    )


def _cut_at_closed_points(ways: Ways) -> Ways:
    """End a way at each closed point in it and begin another there; no two ways meet at a closed point."""
    ids = np.unique(ways.point_id, return_inverse=True)[1].astype(np.int64)
    is_end = np.zeros(ids.shape[0], np.bool_)
    is_end[ways.offset[:-1]] = is_end[ways.offset[1:] - 1] = True
    uses = 1 + (ways.is_closed & ~is_end)
    point = np.repeat(np.arange(ids.shape[0]), uses)
    # The last use of a point is where it is cut, if it is, so that ways begin at the last use of their first point.
    last_use = np.cumsum(uses) - 1
    begins = np.union1d(last_use[ways.offset[:-1]], last_use[uses > 1])
    way = np.searchsorted(ways.offset, point[begins], side="right") - 1
    is_closed = ways.is_closed[point]
    new_ids = np.where(is_closed, ids.shape[0] + np.arange(point.shape[0]), ids[point])
    return Ways(
        np.append(begins, point.shape[0]), new_ids, ways.lat_deg[point], ways.lng_deg[point],
        ways.forward_kmh[way], ways.backward_kmh[way], is_closed,
    )  # fmt: skip


def bounded_times(length_m: FloatArray, travel_time_s: FloatArray, kmh_max: float) -> tuple[FloatArray, int]:
    """Return travel times (m,) of edges at most as fast as a limit, and how many were faster."""
    least_s = length_m / (kmh_max * M_PER_S_OF_KMH)
    is_faster = travel_time_s < least_s
    return np.where(is_faster, least_s, travel_time_s), int(is_faster.sum())


def _crossings(ways: Ways) -> BoolArray:
    """Mark the points (p,) where edges end: ends of ways, and points that are used more than once."""
    _, which, uses = np.unique(ways.point_id, return_inverse=True, return_counts=True)
    is_crossing: BoolArray = uses[which] > 1
    is_crossing[ways.offset[:-1]] = True
    is_crossing[ways.offset[1:] - 1] = True
    return is_crossing


def _middles_of_loops(ways: Ways, is_crossing: BoolArray) -> BoolArray:
    """Mark a point in the middle of every stretch that ends where it begins, so that it becomes two edges."""
    _, first, last = _segments(ways, is_crossing)
    is_loop = (ways.point_id[first] == ways.point_id[last]) & (last - first >= 2)
    is_middle = np.zeros(is_crossing.shape[0], np.bool_)
    is_middle[(first[is_loop] + last[is_loop]) // 2] = True
    return is_middle


def _segments(ways: Ways, is_crossing: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return (way (s,), first point (s,), last point (s,)): the stretches of ways from crossing to crossing."""
    at = np.flatnonzero(is_crossing)
    way = np.searchsorted(ways.offset, at, side="right") - 1
    is_same_way = way[1:] == way[:-1]
    return way[:-1][is_same_way], at[:-1][is_same_way], at[1:][is_same_way]


def _lengths(ways: Ways, first: IntArray, last: IntArray) -> FloatArray:
    step_m = great_circle_m(ways.lat_deg[:-1], ways.lng_deg[:-1], ways.lat_deg[1:], ways.lng_deg[1:])
    run_m = np.concatenate([[0.0], np.cumsum(step_m)])
    length_m: FloatArray = run_m[last] - run_m[first]
    return length_m


def _parts(nodes: int, source: IntArray, target: IntArray, is_open: BoolArray) -> IntArray:
    """Return the strongly connected part (n,) of each node."""
    rows = Adjacency.of(nodes, source[is_open].astype(np.int32), target[is_open].astype(np.int32))
    return strong_parts(rows.offset, rows.neighbour)


def _in_largest_part(part: IntArray, source: IntArray, target: IntArray) -> BoolArray:
    is_largest = part == np.argmax(np.bincount(part))
    is_inside: BoolArray = is_largest[source] & is_largest[target]
    return is_inside


def _losses(
    is_open: BoolArray,
    is_kept: BoolArray,
    length_m: FloatArray,
    part: IntArray,
    place_deg: tuple[FloatArray, FloatArray],
) -> Losses:
    """Sum up what is lost; ``part`` (m,) is that of each edge, -1 between parts, ``place_deg`` where each begins."""
    is_lost = is_open & ~is_kept
    dropped = {OFF_THE_LARGEST_PART: int(is_lost.sum())}
    whole_m = float(length_m[is_open].sum())
    share = float(length_m[is_lost].sum()) / whole_m if whole_m > 0.0 else 0.0
    is_of_part = is_lost & (part >= 0)
    if not is_of_part.any():
        return Losses(dropped, share)
    part_m = np.bincount(part[is_of_part], weights=length_m[is_of_part])
    largest = int(np.argmax(part_m))
    at = int(np.argmax(is_of_part & (part == largest)))
    return Losses(dropped, share, float(part_m[largest]), (float(place_deg[0][at]), float(place_deg[1][at])))


def _assemble(
    ways: Ways,
    source: IntArray,
    target: IntArray,
    first: IntArray,
    last: IntArray,
    length_m: FloatArray,
    kmh: FloatArray,
    is_kept: BoolArray,
) -> RoadGraph:
    source, target, first, last = source[is_kept], target[is_kept], first[is_kept], last[is_kept]
    kept_node, end = np.unique(np.concatenate([source, target]), return_inverse=True)
    new_source, new_target = end.reshape(2, -1)
    point_of_node = np.empty(kept_node.shape[0], np.int64)
    point_of_node[new_target], point_of_node[new_source] = last, first
    lengths = length_m[is_kept]
    return RoadGraph.from_arrays(
        ways.lat_deg[point_of_node],
        ways.lng_deg[point_of_node],
        new_source,
        new_target,
        lengths,
        lengths / (kmh[is_kept] * M_PER_S_OF_KMH),
        _shapes(ways, first, last),
    )


def _shapes(ways: Ways, first: IntArray, last: IntArray) -> Shapes:
    """Return the points strictly between first and last of each edge, counted down where last comes before first."""
    direction = np.sign(last - first)
    inner = np.abs(last - first) - 1
    offset = np.concatenate([[0], np.cumsum(inner)])
    edge = np.repeat(np.arange(first.shape[0]), inner)
    step = np.arange(edge.shape[0]) - offset[edge] + 1
    point = first[edge] + step * direction[edge]
    return Shapes(offset, ways.lat_deg[point], ways.lng_deg[point])


def graph_from_columns(
    node_id: npt.ArrayLike,
    lat_deg: npt.ArrayLike,
    lng_deg: npt.ArrayLike,
    source_id: npt.ArrayLike,
    target_id: npt.ArrayLike,
    length_m: npt.ArrayLike,
    travel_time_s: npt.ArrayLike,
) -> tuple[RoadGraph, Losses]:
    """Return the largest strongly connected part of a graph whose nodes have ids of any kind, and what was left out.

    Raises CityBuildError for ids given twice, edges to unknown nodes, or if no two nodes reach each other.
    """
    ids, place = np.unique(np.asarray(node_id), return_index=True)
    if ids.shape[0] != np.asarray(node_id).shape[0]:
        raise CityBuildError("the nodes hold an id twice; ids must be distinct")
    ends = np.concatenate([np.asarray(source_id), np.asarray(target_id)])
    found = np.minimum(np.searchsorted(ids, ends), ids.shape[0] - 1)
    if (ids[found] != ends).any():
        missing = ends[np.argmax(ids[found] != ends)]
        raise CityBuildError(f"an edge leads to node {missing}, which is not among the nodes")
    source, target = place[found].reshape(2, -1)
    is_open = source != target
    part = _parts(ids.shape[0], source, target, is_open)
    is_kept = is_open & _in_largest_part(part, source, target)
    if not is_kept.any():
        raise CityBuildError("no two nodes can be reached from each other")
    node, end = np.unique(np.concatenate([source[is_kept], target[is_kept]]), return_inverse=True)
    graph = RoadGraph.from_arrays(
        np.asarray(lat_deg)[node],
        np.asarray(lng_deg)[node],
        end[: end.shape[0] // 2],
        end[end.shape[0] // 2 :],
        np.asarray(length_m)[is_kept],
        np.asarray(travel_time_s)[is_kept],
    )
    place_deg = np.asarray(lat_deg)[source], np.asarray(lng_deg)[source]
    of_edge = np.where(part[source] == part[target], part[source], -1)
    losses = _losses(is_open, is_kept, np.asarray(length_m, np.float64), of_edge, place_deg)
    return graph, replace(losses, dropped={"edges from a node to itself": int((~is_open).sum())} | losses.dropped)
