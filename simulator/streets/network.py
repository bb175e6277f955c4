"""Street access for drivers: nearest stop, random nodes nearby, quickest ways."""

from __future__ import annotations

import math

import numpy as np

from geo.arrays import FloatArray
from geo.distances import EARTH_RADIUS_M, unrolled_deg
from geo.roads import travel_times
from geo.roads.graph import RoadGraph
from geo.roads.road_ways import way_between
from kernel.points import Point
from simulator.streets.motion import Drive, Motion, Movement
from simulator.streets.stops import Stops
from simulator.streets.ways import Ways


class Streets:
    """Ways through one road graph; costs one search for a way, nothing is kept between ways."""

    def __init__(self, graph: RoadGraph, stops: Stops | None = None) -> None:
        self._graph = graph
        self.stops = stops or Stops(graph)
        self._plane = Plane(graph)
        east_m, north_m = self._plane.of(graph.lat_deg, graph.lng_deg)
        self._east_m, self._north_m = east_m, north_m

    def stop_at(self, point: Point) -> int:
        """Return the stop on the road nearest to a point."""
        return self.stops.at(point)

    def node_of(self, stop: int) -> int:
        """Return the node of a stop: the nearer end of its road."""
        return int(self.stops.places.node[stop])

    def point_of(self, stop: int) -> Point:
        """Return where a stop is."""
        return Point(float(self.stops.lat_deg[stop]), float(self.stops.lng_deg[stop]))

    def node_near(self, stop: int, radius_m: float, generator: np.random.Generator) -> int:
        """Draw a node within a radius of a stop's node, each equally likely, that node itself among them."""
        node = self.node_of(stop)
        east_m, north_m = self._east_m - self._east_m[node], self._north_m - self._north_m[node]
        near = np.flatnonzero(east_m * east_m + north_m * north_m <= radius_m * radius_m)
        return int(near[generator.integers(near.shape[0])])

    def stand(self, stop: int, now_s: float) -> Motion:
        """Rest at a stop."""
        return Motion.standing(stop, self.point_of(stop), now_s)

    def drive(self, motion: Movement, stop: int, now_s: float, pace: float) -> Movement:
        """Return the quickest way to a stop from wherever `motion` has led by now, turning off at its next corner.

        Driving takes `pace` times the free-flow time. Raises travel_times.UnreachableError if there is no way.
        """
        corner, corner_s = motion.next_corner(now_s)
        onward = self._search(corner, corner_s, stop, pace)
        return onward if corner_s <= now_s else _from_mid_road(motion, onward, now_s)

    def _search(self, begin: int, begin_s: float, end: int, pace: float) -> Motion:
        places = self.stops.places
        way = way_between(self._graph, places[np.array([begin])], places[np.array([end])])
        # The crossings between; a way that begins or ends at one names it once.
        first, last = int(len(way.node) > 0 and way.node[0] == begin), len(way.node)
        last -= int(last > first and way.node[-1] == end)
        node = way.node[first:last]
        stop = np.concatenate([[begin], node, [end]]) if begin != end else np.array([begin])
        along_s = np.concatenate([[0.0], way.arrival_s[first:last], [way.travel_time_s]])[: len(stop)]
        along_m = np.concatenate([[0.0], way.arrival_m[first:last], [way.length_m]])[: len(stop)]
        reach_s = begin_s + along_s * pace
        lat_deg, lng_deg = self.stops.lat_deg[stop], self.stops.lng_deg[stop]
        east_m, north_m = self._plane.of(lat_deg, lng_deg)
        duration_s = np.diff(reach_s)
        speed_mps = np.divide(np.diff(along_m), duration_s, out=np.zeros_like(duration_s), where=duration_s > 0.0)
        return Motion(
            tuple(stop.tolist()),
            tuple(reach_s.tolist()),
            tuple(lat_deg.tolist()),
            tuple(lng_deg.tolist()),
            tuple(_heading_deg(np.diff(east_m), np.diff(north_m)).tolist()),
            tuple(speed_mps.tolist()),
        )


class KnownStreets(Streets):
    """Streets of a simulation: seconds and metres of ways are searched in batches, paths on demand."""

    def __init__(self, graph: RoadGraph, ways: Ways) -> None:
        super().__init__(graph, ways.stops)
        #: Travel times of ways begun now, as a multiple of the graph's.
        self.pace = 1.0
        self._ways = ways

    def drive(self, motion: Movement, stop: int, now_s: float, pace: float) -> Movement:
        """Return the quickest way to a stop, as `Streets.drive` does; from a corner on, its path is not searched yet.

        It keeps the pace at which it was begun. Raises travel_times.UnreachableError if there is no way.
        """
        pace *= self.pace
        corner, corner_s = motion.next_corner(now_s)
        duration_s, length_m = self._ways.between(corner, stop)
        if duration_s == math.inf:
            raise travel_times.UnreachableError(f"no way from {self.point_of(corner)} to {self.point_of(stop)}")

        def search() -> Motion:
            onward = self._search(corner, corner_s, stop, pace)
            return onward if corner_s <= now_s else _from_mid_road(motion, onward, now_s)

        return Drive(stop, self.point_of(stop), now_s, corner_s + duration_s * pace, length_m, search)


def _from_mid_road(motion: Movement, onward: Motion, now_s: float) -> Motion:
    here = motion.at(now_s)
    return Motion(
        (onward.stop[0], *onward.stop),
        (now_s, *onward.reach_s),
        (here.lat_deg, *onward.lat_deg),
        (here.lng_deg, *onward.lng_deg),
        (here.heading_deg or 0.0, *onward.heading_deg),
        (here.speed_mps, *onward.speed_mps),
    )


class Plane:
    """A plane that touches the city's middle: good to 0.1 % across a city."""

    def __init__(self, graph: RoadGraph) -> None:
        m_per_deg = np.pi / 180.0 * EARTH_RADIUS_M
        self._north_m_per_deg = m_per_deg
        self._east_m_per_deg = m_per_deg * np.cos(np.radians(float(graph.lat_deg.mean())))

    def of(self, lat_deg: FloatArray, lng_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (east_m (n,), north_m (n,)), east from near the first point, or from Greenwich where 180° is far."""
        return unrolled_deg(lng_deg) * self._east_m_per_deg, lat_deg * self._north_m_per_deg


def _heading_deg(east_m: FloatArray, north_m: FloatArray) -> FloatArray:
    """Degrees (n,) clockwise from north, in tenths."""
    heading: FloatArray = np.round(np.degrees(np.arctan2(east_m, north_m)) % 360.0, 1) % 360.0
    return heading
