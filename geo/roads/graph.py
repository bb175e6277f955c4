"""The road graph: a frozen struct of arrays, kept in both directions, saved as one compact file.

Nodes and edges are dense numbers from 0. An edge is one direction of a road; its number never changes, so live
traffic is a new array of travel times in the order of the edges.
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from geo.array_files import save_arrays
from geo.arrays import FloatArray, IntArray, NodeArray, coordinates, float_vector, positions
from geo.point_index import PointIndex

GRAPH_FILE = "roads.npz"
# Raised when the meaning of a stored array changes; an older file is then refused rather than misread.
FORMAT_VERSION = 1
STORED_SHAPES = ("offset", "lat_deg", "lng_deg")
STORED = ("lat_deg", "lng_deg", "source", "target", "length_m", "travel_time_s")


class LearnedElsewhere(ValueError):
    """A file was learned on other roads than those it is to be used with; the message names it."""


@dataclass(frozen=True)
class Adjacency:
    """One direction of the graph in compressed sparse rows.

    Attributes:
        offset: (n + 1,) where the row of each node begins.
        neighbour: (m,) the node at the other end.
        edge: (m,) the number of the edge.
    """

    offset: IntArray
    neighbour: NodeArray
    edge: IntArray

    @classmethod
    def of(cls, nodes: int, row: NodeArray, neighbour: NodeArray) -> "Adjacency":
        """Sort the edges into rows; within a row they keep the order of their numbers."""
        edge = np.argsort(row, kind="stable")
        offset = np.zeros(nodes + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=nodes), out=offset[1:])
        return cls(offset, np.ascontiguousarray(neighbour[edge]), edge)


@dataclass(frozen=True)
class Shapes:
    """The bends of the edges: the points between their two nodes, in driving direction.

    Attributes:
        offset: (m + 1,) where the points of each edge begin.
        lat_deg, lng_deg: (p,) the points.
    """

    offset: IntArray
    lat_deg: FloatArray
    lng_deg: FloatArray

    @classmethod
    def straight(cls, edges: int) -> "Shapes":
        """Return the shapes of edges without bends."""
        return cls(np.zeros(edges + 1, np.int64), np.empty(0), np.empty(0))

    @classmethod
    def from_arrays(cls, offset: npt.ArrayLike, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> "Shapes":
        """Check and take the arrays; raises ValueError if offsets fall, or do not end at the number of points."""
        lat, lng = coordinates(lat_deg, lng_deg)
        offsets = positions("shape offset", offset, lat.shape[0] + 1)
        if offsets.shape[0] == 0 or offsets[0] != 0 or offsets[-1] != lat.shape[0] or (np.diff(offsets) < 0).any():
            raise ValueError(f"shape offsets must rise from 0 to the {lat.shape[0]} points")
        return cls(offsets, lat, lng)


@dataclass(frozen=True)
class RoadGraph:
    """A directed road graph; make one with ``from_arrays``, ``load`` or a city build.

    Attributes:
        lat_deg, lng_deg: (n,) places of the nodes.
        source, target: (m,) int32 the nodes each edge leads from and to.
        length_m: (m,) metres.
        travel_time_s: (m,) seconds, as of the traffic now; inf is a closed road.
        leaving, arriving: the edges by source and by target.
        leaving_s, arriving_s: (m,) the travel times in the order of those rows.
        shapes: the bends of the edges.
        node_index: finds the node nearest to a place.
        derived: what is built once from the roads on first use, whatever the traffic; shared by `with_travel_times`.
    """

    lat_deg: FloatArray
    lng_deg: FloatArray
    source: NodeArray
    target: NodeArray
    length_m: FloatArray
    travel_time_s: FloatArray
    leaving: Adjacency
    arriving: Adjacency
    leaving_s: FloatArray
    arriving_s: FloatArray
    shapes: Shapes
    node_index: PointIndex
    derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return int(self.lat_deg.shape[0])

    @property
    def edge_count(self) -> int:
        """How many directed edges there are."""
        return int(self.source.shape[0])

    @classmethod
    def from_arrays(
        cls,
        lat_deg: npt.ArrayLike,
        lng_deg: npt.ArrayLike,
        source: npt.ArrayLike,
        target: npt.ArrayLike,
        length_m: npt.ArrayLike,
        travel_time_s: npt.ArrayLike,
        shapes: Shapes | None = None,
    ) -> "RoadGraph":
        """Build a graph from nodes (n,) and directed edges (m,) given by node numbers; edges are straight by default.

        Raises ValueError for no node, places off the globe, edges to nodes that do not exist, lengths of edge
        columns that differ, a length that is negative or not finite, or a travel time that is negative or NaN.
        """
        lat, lng = coordinates(lat_deg, lng_deg)
        if lat.shape[0] == 0:
            raise ValueError("a road graph needs at least one node")
        sources = positions("source", source, lat.shape[0]).astype(np.int32)
        targets = positions("target", target, lat.shape[0]).astype(np.int32)
        lengths = _edge_column("length_m", length_m, sources.shape[0])
        times = _edge_column("travel_time_s", travel_time_s, sources.shape[0])
        if targets.shape != sources.shape:
            raise ValueError(f"target has {targets.shape[0]} edges, source has {sources.shape[0]}")
        if not np.isfinite(lengths).all():
            raise ValueError("length_m must be finite")
        bends = Shapes.straight(sources.shape[0]) if shapes is None else shapes
        if bends.offset.shape[0] != sources.shape[0] + 1:
            raise ValueError(f"there are {bends.offset.shape[0] - 1} shapes for {sources.shape[0]} edges")
        leaving = Adjacency.of(lat.shape[0], sources, targets)
        arriving = Adjacency.of(lat.shape[0], targets, sources)
        return cls(
            lat, lng, sources, targets, lengths, times, leaving, arriving,
            times[leaving.edge], times[arriving.edge], bends, PointIndex.of(lat, lng),
        )  # fmt: skip

    def with_travel_times(self, travel_time_s: npt.ArrayLike) -> "RoadGraph":
        """Return the same roads under other traffic: travel times (m,) in the order of the edges.

        Costs two gathers; nothing is rebuilt. Raises ValueError for a wrong length, a negative value or NaN.
        """
        times = _edge_column("travel_time_s", travel_time_s, self.edge_count)
        return replace(
            self, travel_time_s=times, leaving_s=times[self.leaving.edge], arriving_s=times[self.arriving.edge]
        )

    def snap(self, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
        """Return (node (m,), distance_m (m,)): the nearest node of each place and the great-circle metres to it.

        Of equally near nodes the smallest. Raises ValueError for coordinates that are not places.
        """
        return self.node_index.nearest(lat_deg, lng_deg)

    def edge_points(self, edge: int) -> FloatArray:
        """Return the places (p, 2) lat, lng along an edge, its nodes and its bends, in driving direction.

        Raises ValueError if there is no such edge.
        """
        (number,) = positions("edge", edge, self.edge_count)
        first, last = self.shapes.offset[number], self.shapes.offset[number + 1]
        ends = self.source[number], self.target[number]
        lat = [self.lat_deg[ends[0]], *self.shapes.lat_deg[first:last], self.lat_deg[ends[1]]]
        lng = [self.lng_deg[ends[0]], *self.shapes.lng_deg[first:last], self.lng_deg[ends[1]]]
        return np.column_stack([lat, lng])

    def save(self, folder: Path | str) -> None:
        """Write the graph to ``folder`` (made if need be); the file appears whole or not at all."""
        path = Path(folder) / GRAPH_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {name: getattr(self, name) for name in STORED}
        bends = {f"shape_{name}": getattr(self.shapes, name) for name in STORED_SHAPES}
        save_arrays(path, {"version": FORMAT_VERSION} | columns | bends)

    @classmethod
    def load(cls, folder: Path | str) -> "RoadGraph":
        """Read the graph that ``save`` wrote.

        Raises FileNotFoundError if there is none, ValueError if the file is broken or of another format version.
        """
        path = Path(folder) / GRAPH_FILE
        if not path.is_file():
            raise FileNotFoundError(f"no road graph at {path}; build one with `hexhail city build`")
        try:
            # Opened here, for numpy leaves a broken file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                version, columns = int(stored["version"]), {name: stored[name] for name in STORED}
                bends = [stored[f"shape_{name}"] for name in STORED_SHAPES] if "shape_offset" in stored else None
        except (BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
            raise ValueError(f"{path} is not a road graph ({error}); build it again") from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}; build it again"
            )
        return cls.from_arrays(**columns, shapes=Shapes.from_arrays(*bends) if bends else None)


def roads_sha256(graph: RoadGraph) -> str:
    """Return a fingerprint (hex) of the nodes and edges, without the travel times, which change with the traffic."""
    digest = hashlib.sha256()
    for column in (graph.lat_deg, graph.lng_deg, graph.source, graph.target, graph.length_m):
        digest.update(column.tobytes())
    return digest.hexdigest()


def _edge_column(name: str, values: npt.ArrayLike, edges: int) -> FloatArray:
    column = float_vector(name, values)
    if column.shape[0] != edges:
        raise ValueError(f"{name} has {column.shape[0]} values for {edges} edges")
    wrong = ~(column >= 0.0)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{name}[{at}] is {column[at]}; it must not be negative or NaN")
    return column
