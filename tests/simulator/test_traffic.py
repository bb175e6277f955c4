"""The congestion model against values computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from geo.city import City, Region
from kernel.section_reader import ParamsRefused, read_params
from simulator.day import Day
from simulator.day_params import Acceptance, DayParams
from simulator.streets.congestion import Traffic, TrafficParams, pace_of
from tests.simulator.towns import TARIFF, crowded

#: A hundred vehicles fill a kilometre of lane, twenty are there already.
PARAMS = TrafficParams(jam_per_km=100.0, background_per_km=20.0)
NOON_S = 1_700_006_400.0 - 3_600.0 * 12.0  # midnight of 2023-11-15 in UTC, and then twelve hours


@pytest.mark.parametrize(
    ("density", "pace"), [(0.0, 1.0), (40.0, 2.0), (60.0, 4.0), (79.9, 5.0), (80.0, 5.0), (1e6, 5.0)]
)
def test_the_pace_follows_greenshields_relation(density: Any, pace: Any) -> None:
    assert pace_of(density, PARAMS) == pytest.approx(pace)


@given(st.floats(0.0, 300.0), st.floats(0.0, 300.0))
def test_more_vehicles_are_never_quicker_and_nothing_stands_still(one: Any, more: Any) -> None:
    assert 1.0 <= pace_of(one, PARAMS) <= pace_of(one + more, PARAMS) <= PARAMS.pace_max


def test_a_fleet_twice_as_large_slows_the_city_as_the_relation_says() -> None:
    # 2 km of lanes: 40 vehicles are 20 on each kilometre, 80 / 60; 80 are 40 on each, 80 / 40.
    traffic = Traffic(PARAMS, 2_000.0, "UTC")
    assert traffic.measure(40, NOON_S) == pytest.approx(4.0 / 3.0)
    assert traffic.measure(80, NOON_S) == pytest.approx(2.0)
    assert traffic.figures() == {"pace_mean": 1.6667, "pace_max": 2.0}


def test_the_hour_is_that_of_the_city() -> None:
    rush = replace(PARAMS, hourly_pace=tuple(2.0 if hour == 7 else 1.0 for hour in range(24)))
    midnight_utc_s = 1_700_006_400.0
    assert Traffic(rush, 1e6, "UTC").measure(0, midnight_utc_s + 7 * 3600) == 2.0
    assert Traffic(rush, 1e6, "America/New_York").measure(0, midnight_utc_s + 7 * 3600) == 1.0
    assert Traffic(rush, 1e6, "America/New_York").measure(0, midnight_utc_s + 12 * 3600) == 2.0


@pytest.mark.parametrize(
    ("section", "error", "message"),
    [
        ({"jam": 1}, ParamsRefused, "jam is not a key of this section; expected one of jam_per_km"),
        ({"background_per_km": 130}, ValueError, "0 <= background_per_km < jam_per_km"),
        ({"jam_per_km": "many"}, ParamsRefused, "jam_per_km is 'many'; expected float"),
        ({"hourly_pace": [1.0] * 23}, ValueError, "24 positive numbers"),
        ({"hourly_pace": [1.0] * 23 + ["x"]}, ParamsRefused, r"\[traffic.hourly_pace\] 23 is 'x'"),
        ({"pace_max": 0.5}, ValueError, "pace_max must be at least 1"),
        ({"vehicles_per_driver": 0}, ValueError, "vehicles_per_driver must be positive"),
    ],
)
def test_a_wrong_section_is_refused_with_its_key(section: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        read_params({"traffic": section}, TrafficParams)


def live(town: Any, drivers: Any, traffic: Any, *, on: Any = True) -> Any:
    inputs = crowded(town, count=120, last_s=600, drivers=drivers)
    city = City(Region("town", "Town", "UTC", "USD", 9, 9, 200.0, ""), town, {"tariff": TARIFF, "traffic": traffic})
    params = DayParams(acceptance=Acceptance.ALWAYS, is_surge_on=False, is_congestion_on=on, chain_within_s=0.0)
    return Day(city, inputs.requests, inputs.starts, OptimalPolicy(town), params).run()


def trips_s(outcome: Any) -> Any:
    """How long each rider was aboard, by ride."""
    begun = {event.ride_id: event.at_s for event in outcome.events if isinstance(event, ev.RiderPickedUp)}
    ended = {event.ride_id: event.at_s for event in outcome.events if isinstance(event, ev.RiderDroppedOff)}
    return {ride_id: ended[ride_id] - at_s for ride_id, at_s in begun.items()}


def test_in_a_town_where_all_drive_all_trips_take_as_long_as_the_relation_says(town: Any) -> None:
    # Each driver on the way takes a tenth of the town's room: four leave six tenths of it, eight two tenths.
    lanes_km = float(town.length_m.sum()) / 1000.0
    full = {"jam_per_km": 100.0, "background_per_km": 0.0, "vehicles_per_driver": 10.0 * lanes_km, "pace_max": 9.0}
    free, few, many = live(town, 4, full, on=False), live(town, 4, full), live(town, 8, full)
    paces = {pace_of(10.0 * moving, read_params({"traffic": full}, TrafficParams)) for moving in range(9)}
    usual_s = trips_s(free)
    for outcome in (few, many):
        assert outcome.violations == []
        stretch = {round(took / usual_s[ride], 6) for ride, took in trips_s(outcome).items() if ride in usual_s}
        assert stretch <= {round(pace, 6) for pace in paces}
    assert max(few.traffic.paces) == pytest.approx(10.0 / 6.0)
    assert max(many.traffic.paces) == pytest.approx(10.0 / 2.0)
    assert many.traffic.figures()["pace_mean"] > few.traffic.figures()["pace_mean"] > 1.2
    assert free.traffic is None


def test_offers_say_how_long_the_pickup_will_really_take(town: Any) -> None:
    slow = {"hourly_pace": [2.0] * 24}
    outcome = live(town, 9, slow)
    promised = {
        event.ride_id: event.at_s + event.pickup_eta_s for event in outcome.events if isinstance(event, ev.OfferSent)
    }
    arrived = {event.ride_id: event.at_s for event in outcome.events if isinstance(event, ev.DriverArrived)}
    exact = [ride for ride in arrived if arrived[ride] == pytest.approx(promised[ride], abs=1e-6)]
    # The others were asked in the middle of a street, when the rider they were driving to had gone.
    assert len(exact) > 0.9 * len(arrived) > 60
