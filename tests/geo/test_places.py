"""A map is told from others by its roads, and takes points of any map to its own."""

from __future__ import annotations

import pytest

from geo.places import MAP_ID_DIGITS, Places, map_id_of, snapped
from kernel.points import Place, Point
from tests.dispatch.maps import BEFORE, backwards, without_first


def test_a_map_is_the_same_whatever_the_traffic_is_and_another_where_a_crossing_has_another_number() -> None:
    slow = BEFORE.with_travel_times(BEFORE.travel_time_s * 3.0)
    ids = [map_id_of(graph) for graph in (BEFORE, slow, backwards(BEFORE), without_first(BEFORE, 1))]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert {len(one) for one in ids} == {MAP_ID_DIGITS}


def test_a_point_is_taken_to_the_nearest_road_within_the_reach_of_the_region() -> None:
    near, far = Point(40.0003, -74.0), Point(40.0008, -74.02)
    places = Places.of(BEFORE, off_road_m_max=100.0)
    assert places.at([near, far]) == [Place(40.0003, -74.0, 0), None]
    assert Places.of(backwards(BEFORE)).at([near]) == [Place(40.0003, -74.0, 17)]
    assert places.at([]) == []


def test_places_come_with_the_metres_to_the_road() -> None:
    [place], [off_road_m] = snapped(BEFORE, [Point(40.0003, -74.0)])
    assert place.node == 0
    assert off_road_m == pytest.approx(0.0, abs=0.1)  # on the street, 33 m from its crossing


@pytest.mark.parametrize(("node", "map_id", "holds"), [(17, "own", True), (18, "own", False), (-1, "own", False)])
def test_a_number_is_used_only_if_it_is_of_this_map(node: int, map_id: str, holds: bool) -> None:
    places = Places(BEFORE, "own")
    assert places.holds(Place(40.0, -74.0, node), map_id) is holds
    assert not places.holds(Place(40.0, -74.0, node), "another")
