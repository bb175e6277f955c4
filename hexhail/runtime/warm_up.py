"""Compiling the kernels, or loading them from the cache, before anybody waits for them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geo.city import City


def warm_up(city_dir: Path) -> None:
    """Call every kernel that a live round, a quote or an ingested ping calls, so that each process finds it cached."""
    from geo.city import load_city
    from geo.learning import map_matching

    city = load_city(city_dir)
    warm_edges(city)
    warm_matching(city)
    warm_ingest()
    map_matching.load_kernels(city.graph)


def warm_edges(city: City) -> None:
    """Load the kernels of quotes, of the cars near a rider and of pings at the edge."""

    from geo.cells import CellNumbers, latlng_to_cells
    from geo.nearest import PointsByCell
    from geo.places import snapped
    from geo.roads.road_places import places_on_roads
    from geo.roads.road_ways import road_way, times_between
    from geo.roads.travel_times import UnreachableError, nearest_by_road
    from kernel.points import Point

    graph, ends = city.graph, [0, city.graph.node_count - 1]
    lat_deg, lng_deg = graph.lat_deg[ends], graph.lng_deg[ends]
    points = [Point(*point) for point in zip(lat_deg.tolist(), lng_deg.tolist(), strict=True)]
    graph.snap(lat_deg, lng_deg)
    snapped(graph, points)
    with suppress(UnreachableError):
        road_way(graph, *points)
    places = places_on_roads(graph, lat_deg, lng_deg)
    times_between(graph, places, places[::-1], 60.0)
    nearest_by_road(graph, places, places[:1], 1, 60.0)
    PointsByCell.of(lat_deg, lng_deg, city.region.surge_resolution).nearest(lat_deg[0], lng_deg[0], 1)
    cells = latlng_to_cells(lat_deg, lng_deg, city.region.search_resolution)
    CellNumbers.of(city.search_cells).find(cells)
    _ = city.surge_cells


def warm_matching(city: City) -> None:
    """Load the kernels of a round."""
    from dispatch.matching import assign

    warm_edges(city)
    assign([0], [0], [1.0], 1, 1)


def warm_ingest() -> None:
    """Load the kernels of the ping filter."""
    from location_ingest.kernels import load_kernels

    load_kernels()


if __name__ == "__main__":
    import sys

    warm_up(Path(sys.argv[1]))
