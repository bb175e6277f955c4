"""Idle drivers and repositioning advice, in the 5 by 5 grid town of conftest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dispatch.matching.optimal import OptimalPolicy
from geo.city import City, Region
from geo.zones import Zones
from pricing.adapters.highs_flow import solve_transport
from pricing.model.advice import RepositioningParams
from pricing.rules.forecast import QUARTERS_OF_DAY, DemandForecast
from simulator.day import Day
from simulator.day_params import DayParams
from simulator.demand.inputs import DriverStarts, PlacedRequests
from simulator.demand.requests import Requests
from simulator.people.advice import Adviser, FollowAdvice, ReturnToZone, StayAtDropoff
from simulator.people.population import People
from tests.simulator.towns import TARIFF, crowded

PARAMS = RepositioningParams(every_s=60.0, crowding_s=60.0, indifference_s=1.0)


@pytest.fixture(scope="module")
def city(town: Any) -> City:
    return City(Region("town", "Town", "UTC", "USD", 9, 9, 200.0, ""), town, {"tariff": TARIFF})


@pytest.fixture(scope="module")
def zones(city: Any) -> Zones:
    return Zones.of(city)


def test_stay_at_dropoff_keeps_drivers_in_place_and_return_to_zone_sends_them_home(zones: Any) -> None:
    rng = np.random.default_rng(1)
    assert [StayAtDropoff().next_node(node, 0.0, rng) for node in (0, 7, 24)] == [0, 7, 24]
    home = int(zones.of_node[12])
    homer = ReturnToZone(zones, home)
    for node in range(25):
        goal = homer.next_node(node, 0.0, rng)
        assert zones.of_node[goal] == home
        assert goal == node or zones.of_node[node] != home


def test_advice_that_is_never_followed_leaves_drivers_where_they_are(zones: Any) -> None:
    adviser = Adviser(zones, DemandForecast(np.ones((QUARTERS_OF_DAY, len(zones)))), solve_transport, PARAMS, 0.0)
    assert FollowAdvice(zones, adviser, 1.0).next_node(3, 0.0, np.random.default_rng(1)) == 3
    with pytest.raises(ValueError, match="compliance"):
        FollowAdvice(zones, adviser, 1.5)


def lived(city: Any, zones: Any, town: Any, usual: Any) -> Any:
    """Everybody rides from the first corner to the last, one a minute; nobody drives back unasked."""
    count = 60
    t_s, pickup, dropoff = 60.0 * np.arange(count), np.zeros(count, np.int64), np.full(count, 24)
    places = [np.column_stack([town.lat_deg[at], town.lng_deg[at]]) for at in (pickup, dropoff)]
    requests = PlacedRequests(Requests(t_s, *places, np.ones(count, np.uint8)), pickup, dropoff)
    adviser = Adviser(zones, DemandForecast(usual), solve_transport, PARAMS, 0.0)
    people = People(make_habits=lambda *_: lambda number: FollowAdvice(zones, adviser, 1.0), watchers=(adviser,))
    starts = DriverStarts(np.full(6, 24), np.full(6, 4))
    params = DayParams(is_surge_on=False, drain_s=600.0)
    return Day(city, requests, starts, OptimalPolicy(town), params, people).run(), adviser


def test_drivers_are_brought_back_to_where_riders_are_expected(city: Any, zones: Any, town: Any) -> None:
    usual = np.zeros((QUARTERS_OF_DAY, len(zones)))
    usual[:, zones.of_node[0]] = 15.0
    outcome, adviser = lived(city, zones, town, usual)
    assert not outcome.violations
    first = zones.surge_index[zones.of_node[0]]
    near = [sample.idle_per_cell[first] for sample in outcome.samples[20:55]]
    assert np.mean(near) > 0.5
    assert adviser.forecast.error.forecast < 0.2


def test_where_nobody_is_expected_nobody_is_sent(city: Any, zones: Any, town: Any) -> None:
    outcome, adviser = lived(city, zones, town, np.zeros((QUARTERS_OF_DAY, len(zones))))
    first = zones.surge_index[zones.of_node[0]]
    assert max(sample.idle_per_cell[first] for sample in outcome.samples) == 0
    assert adviser.forecast.error.forecast == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_day_with_advice(city: Any, zones: Any, town: Any) -> None:
    inputs = crowded(town, count=40)

    def run() -> Any:
        usual = np.full((QUARTERS_OF_DAY, len(zones)), 5.0)
        adviser = Adviser(zones, DemandForecast(usual), solve_transport, PARAMS, 0.0)
        people = People(make_habits=lambda *_: lambda number: FollowAdvice(zones, adviser, 0.6), watchers=(adviser,))
        params = DayParams(is_surge_on=False)
        return Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(town), params, people).run()

    assert run().events == run().events
