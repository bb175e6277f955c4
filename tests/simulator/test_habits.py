"""Driver habits, in the 5 by 5 grid town of conftest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from geo.arrays import FloatArray
from geo.city import City, Region
from geo.zones import Zones
from kernel.supply import DriverState
from pricing.model.quotes import Receipt
from pricing.model.tariff import DriverShare
from pricing.rules.fares import itemise
from simulator.model import DriverParams, Offer
from simulator.people.actions import DeclineOffer, GoOffline, GoOnline
from simulator.people.driver import Driver
from simulator.people.habits import CherryPicker, CherryPickingParams, Habit, PriceFollower, PriceFollowingParams
from simulator.reports.figures import empty_zone_share
from tests.pricing.tariffs import TAXI

METERED = replace(TAXI, minimum_cents=TAXI.base_cents)
CRUISING = DriverParams(break_share=0.0, dark_share=0.0, cruise_share=1.0)


@dataclass
class Map:
    multipliers: FloatArray


@pytest.fixture(scope="module")
def city(town: Any) -> City:
    return City(Region("town", "Town", "UTC", "USD", 9, 9, 200.0, ""), town, {})


@pytest.fixture(scope="module")
def zones(city: Any) -> Zones:
    return Zones.of(city)


@pytest.fixture
def prices(city: Any) -> Map:
    return Map(np.ones(len(city.surge_cells)))


def test_every_corner_lies_in_one_zone_and_a_zone_draws_its_own(zones: Any, town: Any) -> None:
    assert zones.of_node.shape == (town.node_count,)
    assert sorted(zones.node.tolist()) == list(range(town.node_count))
    rng = np.random.default_rng(1)
    for zone in range(len(zones)):
        assert zones.of_node[zones.middle[zone]] == zone
        assert zones.of_node[zones.draw_node(zone, rng)] == zone
    assert (zones.eta_s.diagonal() == 0.0).all()


def test_a_driver_who_always_works_never_looks_at_prices_for_that(zones: Any, prices: Any) -> None:
    prices.multipliers[:] = 0.1
    assert PriceFollower(zones, prices, PriceFollowingParams(), reluctance=0.0).works(0, 0.0)


def test_casual_drivers_come_as_prices_rise_in_proportion_to_their_elasticity(zones: Any, prices: Any) -> None:
    params = PriceFollowingParams(casual_at_work_share=0.4, supply_elasticity=1.0)
    reluctances = (np.arange(1000) + 0.5) / 1000
    working = {}
    for price in (0.5, 1.0, 2.0, 3.0):
        prices.multipliers[:] = price
        followers = (PriceFollower(zones, prices, params, reluctance) for reluctance in reluctances)
        working[price] = sum(follower.works(0, 0.0) for follower in followers)
    assert working == {0.5: 200, 1.0: 400, 2.0: 800, 3.0: 1000}


def test_a_better_price_draws_more_drivers_the_nearer_it_is(zones: Any, prices: Any) -> None:
    follower = PriceFollower(zones, prices, PriceFollowingParams(), reluctance=0.0)
    here = 0
    there = int(np.argmax(zones.eta_s[here]))

    def share_going() -> float:
        rng = np.random.default_rng(3)
        goals = [follower.next_node(int(zones.middle[here]), 0.0, rng) for _ in range(400)]
        return np.mean([goal is not None and zones.of_node[goal] == there for goal in goals])

    alike = share_going()
    prices.multipliers[zones.surge_index[there]] = 2.0
    assert alike < 0.6 < share_going()


def test_without_surge_the_multiplier_is_one_everywhere(zones: Any) -> None:
    params = PriceFollowingParams(casual_at_work_share=0.4)
    assert PriceFollower(zones, None, params, reluctance=0.39).works(0, 0.0)
    assert not PriceFollower(zones, None, params, reluctance=0.41).works(0, 0.0)


class WorksFrom(Habit):
    look_s_mean = 50.0

    def __init__(self, begin_s: float, end_s: float) -> None:
        self._begin_s, self._end_s = begin_s, end_s

    def works(self, node: int, now_s: float) -> bool:
        return self._begin_s <= now_s < self._end_s


def test_a_casual_driver_goes_online_when_prices_rise_and_offline_when_they_fall(streets: Any) -> None:
    habit = WorksFrom(600.0, 1800.0)
    driver = Driver(CRUISING, streets, np.random.default_rng(1), 0, 0.0, habit)
    done = []
    while driver.wake_s < 4000.0:
        now_s = driver.wake_s
        done += [(now_s, action) for action in driver.wake(now_s)]
    (came_s, came), (went_s, went) = done
    assert (came, went) == (GoOnline(), GoOffline())
    assert 600.0 <= came_s < 900.0
    assert 1800.0 <= went_s < 2200.0
    assert driver.state is DriverState.OFFLINE


@pytest.mark.parametrize("wrong", [{"casual_share": 1.5}, {"supply_elasticity": 0.0}, {"outlook_s": math.inf}])
def test_invalid_parameters_are_refused_by_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PriceFollowingParams(**wrong)


def test_the_empty_zone_share_is_weighted_by_requests() -> None:
    @dataclass
    class Moment:
        at_s: float
        idle_per_cell: np.ndarray

    samples = [Moment(0.0, np.array([0, 1, 0])), Moment(60.0, np.array([2, 0, 0])), Moment(120.0, np.array([0, 0, 0]))]
    assert empty_zone_share(samples, np.array([3, 1, 0]), until_s=60.0) == pytest.approx((3 / 4 + 1 / 4) / 2)


def bill(length_m: float, duration_s: float, surge_multiplier: float) -> tuple[int, Receipt]:
    priced = itemise(METERED, length_m, duration_s, surge_multiplier)
    return priced.price_cents, Receipt(
        tariff_version=METERED.version, quoted_s=0.0, distance_m=length_m, travel_time_s=duration_s,
        surge_multiplier=surge_multiplier, lines=priced.lines, tax_cents=priced.tax_cents,
    )  # fmt: skip


BY_LENGTH = DriverShare()
BY_RIDE = DriverShare(surge_commission_percent=100.0, surge_bonus_cents=1000)


@pytest.mark.parametrize(
    ("rule", "surge_multiplier", "taken"),
    [(BY_LENGTH, 1.0, ["short", "long"]), (BY_LENGTH, 2.0, ["long"]), (BY_RIDE, 2.0, ["short", "long"])],
)
def test_a_cherry_picker_declines_short_rides_only_during_multiplicative_surge(
    corner: Any, rule: Any, surge_multiplier: Any, taken: Any
) -> None:
    bills = {"short": bill(600.0, 120.0, surge_multiplier), "long": bill(8_000.0, 1_500.0, surge_multiplier)}
    tariff = replace(METERED, driver=rule)
    picker = CherryPicker(
        Habit(), CherryPickingParams(least_pay_cents=800.0, hour_cents=1_500.0), tariff, bills.__getitem__
    )
    offers = [Offer("o", ride, corner(0, 0), corner(4, 4), pickup_eta_s=60.0, expires_s=15.0) for ride in bills]
    assert [offer.ride_id for offer in offers if picker.wants(offer, 0.0)] == taken


def test_a_habit_that_wants_no_ride_declines_every_offer(streets: Any, corner: Any) -> None:
    class Choosy(Habit):
        def wants(self, offer: Offer, now_s: float) -> bool:
            return False

    driver = Driver(replace(CRUISING, silence_share=0.0), streets, np.random.default_rng(1), 0, 0.0, Choosy())
    assert driver.wake(0.0) == [GoOnline()]
    offer = Offer("offer-1", "ride-1", corner(0, 3), corner(4, 3), pickup_eta_s=30.0, expires_s=15.0)
    driver.offered(offer, 1.0)
    assert driver.wake(driver.wake_s) == [DeclineOffer("offer-1")]
