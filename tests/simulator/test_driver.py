"""A driver's behaviour, decision by decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.supply import DriverState
from simulator.model import DriverParams, Errand, Offer, RideStage
from simulator.people.actions import (
    AcceptOffer,
    CancelRide,
    DeclineOffer,
    GoOffline,
    GoOnline,
    ReportArrived,
    ReportDroppedOff,
    ReportPickedUp,
    StaySilent,
)
from simulator.people.driver import SILENCE_GRACE_S, Driver

WILLING = DriverParams(
    acceptance_share=1.0, far_acceptance_share=1.0, silence_share=0.0, cancel_share=0.0, break_share=0.0,
    dark_share=0.0, cruise_share=0.0,
)  # fmt: skip
UNWILLING = replace(WILLING, acceptance_share=0.0, far_acceptance_share=0.0)
MUTE = replace(UNWILLING, silence_share=1.0)


@pytest.fixture
def make_driver(streets: Any) -> Any:
    def make(params: Any = WILLING, seed: int = 1) -> Driver:
        driver = Driver(params, streets, np.random.default_rng(seed), 0, 0.0)
        assert driver.wake(0.0) == [GoOnline()]
        return driver

    return make


@pytest.fixture
def offer(corner: Any) -> Offer:
    return Offer("offer-1", "ride-1", corner(0, 3), corner(4, 3), pickup_eta_s=30.0, expires_s=15.0)


def wake_all(driver: Driver, until_s: float) -> list[object]:
    done = []
    while driver.wake_s <= until_s:
        now_s = driver.wake_s
        done += [(round(now_s, 6), action) for action in driver.wake(now_s)]
    return done


def test_carries_a_ride_from_the_offer_to_the_dropoff(make_driver: Any, offer: Any) -> None:
    driver = make_driver()
    assert driver.offered(offer, 1.0) == []
    assert driver.wake(driver.wake_s) == [AcceptOffer("offer-1", "ride-1")]
    assert (driver.state, driver.wake_s) == (DriverState.OFFERED, math.inf)
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff), 10.0)
    assert wake_all(driver, 125.0) == [
        (40.0, ReportArrived("ride-1")),
        (70.0, ReportPickedUp("ride-1")),
        (125.0, ReportDroppedOff("ride-1")),
    ]
    assert (driver.state, driver.errand) == (DriverState.IDLE, None)
    here = driver.position(130.0)
    assert (here.lat_deg, here.lng_deg) == (offer.dropoff.lat_deg, offer.dropoff.lng_deg)


def test_declines_and_is_free_at_once(make_driver: Any, offer: Any) -> None:
    driver = make_driver(UNWILLING)
    driver.offered(offer, 1.0)
    assert driver.wake(driver.wake_s) == [DeclineOffer("offer-1")]
    assert driver.state is DriverState.IDLE


def test_a_driver_who_lets_an_offer_expire_considers_later_offers(make_driver: Any, offer: Any) -> None:
    driver = make_driver(MUTE)
    driver.offered(offer, 1.0)
    assert driver.wake(driver.wake_s) == [StaySilent("offer-1")]
    assert driver.wake_s == offer.expires_s + SILENCE_GRACE_S
    driver.offered(replace(offer, offer_id="offer-2", expires_s=60.0), 16.0)
    assert driver.state is DriverState.OFFERED


def test_an_offer_that_is_too_late_or_finds_the_driver_busy_is_ignored(make_driver: Any, offer: Any) -> None:
    driver = make_driver()
    assert driver.offered(offer, offer.expires_s) == []
    assert driver.state is DriverState.IDLE
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff), 1.0)
    assert driver.offered(replace(offer, offer_id="offer-2"), 2.0) == []
    assert driver.state is DriverState.TO_PICKUP


def test_an_answer_that_came_too_late_frees_the_driver(make_driver: Any, offer: Any) -> None:
    driver = make_driver()
    driver.offered(offer, 1.0)
    driver.wake(driver.wake_s)
    driver.offer_gone("another", 20.0)
    assert driver.state is DriverState.OFFERED
    driver.offer_gone("offer-1", 20.0)
    assert driver.state is DriverState.IDLE


def test_cancels_an_assignment_before_the_pickup(make_driver: Any, offer: Any) -> None:
    driver = make_driver(replace(WILLING, cancel_share=1.0))
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff), 10.0)
    assert 10.0 <= driver.wake_s <= 40.0
    assert driver.wake(driver.wake_s) == [CancelRide("ride-1", "driver cannot come")]
    assert driver.errand is None


def test_is_released_from_its_own_ride_only(make_driver: Any, offer: Any) -> None:
    driver = make_driver()
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff), 10.0)
    driver.released("ride-0", 11.0)
    assert driver.errand is not None
    driver.released("ride-1", 11.0)
    assert (driver.state, driver.errand) == (DriverState.IDLE, None)


def test_takes_up_a_ride_at_the_stage_it_is_at(make_driver: Any, offer: Any) -> None:
    arrived, aboard = make_driver(), make_driver()
    arrived.assigned(Errand("ride-1", offer.pickup, offer.dropoff, RideStage.ARRIVED), 10.0)
    aboard.assigned(Errand("ride-1", offer.pickup, offer.dropoff, RideStage.ON_TRIP), 10.0)
    assert arrived.wake(40.0) == [ReportPickedUp("ride-1")]
    assert (aboard.state, aboard.wake_s) == (DriverState.ON_TRIP, 10.0 + 70.0 + 15.0)


def test_takes_the_next_ride_while_carrying_and_drives_there_after_the_dropoff(
    make_driver: Any, offer: Any, corner: Any
) -> None:
    driver = make_driver()
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff, RideStage.ON_TRIP), 10.0)  # until 95
    following = Offer("offer-2", "ride-2", corner(4, 4), corner(0, 4), pickup_eta_s=40.0, expires_s=75.0)
    assert driver.offered(following, 60.0) == []
    assert driver.state is DriverState.ON_TRIP
    assert driver.wake(driver.wake_s) == [AcceptOffer("offer-2", "ride-2")]
    assert driver.wake_s == 95.0
    driver.assigned(Errand("ride-2", following.pickup, following.dropoff), 70.0)
    assert driver.offered(replace(following, offer_id="offer-3", ride_id="ride-3"), 71.0) == []
    assert [errand.ride_id for errand in driver.errands] == ["ride-1", "ride-2"]
    assert wake_all(driver, 106.0) == [(95.0, ReportDroppedOff("ride-1")), (105.0, ReportArrived("ride-2"))]


def test_a_next_ride_that_is_gone_before_the_dropoff_changes_nothing_else(make_driver: Any, offer: Any) -> None:
    driver = make_driver()
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff, RideStage.ON_TRIP), 10.0)
    driver.assigned(Errand("ride-2", offer.pickup, offer.dropoff), 20.0)
    driver.released("ride-2", 30.0)
    assert wake_all(driver, 95.0) == [(95.0, ReportDroppedOff("ride-1"))]
    assert driver.state is DriverState.IDLE


def test_an_offer_that_outlasts_the_dropoff_is_answered_by_the_idle_driver(make_driver: Any, offer: Any) -> None:
    driver = make_driver(replace(WILLING, thinking_s_mean=1e6))
    driver.assigned(Errand("ride-1", offer.pickup, offer.dropoff, RideStage.ON_TRIP), 10.0)
    driver.offered(replace(offer, offer_id="offer-2", expires_s=100.0), 90.0)
    assert wake_all(driver, 95.0) == [(95.0, ReportDroppedOff("ride-1"))]
    assert driver.state is DriverState.OFFERED
    driver.offer_gone("offer-2", 100.0)
    assert driver.state is DriverState.IDLE


def test_goes_off_line_and_comes_back(make_driver: Any) -> None:
    driver = make_driver(replace(WILLING, break_share=1.0))
    assert driver.wake(driver.wake_s) == [GoOffline()]
    assert not driver.is_connected(driver.wake_s)
    assert driver.wake(driver.wake_s) == [GoOnline()]


def test_a_driver_without_connection_sends_no_pings_and_misses_offers(make_driver: Any, offer: Any) -> None:
    driver = make_driver(replace(WILLING, dark_share=1.0, dark_s_mean=1e6))
    now_s = driver.wake_s
    driver.wake(now_s)
    assert driver.is_online
    assert not driver.is_connected(now_s)
    assert driver.offered(replace(offer, expires_s=now_s + 15.0), now_s) == [StaySilent("offer-1")]


def test_cruises_to_a_place_nearby_and_rests_there_for_a_while(make_driver: Any, streets: Any) -> None:
    driver = make_driver(replace(WILLING, cruise_share=1.0, cruise_m_max=250.0), seed=3)
    start = driver.position(0.0)
    now_s = driver.wake_s
    assert driver.wake(now_s) == []
    assert driver.position(driver.wake_s) != start


def test_accepts_near_offers_more_often_than_far_ones(make_driver: Any, offer: Any) -> None:
    params = DriverParams(acceptance_share=0.9, far_acceptance_share=0.3, far_pickup_eta_s=600.0, silence_share=0.05)

    def share(pickup_eta_s: float) -> tuple[float, float]:
        answers = []
        for seed in range(400):
            driver = make_driver(params, seed)
            driver.offered(replace(offer, pickup_eta_s=pickup_eta_s), 1.0)
            answers.append(type(driver.wake(driver.wake_s)[0]))
        return answers.count(AcceptOffer) / 400, answers.count(StaySilent) / 400

    assert share(0.0)[0] == pytest.approx(0.9, abs=0.05)
    assert share(2_000.0)[0] == pytest.approx(0.3, abs=0.07)
    assert share(300.0)[1] == pytest.approx(0.05, abs=0.04)


@given(st.integers(0, 2**32), st.integers(0, 24))
@settings(max_examples=25, deadline=None)
def test_the_same_seed_gives_the_same_actions(streets: Any, seed: int, node: Any) -> None:
    params = DriverParams(break_share=0.2, dark_share=0.2, cruise_share=0.4, cancel_share=0.3)

    def day() -> list[object]:
        driver = Driver(params, streets, np.random.default_rng(seed), node, 0.0)
        done = wake_all(driver, 3_600.0)
        for number in range(5):
            now_s = 3_600.0 + 600.0 * number
            offer = Offer(str(number), str(number), streets.point_of(3), streets.point_of(20), 60.0, now_s + 15.0)
            done += driver.offered(offer, now_s)
            done += wake_all(driver, now_s + 20.0)
            driver.assigned(Errand(str(number), offer.pickup, offer.dropoff), now_s + 20.0)
            done += wake_all(driver, now_s + 600.0)
        return [*done, driver.position(6_000.0)]

    assert day() == day()


@pytest.mark.parametrize(
    "wrong",
    [
        {"thinking_s_mean": -1.0}, {"pace": 0.0}, {"silence_share": 1.1}, {"acceptance_share": 0.99},
        {"cruise_share": 0.999}, {"boarding_s": math.nan}, {"far_acceptance_share": 0.95},
    ],
)  # fmt: skip
def test_invalid_parameters_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        DriverParams(**wrong)
