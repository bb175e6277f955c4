"""Places on roads: edge and share of it, and how each is joined to the crossings under the present traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import BoolArray, FloatArray, IntArray, NodeArray, positions
from geo.kernels.road_links import links_of_places
from geo.roads.graph import RoadGraph
from geo.roads.snap import edge_index

#: A place so near to the end of its edge is the crossing there, from where every street of it can be taken.
AT_CROSSING_M = 0.5


@dataclass(frozen=True, slots=True)
class RoadPlaces:
    """Places (n,) on roads.

    Attributes:
        node: (n,) the nearer end of the nearest road: stands for the place where a node is wanted.
        edge: (n, 2) the edge nearest to the place, and the other direction of a street; -1 where there is none. A place
            without an edge is at its node.
        share: (n, 2) how far along each edge, 0 at its source and 1 at its target.
    """

    node: IntArray
    edge: IntArray
    share: FloatArray

    @classmethod
    def at_nodes(cls, node: npt.ArrayLike) -> RoadPlaces:
        """Places at crossings (n,)."""
        nodes = np.atleast_1d(np.asarray(node, np.int64))
        return cls(nodes, np.full((len(nodes), 2), -1, np.int64), np.zeros((len(nodes), 2)))

    @classmethod
    def together(cls, parts: Sequence[RoadPlaces]) -> RoadPlaces:
        """The places of several, one after the other; at least one of them."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("node", "edge", "share")))

    def __len__(self) -> int:
        return len(self.node)

    def __getitem__(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> RoadPlaces:
        """The places of some rows."""
        return RoadPlaces(self.node[rows], self.edge[rows], self.share[rows])


@dataclass(frozen=True, slots=True)
class Links:
    """What joins places (n,) to crossings: a place has at most two links, one for each direction of its street.

    Attributes:
        node: (n, 2) the crossing.
        time_s, length_m: (n, 2) of the part of the edge between; both inf where there is no such link.
    """

    node: IntArray
    time_s: FloatArray
    length_m: FloatArray

    @classmethod
    def together(cls, parts: Sequence[Links]) -> Links:
        """The links of several, one after the other; at least one of them."""
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("node", "time_s", "length_m"))
        )

    def __getitem__(self, rows: IntArray) -> Links:
        """The links of some rows."""
        return Links(self.node[rows], self.time_s[rows], self.length_m[rows])


def places_on_roads(graph: RoadGraph, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> RoadPlaces:
    """Return the nearest places on roads, on every direction of the nearest street.

    In a graph without edges the nearest nodes. Raises ValueError for coordinates that do not exist.
    """
    if graph.edge_count == 0:
        return RoadPlaces.at_nodes(graph.snap(lat_deg, lng_deg)[0])
    found = edge_index(graph).nearest(lat_deg, lng_deg, count=2)
    first = found.edge[:, 0]
    node = np.where(found.share[:, 0] < 0.5, graph.source[first], graph.target[first]).astype(np.int64)
    is_same_street = found.distance_m == found.distance_m[:, :1]
    return RoadPlaces(node, np.where(is_same_street, found.edge, -1), found.share)


def leaving(graph: RoadGraph, places: RoadPlaces) -> Links:
    """Return the crossings that a car reaches first from each place: the rest of its edge; a crossing from itself."""
    return _links(graph, places, graph.source, graph.target, places.share)


def entering(graph: RoadGraph, places: RoadPlaces) -> Links:
    """Return the crossings from which a car comes to each place: the beginning of its edge; a crossing to itself."""
    return _links(graph, places, graph.target, graph.source, 1.0 - places.share)


def along_edge(graph: RoadGraph, begins: RoadPlaces, ends: RoadPlaces) -> tuple[FloatArray, FloatArray]:
    """Return (time_s (n,), length_m (n,)) of the ways that do not leave an edge.

    inf where both places are on different edges, the wrong way round, or the edge is closed.
    """
    same = (begins.edge[:, :, None] == ends.edge[:, None, :]) & (begins.edge[:, :, None] >= 0)
    if not same.any():
        nothing = np.full(len(begins), np.inf)
        return nothing, nothing.copy()
    share = ends.share[:, None, :] - begins.share[:, :, None]
    edge = np.broadcast_to(np.maximum(begins.edge, 0)[:, :, None], same.shape)
    is_open = same & (share >= 0.0) & np.isfinite(graph.travel_time_s[edge])
    share = np.where(is_open, share, 0.0)
    time_s = np.where(is_open, share * np.where(is_open, graph.travel_time_s[edge], 0.0), np.inf).reshape(-1, 4)
    length_m = np.where(is_open, share * graph.length_m[edge], np.inf).reshape(-1, 4)
    best = np.argmin(time_s, axis=1)[:, None]
    return np.take_along_axis(time_s, best, 1)[:, 0], np.take_along_axis(length_m, best, 1)[:, 0]


def places_of(name: str, given: RoadPlaces | npt.ArrayLike, graph: RoadGraph) -> RoadPlaces:
    """Return places as they are, and node numbers as places at these nodes. Raises ValueError naming ``name``."""
    if not isinstance(given, RoadPlaces):
        return RoadPlaces.at_nodes(positions(name, given, graph.node_count))
    if len(given) and not 0 <= given.node.min() <= given.node.max() < graph.node_count:
        raise ValueError(f"{name} has a node outside 0 to {graph.node_count - 1}")
    if len(given) and not -1 <= given.edge.min() <= given.edge.max() < graph.edge_count:
        raise ValueError(f"{name} has an edge outside 0 to {graph.edge_count - 1}")
    return given


def at_crossings(graph: RoadGraph, places: RoadPlaces) -> BoolArray:
    """Return whether each place (n,) is at its node."""
    if graph.edge_count == 0:
        return np.ones(len(places), np.bool_)
    edge_m = graph.length_m[np.maximum(places.edge, 0)]
    ends_m = np.minimum(places.share, 1.0 - places.share) * edge_m
    is_on_edge: BoolArray = (places.edge >= 0) & (ends_m > AT_CROSSING_M)
    return ~(is_on_edge[:, 0] | is_on_edge[:, 1])


def _links(graph: RoadGraph, places: RoadPlaces, near: NodeArray, far: NodeArray, from_near: FloatArray) -> Links:
    """Links over the rest of each edge to its end ``far``; to ``near``, over nothing, for a place that is there."""
    given, whole = (places.node, places.edge, from_near), (graph.travel_time_s, graph.length_m)
    return Links(*links_of_places(given, (near, far), whole, AT_CROSSING_M))
