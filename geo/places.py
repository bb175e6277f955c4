"""Where points lie on one map: every place that is stored is taken to the roads by this module alone.

A place names its road by number, and numbers mean something on one map only. A stored place therefore carries the
map's id; a reader with another map snaps its latitude and longitude anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geo.arrays import FloatArray
from geo.roads.graph import RoadGraph, roads_sha256
from geo.roads.road_ways import node_on_road
from kernel.points import Place, Point

#: Hexadecimal digits of a map's id: two maps of one city differ by chance once in 2^64.
MAP_ID_DIGITS = 16


def map_id_of(graph: RoadGraph) -> str:
    """Return the map's id: the same for the same nodes and edges, whatever the travel times are."""
    return roads_sha256(graph)[:MAP_ID_DIGITS]


def snapped(graph: RoadGraph, points: Sequence[Point]) -> tuple[list[Place], FloatArray]:
    """Return the place of each point on the nearest road, and the metres (n,) from the point to that road.

    The node of a place is the nearer end of its road, by the way along it.
    """
    lat_deg, lng_deg = [point.lat_deg for point in points], [point.lng_deg for point in points]
    node, off_road_m = node_on_road(graph, lat_deg, lng_deg)
    places = [Place(*place) for place in zip(lat_deg, lng_deg, node.tolist(), strict=True)]
    return places, off_road_m


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one map, within the reach that its region allows."""

    graph: RoadGraph
    map_id: str
    #: A point farther than this from every road has no place.
    off_road_m_max: float = float("inf")

    @classmethod
    def of(cls, graph: RoadGraph, off_road_m_max: float = float("inf")) -> Places:
        """The places of a road graph."""
        return cls(graph, map_id_of(graph), off_road_m_max)

    def at(self, points: Sequence[Point]) -> list[Place | None]:
        """Return the place of each point, None where no road is near enough."""
        places, off_road_m = snapped(self.graph, points)
        near = (off_road_m <= self.off_road_m_max).tolist()
        return [place if is_near else None for place, is_near in zip(places, near, strict=True)]

    def holds(self, place: Place, map_id: str) -> bool:
        """Whether a place that was stored with this map id is one of ours, so that its number can be used."""
        return map_id == self.map_id and 0 <= place.node < self.graph.node_count
