"""The places where simulated cars stop, by number: crossings by their node, places along roads after the last node."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray, float_vector
from geo.roads.graph import RoadGraph
from geo.roads.road_places import Links, RoadPlaces, at_crossings, entering, leaving, places_on_roads
from geo.roads.snap import points_on_edges
from kernel.points import Point


class Stops:
    """The stops of one city; places are added as they are asked for, and keep their numbers.

    Attributes:
        places: (n,) where on roads each stop is.
        lat_deg, lng_deg: (n,) the point of the road.
        out, into: (n, 2) the links to and from the crossings, in the travel times of the graph.
    """

    def __init__(self, graph: RoadGraph) -> None:
        self._graph = graph
        self._number_of: dict[tuple[float, float], int] = {}
        self.places = RoadPlaces.at_nodes(np.arange(graph.node_count))
        self.lat_deg: FloatArray = graph.lat_deg
        self.lng_deg: FloatArray = graph.lng_deg
        self.out = leaving(graph, self.places)
        self.into = entering(graph, self.places)

    def __len__(self) -> int:
        return len(self.places)

    def at(self, point: Point) -> int:
        """Return the number of the stop on the road nearest to a point."""
        known = self._number_of.get((point.lat_deg, point.lng_deg))
        return int(self.add([point.lat_deg], [point.lng_deg])[0]) if known is None else known

    def add(self, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> IntArray:
        """Return the numbers (n,) of the stops on the roads nearest to points. Raises ValueError for no such points."""
        lat, lng = float_vector("lat_deg", lat_deg), float_vector("lng_deg", lng_deg)
        points = list(zip(lat.tolist(), lng.tolist(), strict=True))
        new = {point: number for number, point in enumerate(points) if point not in self._number_of}
        if new:
            rows = np.fromiter(new.values(), np.int64, len(new))
            self._number_of.update(zip(new, self._append(lat[rows], lng[rows]).tolist(), strict=True))
        return np.array([self._number_of[point] for point in points], np.int64)

    def _append(self, lat_deg: FloatArray, lng_deg: FloatArray) -> IntArray:
        """Numbers (n,) of new points: the node's where one is at a crossing, the next ones for all others."""
        places = places_on_roads(self._graph, lat_deg, lng_deg)
        is_new = ~at_crossings(self._graph, places)
        number = places.node.copy()
        number[is_new] = len(self) + np.arange(np.count_nonzero(is_new))
        added = places[is_new]
        if len(added):
            lat, lng = points_on_edges(self._graph, added.edge[:, 0], added.share[:, 0])
            self.lat_deg, self.lng_deg = np.append(self.lat_deg, lat), np.append(self.lng_deg, lng)
            self.places = RoadPlaces.together([self.places, added])
            self.out = Links.together([self.out, leaving(self._graph, added)])
            self.into = Links.together([self.into, entering(self._graph, added)])
        return number
