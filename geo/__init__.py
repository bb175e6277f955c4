"""Cells, distances, roads, travel times and cities. Pure: numbers in, numbers out."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from geo.cells import latlng_to_cells
    from geo.city import City, Region, load_city
    from geo.city_build import build_city
    from geo.distances import great_circle_m
    from geo.nearest import PointsByCell
    from geo.roads.graph import RoadGraph
    from geo.roads.travel_times import between, nearest_by_road, path
    from geo.zones import Zones

__all__ = [
    "City",
    "PointsByCell",
    "Region",
    "RoadGraph",
    "Zones",
    "between",
    "build_city",
    "great_circle_m",
    "latlng_to_cells",
    "load_city",
    "nearest_by_road",
    "path",
]

__getattr__ = lazy(
    __name__,
    {
        "City": "city",
        "PointsByCell": "nearest",
        "Region": "city",
        "RoadGraph": "roads.graph",
        "Zones": "zones",
        "between": "roads.travel_times",
        "build_city": "city_build",
        "great_circle_m": "distances",
        "latlng_to_cells": "cells",
        "load_city": "city",
        "nearest_by_road": "roads.travel_times",
        "path": "roads.travel_times",
    },
)
