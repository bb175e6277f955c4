"""Builds a road graph from ways: cut at crossings, in both directions, the largest strongly connected part. Pure."""

from dataclasses import dataclass, field

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
    """

    offset: IntArray
    point_id: IntArray
    lat_deg: FloatArray
    lng_deg: FloatArray
    forward_kmh: FloatArray
    backward_kmh: FloatArray


@dataclass(frozen=True)
class BuildReport:
    """The size of a built graph, and what was left out and why.

    Attributes:
        node_count, edge_count: of the graph.
        edges_m: metres of all edges together: both directions of a street count.
        dropped: how many ways, points or edges were left out, by reason.
    """

    node_count: int
    edge_count: int
    edges_m: float
    dropped: dict[str, int] = field(default_factory=dict)


def build_graph(ways: Ways) -> tuple[RoadGraph, dict[str, int]]:
    """Return the road graph of the ways, and what it leaves out by reason.

    Raises CityBuildError if no two points are connected both ways.
    """
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
    is_kept = is_open & _in_largest_part(crossing_id.shape[0], source, target, is_open)
    if not is_kept.any():
        raise CityBuildError("no two crossings can be reached from each other; are all ways one-way?")
    length_both = np.concatenate([length_m, length_m])
    graph = _assemble(ways, source, target, both_first, both_last, length_both, kmh, is_kept)
    return graph, {OFF_THE_LARGEST_PART: int(is_open.sum() - is_kept.sum())}


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


def _in_largest_part(nodes: int, source: IntArray, target: IntArray, is_open: BoolArray) -> BoolArray:
    rows = Adjacency.of(nodes, source[is_open].astype(np.int32), target[is_open].astype(np.int32))
    part = strong_parts(rows.offset, rows.neighbour)
    is_largest = part == np.argmax(np.bincount(part))
    is_inside: BoolArray = is_largest[source] & is_largest[target]
    return is_inside


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
) -> tuple[RoadGraph, dict[str, int]]:
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
    is_kept = is_open & _in_largest_part(ids.shape[0], source, target, is_open)
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
    dropped = {"edges from a node to itself": int((~is_open).sum())}
    return graph, dropped | {OFF_THE_LARGEST_PART: int(is_open.sum() - is_kept.sum())}
