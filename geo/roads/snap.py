"""Snaps points to the nearest edges of a road graph, along their bends and up to a greatest distance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray, positive_count
from geo.distances import chord_to_m, m_to_chord, places_of_vectors, unit_vectors
from geo.kernels.edge_search import nearest_edges
from geo.kernels.point_tree import build_tree
from geo.roads.graph import RoadGraph

# Longer straight pieces are cut, because the search reads half a piece farther than necessary. On the Bay Area
# 50 to 400 m all take 1.1 to 1.3 us a query; shorter pieces only cost memory.
PIECE_M_MAX = 150.0


@dataclass(frozen=True)
class EdgePosition:
    """Positions on edges, nearest first in each row.

    Attributes:
        edge: (m, c) edge numbers, -1 where there is none within the limit.
        share: (m, c) how far along the edge, 0 at its source and 1 at its target.
        distance_m: (m, c) metres from the place to the edge, inf where there is none.
    """

    edge: IntArray
    share: FloatArray
    distance_m: FloatArray


@dataclass(frozen=True)
class EdgeIndex:
    """Finds edges near a place; build it once for a graph, it does not depend on the traffic.

    Attributes:
        middle_xyz, axis: (p, 3), (p,) the tree of the middles of the pieces.
        start, end: (p, 3) the pieces, in the order of the tree.
        edge: (p,) the edge of each piece.
        share_from, share_per_piece: (p,) the share at the start of a piece, and the share that the piece adds.
        half_chord_max: half of the longest piece.
    """

    middle_xyz: FloatArray
    axis: IntArray
    start: FloatArray
    end: FloatArray
    edge: IntArray
    share_from: FloatArray
    share_per_piece: FloatArray
    half_chord_max: float

    @classmethod
    def of(cls, graph: RoadGraph) -> "EdgeIndex":
        """Cut the edges into short straight pieces and build the tree. Raises ValueError for a graph without edges."""
        if graph.edge_count == 0:
            raise ValueError("a graph without edges has nothing to snap to")
        start, end, edge, share_from, share = _cut_long_pieces(*_turned_one_way(*_straight_pieces(graph)))
        middle = (start + end) / 2.0
        order, axis = build_tree(middle)
        return cls(
            np.ascontiguousarray(middle[order]),
            axis,
            np.ascontiguousarray(start[order]),
            np.ascontiguousarray(end[order]),
            edge[order],
            share_from[order],
            share[order],
            float(np.linalg.norm(end - start, axis=1).max() / 2.0),
        )

    def nearest(
        self, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike, limit_m: float = np.inf, count: int = 1
    ) -> EdgePosition:
        """Return the ``count`` distinct edges nearest to each place (m,) and within ``limit_m``.

        The two directions of a street are two edges at one distance: the smaller number comes first.
        Raises ValueError for coordinates that do not exist, a negative limit or a count below 1.
        """
        if not limit_m >= 0.0:
            raise ValueError(f"limit_m must not be negative or NaN, but is {limit_m}")
        positive_count("count", count)
        edge, share, chord = nearest_edges(
            (self.middle_xyz, self.axis),
            (self.start, self.end, self.edge, self.share_from, self.share_per_piece),
            unit_vectors(lat_deg, lng_deg),
            count,
            (m_to_chord(limit_m), self.half_chord_max),
        )
        return EdgePosition(edge, np.clip(share, 0.0, 1.0), chord_to_m(chord))


def points_along(graph: RoadGraph, step_m: float) -> tuple[FloatArray, FloatArray]:
    """Return (lat_deg (n,), lng_deg (n,)) of all nodes, and of points on the edges at most ``step_m`` apart.

    Raises ValueError for a step that is not positive.
    """
    if not step_m > 0.0:
        raise ValueError(f"step_m must be positive metres, not {step_m}")
    start, _, _, _, _ = _cut_long_pieces(*_straight_pieces(graph), step_m)
    lat_deg, lng_deg = places_of_vectors(start)
    return np.concatenate([graph.lat_deg, lat_deg]), np.concatenate([graph.lng_deg, lng_deg])


def points_on_edges(graph: RoadGraph, edge: IntArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (lat_deg (n,), lng_deg (n,)) of the points at a share of each edge, along its bends."""
    pieces = graph.derived.get("straight_pieces")
    if pieces is None:
        pieces = graph.derived["straight_pieces"] = _straight_pieces(graph)
    start, end, of_edge, share_from, part = pieces
    at = np.searchsorted(of_edge + share_from, edge + share, side="right") - 1
    at = np.clip(at, np.searchsorted(of_edge, edge), np.searchsorted(of_edge, edge, side="right") - 1)
    along = np.divide(share - share_from[at], part[at], out=np.zeros(len(at)), where=part[at] > 0.0)
    return places_of_vectors(start[at] + np.clip(along, 0.0, 1.0)[:, None] * (end - start)[at])


def edge_index(graph: RoadGraph) -> EdgeIndex:
    """Return the index of a graph's edges, built on first use. Raises ValueError for a graph without edges."""
    index = graph.derived.get("edge_index")
    if index is None:
        index = graph.derived["edge_index"] = EdgeIndex.of(graph)
    assert isinstance(index, EdgeIndex)
    return index


Pieces = tuple[FloatArray, FloatArray, IntArray, FloatArray, FloatArray]


def _straight_pieces(graph: RoadGraph) -> Pieces:
    """Return (start (p, 3), end (p, 3), edge (p,), share_from (p,), share (p,)) in the order of the edges."""
    bends = np.diff(graph.shapes.offset)
    piece_count = bends + 1
    edge = np.repeat(np.arange(graph.edge_count), piece_count)
    node_xyz = unit_vectors(graph.lat_deg, graph.lng_deg)
    bend_xyz = unit_vectors(graph.shapes.lat_deg, graph.shapes.lng_deg)
    first = np.cumsum(piece_count) - piece_count
    is_first, is_last = np.zeros(edge.shape[0], np.bool_), np.zeros(edge.shape[0], np.bool_)
    is_first[first], is_last[first + bends] = True, True
    start, end = np.empty((edge.shape[0], 3)), np.empty((edge.shape[0], 3))
    start[is_first], start[~is_first] = node_xyz[graph.source], bend_xyz
    end[is_last], end[~is_last] = node_xyz[graph.target], bend_xyz
    length = np.linalg.norm(end - start, axis=1)
    whole = np.bincount(edge, weights=length, minlength=graph.edge_count)[edge]
    share = np.divide(length, whole, out=np.zeros_like(length), where=whole > 0.0)
    before = np.cumsum(share) - share
    return start, end, edge, before - before[first][edge], share


def _turned_one_way(
    start: FloatArray, end: FloatArray, edge: IntArray, share_from: FloatArray, share: FloatArray
) -> Pieces:
    """Turn pieces so that both directions of a street have equal ones, and so bit-equal distances to a place."""
    differs = start != end
    axis = np.argmax(differs, axis=1)
    rows = np.arange(start.shape[0])
    is_turned = start[rows, axis] > end[rows, axis]
    turned = is_turned[:, None]
    return (
        np.where(turned, end, start),
        np.where(turned, start, end),
        edge,
        np.where(is_turned, share_from + share, share_from),
        np.where(is_turned, -share, share),
    )


def _cut_long_pieces(
    start: FloatArray,
    end: FloatArray,
    edge: IntArray,
    share_from: FloatArray,
    share: FloatArray,
    piece_m_max: float = PIECE_M_MAX,
) -> Pieces:
    parts = np.maximum(1, np.ceil(np.linalg.norm(end - start, axis=1) / m_to_chord(piece_m_max))).astype(np.int64)
    row = np.repeat(np.arange(edge.shape[0]), parts)
    number = np.arange(row.shape[0]) - np.repeat(np.cumsum(parts) - parts, parts)
    step, share_step = (end - start)[row] / parts[row, None], share[row] / parts[row]
    cut_start = start[row] + step * number[:, None]
    return cut_start, cut_start + step, edge[row], share_from[row] + share_step * number, share_step
