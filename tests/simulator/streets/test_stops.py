"""Cars stop where riders stand, along streets too, and a round, an offer and the drive say the same seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.common.inputs import lattice
from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from geo.city import City, Region
from geo.distances import great_circle_m
from geo.roads.road_ways import road_way
from geo.roads.travel_times import UnreachableError
from kernel.points import Point
from simulator.day import Day
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import BadRows, DriverStarts, PlacedRequests, read_drivers, read_requests
from simulator.demand.requests import Requests
from simulator.streets.motion import Drive
from simulator.streets.network import KnownStreets, Streets
from simulator.streets.ways import Ways
from tests.simulator.towns import STEP_DEG, TARIFF

CITY = lattice(6, seed=3)
on_edge = st.tuples(st.integers(0, CITY.edge_count - 1), st.floats(0.0, 1.0))


def point(edge: int, share: float) -> Point:
    ends = CITY.source[edge], CITY.target[edge]
    lat, lng = ((1.0 - share) * x[ends[0]] + share * x[ends[1]] for x in (CITY.lat_deg, CITY.lng_deg))
    return Point(float(lat), float(lng))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(on_edge, on_edge), min_size=1, max_size=8))
def test_every_way_between_stops_is_that_between_the_points_on_roads(pairs: list[Any]) -> None:
    ways, streets = Ways(CITY), Streets(CITY)
    for begin, end in pairs:
        origin, destination = point(*begin), point(*end)
        known = ways.between(ways.stops.at(origin), ways.stops.at(destination))
        start = streets.stand(streets.stop_at(origin), 7.0)
        try:
            exact = road_way(CITY, origin, destination)
        except UnreachableError:
            assert known == (np.inf, np.inf)
            with pytest.raises(UnreachableError):
                streets.drive(start, streets.stop_at(destination), 7.0, 2.0)
            continue
        assert known.duration_s == pytest.approx(exact.travel_time_s, abs=0.1)  # half a metre is at the crossing
        motion = streets.drive(start, streets.stop_at(destination), 7.0, 2.0)
        assert motion.arrival_s == pytest.approx(7.0 + 2.0 * known.duration_s, abs=1e-6)
        here = motion.at(motion.arrival_s)
        away_m = great_circle_m([here.lat_deg], [here.lng_deg], [destination.lat_deg], [destination.lng_deg])
        assert away_m[0] < 1.0


def test_a_stop_keeps_its_number_and_one_at_a_crossing_is_the_crossing() -> None:
    stops = Ways(CITY).stops
    here = point(0, 0.5)
    first = stops.add([here.lat_deg, CITY.lat_deg[3]], [here.lng_deg, CITY.lng_deg[3]])
    assert first.tolist() == [CITY.node_count, 3]
    assert stops.at(here) == CITY.node_count
    assert stops.at(point(1, 0.25)) == CITY.node_count + 1
    assert stops.add([here.lat_deg], [here.lng_deg]).tolist() == [CITY.node_count]


def test_a_lazy_drive_from_the_middle_of_a_street_is_where_the_full_one_is() -> None:
    ways = Ways(CITY)
    full, lazy = Streets(CITY, ways.stops), KnownStreets(CITY, ways)
    begin, end = full.stop_at(point(4, 0.3)), full.stop_at(point(CITY.edge_count - 3, 0.6))
    exact, found = (streets.drive(streets.stand(begin, 0.0), end, 0.0, 1.5) for streets in (full, lazy))
    assert isinstance(found, Drive)
    assert found.arrival_s == pytest.approx(exact.arrival_s)
    for now_s in np.linspace(0.0, exact.arrival_s + 5.0, 23):
        assert found.at(now_s) == pytest.approx(exact.at(now_s), nan_ok=True)


def test_the_offer_the_drive_and_the_wait_are_as_long_as_the_way_along_the_streets(town: Any) -> None:
    """A driver 60 m into a street of 100 m, a rider 30 m into one: at crossings both were 0 s from the ends."""
    car = Point(0.0, 0.6 * STEP_DEG)
    pickup, dropoff = Point(STEP_DEG, 2.3 * STEP_DEG), Point(3.0 * STEP_DEG, 3.5 * STEP_DEG)
    city = City(Region("town", "Town", "UTC", "USD", 9, 9, 200.0, ""), town, {"tariff": TARIFF})
    ends = [np.array([[one.lat_deg, one.lng_deg]]) for one in (pickup, dropoff)]
    requests = PlacedRequests(Requests(np.zeros(1), *ends, np.ones(1, np.uint8)), np.array([7]), np.array([18]))
    starts = DriverStarts(np.array([1]), np.array([4]), np.array([[car.lat_deg, car.lng_deg]]))
    params = DayParams(acceptance=Acceptance.ALWAYS, is_surge_on=False)
    outcome = Day(city, requests, starts, OptimalPolicy(town), params).run()
    expected_s = road_way(town, car, pickup).travel_time_s
    assert expected_s == pytest.approx(27.0, abs=0.1)
    (offer,) = [event for event in outcome.events if isinstance(event, ev.OfferSent)]
    assert offer.pickup_eta_s == pytest.approx(expected_s)
    accepted_s = next(event.at_s for event in outcome.events if isinstance(event, ev.OfferAccepted))
    picked_s = next(event.at_s for event in outcome.events if isinstance(event, ev.RiderPickedUp))
    dropped_s = next(event.at_s for event in outcome.events if isinstance(event, ev.RiderDroppedOff))
    assert picked_s - accepted_s == pytest.approx(expected_s)
    assert dropped_s - picked_s == pytest.approx(road_way(town, pickup, dropoff).travel_time_s)


def test_places_moved_to_crossings_stand_at_the_nearest_ones(town: Any, tmp_path: Any) -> None:
    riders, drivers = tmp_path / "requests.csv", tmp_path / "drivers.csv"
    place = 0.4 * STEP_DEG
    riders.write_text(f"t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size\n0,0,{place},0,{4 * STEP_DEG},1\n")
    drivers.write_text(f"lat,lng\n0,{place}\n")
    for to_crossings, there in ((False, place), (True, 0.0)):
        requests = read_requests(riders, town, 200.0, BadRows(), to_crossings=to_crossings)
        starts = read_drivers(drivers, town, 200.0, BadRows(), to_crossings=to_crossings)
        assert requests.asked.pickup_deg.tolist() == [[0.0, pytest.approx(there)]]
        assert starts.points_deg is not None
        assert starts.points_deg.tolist() == [[0.0, pytest.approx(there)]]
        assert (requests.pickup_node.tolist(), starts.node.tolist()) == ([0], [0])
