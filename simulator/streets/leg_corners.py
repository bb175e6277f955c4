"""The corners of a drive along the roads, bends included, and how much of its time is gone at each."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray
from geo.distances import great_circle_m, lng_change_deg
from geo.roads import travel_times
from geo.roads.graph import RoadGraph


class LegCorners:
    """Finds the corners of drives on one road graph."""

    def __init__(self, graph: RoadGraph) -> None:
        self._graph = graph
        self._has_bends = bool(graph.shapes.lat_deg.size)

    def duration_s(self, source: int, target: int) -> float:
        """Seconds that the quickest way takes; 0 where there is none."""
        try:
            return float(travel_times.path(self._graph, source, target).arrival_s[-1])
        except travel_times.UnreachableError:
            return 0.0

    def of(
        self, source: int, target: int, here_lat_deg: float, here_lng_deg: float
    ) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.int64]]:
        """Part of the time gone (0 to 1), lat_deg, lng_deg and node at each corner, (p,) each.

        A bend has the node that it leads to. Who was called back on the way before is in the middle of a road, and gets
        from there to the source first. Where no road leads to the target the way is a straight line.
        """
        graph = self._graph
        try:
            way = travel_times.path(graph, source, target)
        except travel_times.UnreachableError:
            nodes = np.array([source, target])
            return np.array([0.0, 1.0]), graph.lat_deg[nodes], graph.lng_deg[nodes], nodes
        nodes, share = way.node, _shares(way.arrival_s)
        lat_deg, lng_deg = graph.lat_deg[nodes], graph.lng_deg[nodes]
        if self._has_bends and way.edge.size:
            nodes, share, lat_deg, lng_deg = self._bent(way, share)
        if here_lat_deg == lat_deg[0] and here_lng_deg == lng_deg[0]:
            return share, lat_deg, lng_deg, nodes
        approach_m = float(great_circle_m(here_lat_deg, here_lng_deg, lat_deg[:1], lng_deg[:1])[0])
        if approach_m > 1.0:
            nodes, lat_deg = np.insert(nodes, 0, nodes[0]), np.insert(lat_deg, 0, here_lat_deg)
            lng_deg = np.insert(lng_deg, 0, here_lng_deg)
            part = approach_m / (approach_m + float(way.length_m[-1]))
            share = np.concatenate([[0.0], part + share * (1.0 - part)])
        return share, lat_deg, lng_deg, nodes

    def _bent(
        self, way: travel_times.Path, share: FloatArray
    ) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
        """The corners of a way with the bends of its roads, each at its part of the stretch's length."""
        nodes, shares, places = [way.node[:1]], [share[:1]], [self._graph.edge_points(int(way.edge[0]))[:1]]
        for at, edge in enumerate(way.edge.tolist()):
            points = self._graph.edge_points(edge)
            east = lng_change_deg(points[:-1, 1], points[1:, 1]) * math.cos(math.radians(points[0, 0]))
            part = _shares(np.concatenate([[0.0], np.cumsum(np.hypot(east, np.diff(points[:, 0])))]))
            nodes.append(np.full(len(points) - 1, way.node[at + 1]))
            shares.append(share[at] + part[1:] * (share[at + 1] - share[at]))
            places.append(points[1:])
        place = np.concatenate(places)
        return np.concatenate(nodes), np.concatenate(shares), place[:, 0], place[:, 1]


def _shares(rising: FloatArray) -> FloatArray:
    """Numbers from 0 as parts of the last; all but the first 1 if that is 0."""
    last = float(rising[-1])
    shares: FloatArray = rising / last if last > 0.0 else np.minimum(np.arange(rising.size), 1.0)
    return shares
