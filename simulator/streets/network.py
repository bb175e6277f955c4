"""Street access for drivers: nearest node, random nodes nearby, quickest ways."""

from __future__ import annotations

import math

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.distances import EARTH_RADIUS_M, unrolled_deg
from geo.roads import travel_times
from geo.roads.graph import RoadGraph
from kernel.points import Point
from simulator.streets.motion import Drive, Motion, Movement
from simulator.streets.ways import Ways


class Streets:
    """Ways through one road graph; costs one search for a way, nothing is kept between ways."""

    def __init__(self, graph: RoadGraph) -> None:
        self._graph = graph
        east_m, north_m = _metres(graph)
        self._east_m, self._north_m = east_m, north_m
        source, target = graph.source, graph.target
        heading = np.degrees(np.arctan2(east_m[target] - east_m[source], north_m[target] - north_m[source]))
        self._heading_deg: FloatArray = np.round(heading % 360.0, 1) % 360.0

    def nearest_node(self, point: Point) -> int:
        """Return the node nearest to a point."""
        node, _ = self._graph.snap(point.lat_deg, point.lng_deg)
        return int(node[0])

    def point_of(self, node: int) -> Point:
        """Return where a node is."""
        return Point(float(self._graph.lat_deg[node]), float(self._graph.lng_deg[node]))

    def node_near(self, node: int, radius_m: float, generator: np.random.Generator) -> int:
        """Draw a node within a radius of another, each equally likely, the node itself among them."""
        east_m, north_m = self._east_m - self._east_m[node], self._north_m - self._north_m[node]
        near = np.flatnonzero(east_m * east_m + north_m * north_m <= radius_m * radius_m)
        return int(near[generator.integers(near.shape[0])])

    def stand(self, node: int, now_s: float) -> Motion:
        """Rest at a node."""
        return Motion.standing(node, self.point_of(node), now_s)

    def drive(self, motion: Movement, node: int, now_s: float, pace: float) -> Movement:
        """Return the quickest way to a node from wherever `motion` has led by now, turning off at its next corner.

        Driving takes `pace` times the free-flow time. Raises travel_times.UnreachableError if there is no way.
        """
        corner, corner_s = motion.next_corner(now_s)
        onward = self._search(corner, corner_s, node, pace)
        return onward if corner_s <= now_s else _from_mid_road(motion, onward, now_s)

    def _search(self, corner: int, corner_s: float, node: int, pace: float) -> Motion:
        way = travel_times.path(self._graph, corner, node)
        reach_s = corner_s + way.arrival_s * pace
        duration_s = np.diff(reach_s)
        speed_mps = np.divide(np.diff(way.length_m), duration_s, out=np.zeros_like(duration_s), where=duration_s > 0.0)
        return Motion(
            tuple(way.node.tolist()),
            tuple(reach_s.tolist()),
            tuple(self._graph.lat_deg[way.node].tolist()),
            tuple(self._graph.lng_deg[way.node].tolist()),
            tuple(self._heading_deg[way.edge].tolist()),
            tuple(speed_mps.tolist()),
        )


class KnownStreets(Streets):
    """Streets of a simulation: places and trips of riders are known beforehand, paths are searched on demand."""

    def __init__(self, graph: RoadGraph, ways: Ways) -> None:
        super().__init__(graph)
        #: Travel times of ways begun now, as a multiple of the graph's.
        self.pace = 1.0
        self._ways = ways
        #: (lat_deg, lng_deg) -> node.
        self._node_of: dict[tuple[float, float], int] = {}

    def know(self, points_deg: FloatArray, nodes: IntArray) -> None:
        """Remember to which nodes (n,) points (n, 2) were snapped."""
        self._node_of.update(zip(zip(*points_deg.T.tolist(), strict=True), nodes.tolist(), strict=True))

    def nearest_node(self, point: Point) -> int:
        """Return the node nearest to a point."""
        node = self._node_of.get((point.lat_deg, point.lng_deg))
        return super().nearest_node(point) if node is None else node

    def drive(self, motion: Movement, node: int, now_s: float, pace: float) -> Movement:
        """Return the quickest way to a node, as `Streets.drive` does; from a corner on, its path is not searched yet.

        It keeps the pace at which it was begun. Raises travel_times.UnreachableError if there is no way.
        """
        pace *= self.pace
        corner, corner_s = motion.next_corner(now_s)
        duration_s, length_m = self._ways.between(corner, node)
        if duration_s == math.inf:
            raise travel_times.UnreachableError(f"no way from node {corner} to node {node}")

        def search() -> Motion:
            onward = self._search(corner, corner_s, node, pace)
            return onward if corner_s <= now_s else _from_mid_road(motion, onward, now_s)

        return Drive(node, self.point_of(node), now_s, corner_s + duration_s * pace, length_m, search)


def _from_mid_road(motion: Movement, onward: Motion, now_s: float) -> Motion:
    here = motion.at(now_s)
    return Motion(
        (onward.node[0], *onward.node),
        (now_s, *onward.reach_s),
        (here.lat_deg, *onward.lat_deg),
        (here.lng_deg, *onward.lng_deg),
        (here.heading_deg or 0.0, *onward.heading_deg),
        (here.speed_mps, *onward.speed_mps),
    )


def _metres(graph: RoadGraph) -> tuple[FloatArray, FloatArray]:
    """Return (east_m (n,), north_m (n,)) on a plane that touches the city's middle: good to 0.1 % across a city.

    East is from the first node, or from Greenwich in a city that does not hold 180°.
    """
    middle_lat = float(graph.lat_deg.mean())
    m_per_deg = np.pi / 180.0 * EARTH_RADIUS_M
    east_m: FloatArray = unrolled_deg(graph.lng_deg) * (m_per_deg * np.cos(np.radians(middle_lat)))
    return east_m, graph.lat_deg * m_per_deg
