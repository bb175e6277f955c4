"""Ways between points on roads: exact along the edges, equal to those over a graph that is split at the points."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.common.inputs import lattice
from geo.arrays import FloatArray
from geo.city import City, Region
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from geo.roads.road_places import RoadPlaces, places_on_roads
from geo.roads.road_ways import node_on_road, road_way, times_between
from geo.roads.snap import edge_index, points_on_edges
from geo.roads.travel_times import UnreachableError, nearest_by_road, path
from kernel.points import Point

STREET_M = float(great_circle_m([60.0], [25.0], [60.0], [25.072])[0])


def long_street(*, is_one_way: bool = False) -> RoadGraph:
    """Four kilometres without a crossing; a short loop leads round at its western end."""
    source, target = [0, 1, 2, 0], [1, 2, 0, 2]
    length_m = [STREET_M, 5_000.0, 5_000.0, 5_000.0]
    if not is_one_way:
        source, target, length_m = [*source, 1], [*target, 0], [*length_m, STREET_M]
    return RoadGraph.from_arrays(
        [60.0, 60.0, 59.99], [25.0, 25.072, 25.0], source, target, length_m, np.array(length_m) / 20.0
    )


def at(share: float) -> Point:
    """A point of the long street."""
    return Point(60.0, 25.0 + 0.072 * share)


@pytest.mark.parametrize(("begin", "end"), [(0.5, 1.0), (0.04, 1.0), (0.0, 0.05), (0.9, 0.3)])
def test_a_way_along_one_street_is_as_long_as_the_part_that_is_driven(begin: float, end: float) -> None:
    way = road_way(long_street(), at(begin), at(end))
    assert way.length_m == pytest.approx(abs(end - begin) * STREET_M, abs=0.5)
    assert way.travel_time_s == pytest.approx(way.length_m / 20.0)


def test_a_point_behind_on_a_one_way_street_is_reached_by_the_way_round() -> None:
    way = road_way(long_street(is_one_way=True), at(0.5), at(0.25))
    assert way.length_m == pytest.approx(0.5 * STREET_M + 10_000.0 + 0.25 * STREET_M, abs=0.5)
    assert way.node.tolist() == [1, 2, 0]


def test_from_a_crossing_each_of_its_streets_can_be_taken() -> None:
    way = road_way(long_street(is_one_way=True), at(0.0), Point(59.99, 25.0))
    assert way.length_m == pytest.approx(5_000.0, abs=1.0)


def test_a_closed_street_has_no_way_along_it() -> None:
    graph = long_street(is_one_way=True)
    closed = graph.with_travel_times([np.inf, *graph.travel_time_s[1:]])
    with pytest.raises(UnreachableError):
        road_way(closed, at(0.5), at(0.75))


def test_a_place_on_a_long_street_is_on_the_road_and_in_the_cells_of_the_region() -> None:
    graph = long_street()
    node, off_road_m = node_on_road(graph, [60.0, 60.0, 60.0018], [25.030, 25.042, 25.036])
    assert node.tolist()[:2] == [0, 1]
    assert off_road_m[:2] == pytest.approx([0.0, 0.0], abs=0.7)  # the street is straight, the parallel is not
    assert off_road_m[2] == pytest.approx(200.0, abs=1.0)
    _, to_crossing_m = graph.snap([60.0], [25.036])
    assert to_crossing_m[0] > 1_900.0
    city = City(Region("long", "Long", "UTC", "EUR", 10, 9, 200.0, ""), graph, {})
    assert off_region(city, 60.0, np.linspace(25.0, 25.072, 200)) == 0


def off_region(city: City, lat_deg: float, lng_deg: FloatArray) -> int:
    """How many places lie in none of the cells that hold drivers."""
    from geo.cells import latlng_to_cells

    cells = latlng_to_cells(np.full(lng_deg.shape, lat_deg), lng_deg, city.region.search_resolution)
    return int((~np.isin(cells, city.search_cells)).sum())


def split_at(graph: RoadGraph, points: list[Point]) -> tuple[RoadGraph, list[int]]:
    """The slow twin's graph: each street, in both directions, cut at the points on it, which become nodes."""
    lat, lng = graph.lat_deg.tolist(), graph.lng_deg.tolist()
    cuts: dict[int, list[tuple[float, int]]] = {}
    for point in points:
        found = edge_index(graph).nearest([point.lat_deg], [point.lng_deg], count=2)
        for n in range(2):
            if found.distance_m[0, n] == found.distance_m[0, 0]:
                cuts.setdefault(int(found.edge[0, n]), []).append((float(found.share[0, n]), len(lat)))
        lat.append(point.lat_deg)
        lng.append(point.lng_deg)
    rows: list[tuple[int, int, float, float]] = []
    for edge in range(graph.edge_count):
        stops = [(0.0, int(graph.source[edge])), *sorted(cuts.get(edge, [])), (1.0, int(graph.target[edge]))]
        for (begin, near), (end, far) in itertools.pairwise(stops):
            part = end - begin
            rows.append((near, far, part * graph.length_m[edge], part * graph.travel_time_s[edge]))
    source, target, length_m, time_s = zip(*rows, strict=True)
    split = RoadGraph.from_arrays(lat, lng, source, target, length_m, time_s)
    return split, [graph.node_count + number for number in range(len(points))]


CITY = lattice(6, seed=3)


def on_edge(edge: int, share: float) -> Point:
    """A point of an edge of the lattice, whose edges are straight."""
    ends = CITY.source[edge], CITY.target[edge]
    lat, lng = ((1.0 - share) * x[ends[0]] + share * x[ends[1]] for x in (CITY.lat_deg, CITY.lng_deg))
    return Point(float(lat), float(lng))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, CITY.edge_count - 1), st.floats(0.02, 0.98)), min_size=2, max_size=2))
def test_every_way_equals_that_over_the_graph_split_at_its_ends(ends: list[tuple[int, float]]) -> None:
    origin, destination = (on_edge(*end) for end in ends)
    split, (begin, end) = split_at(CITY, [origin, destination])
    try:
        slow = path(split, begin, end)
    except UnreachableError:
        with pytest.raises(UnreachableError):
            road_way(CITY, origin, destination)
        return
    way = road_way(CITY, origin, destination)
    assert way.travel_time_s == pytest.approx(float(slow.arrival_s[-1]), abs=1e-6)
    if way.length_m != pytest.approx(float(slow.length_m[-1]), abs=1e-6):
        assert len(way.node) > 0  # two ways of one duration


def places(graph: RoadGraph, points: list[Point]) -> RoadPlaces:
    return places_on_roads(graph, [point.lat_deg for point in points], [point.lng_deg for point in points])


def seconds(origin: Point, destination: Point) -> float:
    """By the search of one way, which is compared with the split graph above."""
    try:
        return road_way(CITY, origin, destination).travel_time_s
    except UnreachableError:
        return float("inf")


trips = st.tuples(*[st.tuples(st.integers(0, CITY.edge_count - 1), st.floats(0.0, 1.0))] * 2)


@settings(max_examples=50, deadline=None)
@given(st.lists(trips, max_size=6), st.sampled_from([30.0, 120.0, float("inf")]))
def test_the_times_of_many_pairs_are_those_of_each_way_alone(
    pairs: list[tuple[tuple[int, float], tuple[int, float]]], limit_s: float
) -> None:
    origins, destinations = ([on_edge(*pair[end]) for pair in pairs] for end in (0, 1))
    alone = [seconds(*ends) for ends in zip(origins, destinations, strict=True)]
    expected = [time_s if time_s <= limit_s else float("inf") for time_s in alone]
    times_s = times_between(CITY, places(CITY, origins), places(CITY, destinations), limit_s)
    assert times_s.tolist() == pytest.approx(expected, abs=1e-9)


def test_points_of_a_place_without_roads_are_apart_only_if_their_crossings_are() -> None:
    yard = RoadGraph.from_arrays([60.0, 60.1], [25.0, 25.0], [], [], [], [])
    here, there = Point(60.0, 25.0), Point(60.1, 25.0)
    times_s = times_between(yard, places(yard, [here, here]), places(yard, [here, there]))
    assert times_s.tolist() == [0.0, float("inf")]


def test_origins_and_destinations_are_paired() -> None:
    with pytest.raises(ValueError, match="1 origins but 0 destinations"):
        times_between(CITY, places(CITY, [on_edge(0, 0.5)]), places(CITY, []))


points_on_roads = st.tuples(st.integers(0, CITY.edge_count - 1), st.floats(0.0, 1.0))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(points_on_roads, st.sampled_from([0.0, 0.0, 7.0, 40.0])), max_size=12),
    st.lists(points_on_roads, min_size=1, max_size=40),
    st.integers(1, 6),
    st.sampled_from([20.0, 90.0, float("inf")]),
)
def test_the_nearest_drivers_are_those_with_the_least_times_of_all_pairs(
    drivers: list[tuple[tuple[int, float], float]], pickups: list[tuple[int, float]], k: int, limit_s: float
) -> None:
    cars, riders = places(CITY, [on_edge(*at) for at, _ in drivers]), places(CITY, [on_edge(*at) for at in pickups])
    delay_s = np.array([delay for _, delay in drivers])
    index, time_s = nearest_by_road(CITY, cars, riders, k, limit_s, delay_s)
    for row in range(len(pickups)):
        alone = riders[np.full(len(drivers), row)]
        every_s = times_between(CITY, cars, alone) + delay_s if drivers else np.empty(0)
        found = np.flatnonzero(index[row] >= 0)
        assert len(set(index[row, found].tolist())) == len(found), "a driver counts once"
        assert time_s[row, found] == pytest.approx(every_s[index[row, found]], abs=1e-9)
        expected = np.sort(every_s[every_s <= limit_s - 1e-9])[:k]
        assert time_s[row, : len(expected)] == pytest.approx(expected, abs=1e-9)
        assert np.isinf(time_s[row, len(np.flatnonzero(every_s <= limit_s + 1e-9)[:k]) :]).all()


def test_a_driver_in_the_middle_of_a_long_street_needs_as_long_as_the_rest_of_the_street_takes() -> None:
    graph = long_street()
    cars = places(graph, [at(0.5), at(0.9), at(0.1)])
    index, time_s = nearest_by_road(graph, cars, places(graph, [at(0.45), at(1.0)]), 3, 300.0)
    whole_s = STREET_M / 20.0
    assert index.tolist() == [[0, 2, 1], [1, 0, 2]]
    assert time_s[0] == pytest.approx(np.array([0.05, 0.35, 0.45]) * whole_s, abs=0.1)
    assert time_s[1] == pytest.approx(np.array([0.1, 0.5, 0.9]) * whole_s, abs=0.1)


def test_a_driver_past_the_pickup_on_a_one_way_street_goes_round() -> None:
    graph = long_street(is_one_way=True)
    _, time_s = nearest_by_road(graph, places(graph, [at(0.5)]), places(graph, [at(0.25)]), 1, np.inf)
    assert time_s[0, 0] == pytest.approx((0.75 * STREET_M + 10_000.0) / 20.0, abs=0.1)


def test_a_point_on_an_edge_is_where_its_share_of_the_bends_is() -> None:
    graph = long_street()
    lat_deg, lng_deg = points_on_edges(graph, np.array([0, 0, 4]), np.array([0.25, 1.0, 1.0]))
    assert lat_deg == pytest.approx([60.0, 60.0, 60.0], abs=2e-5)
    assert lng_deg == pytest.approx([at(0.25).lng_deg, 25.072, 25.0], abs=2e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(points_on_roads, min_size=1, max_size=20))
def test_a_point_that_is_snapped_to_a_road_is_found_there_again(ends: list[tuple[int, float]]) -> None:
    points = [on_edge(*end) for end in ends]
    found = places(CITY, points)
    lat_deg, lng_deg = points_on_edges(CITY, found.edge[:, 0], found.share[:, 0])
    away_m = great_circle_m(lat_deg, lng_deg, [p.lat_deg for p in points], [p.lng_deg for p in points])
    assert away_m == pytest.approx(0.0, abs=0.5)
