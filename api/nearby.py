"""The idle drivers near a rider: the nearest ones exactly, and how long they would take by road."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from api.supply import RecentDrivers
from geo.roads.graph import RoadGraph
from geo.roads.road_places import places_on_roads
from geo.roads.road_ways import times_between
from geo.roads.travel_times import nearest_by_road
from kernel.points import Place, Point


@dataclass(frozen=True, slots=True)
class NearbyDriver:
    """An idle driver near a place."""

    point: Point
    #: Great-circle metres from the driver to the place.
    distance_m: float
    #: Seconds by road from the driver to the place; None if that takes longer than is asked for.
    pickup_eta_s: float | None


def nearest_drivers(
    drivers: RecentDrivers, graph: RoadGraph, place: Place, count: int, within_m: float, eta_s_max: float
) -> list[NearbyDriver]:
    """Return at most ``count`` idle drivers within ``within_m`` of a place, the nearest first.

    Exact: no idle driver who is left out is nearer than one who is named (decision 020).
    """
    found = drivers.idle_points.nearest(place.lat_deg, place.lng_deg, count)
    is_near = found.distance_m[0] <= within_m
    at, distance_m = found.index[0][is_near], found.distance_m[0][is_near]
    lat_deg, lng_deg = drivers.idle_deg
    points = [Point(*point) for point in zip(lat_deg[at].tolist(), lng_deg[at].tolist(), strict=True)]
    here = places_on_roads(graph, [place.lat_deg] * len(at), [place.lng_deg] * len(at))
    eta_s = times_between(graph, places_on_roads(graph, lat_deg[at], lng_deg[at]), here, eta_s_max)
    return [
        NearbyDriver(point, metres, seconds if np.isfinite(seconds) else None)
        for point, metres, seconds in zip(points, distance_m.tolist(), eta_s.tolist(), strict=True)
    ]


def nearest_eta_s(drivers: RecentDrivers, graph: RoadGraph, pickup: Point, eta_s_max: float) -> float | None:
    """Return the road time from the idle driver who is there first, None if nobody is within ``eta_s_max``."""
    if not len(drivers.supply):
        return None
    here = places_on_roads(graph, [pickup.lat_deg], [pickup.lng_deg])
    _, eta_s = nearest_by_road(graph, drivers.supply.places, here, 1, eta_s_max)
    first_s = float(eta_s[0, 0])
    return first_s if np.isfinite(first_s) else None
