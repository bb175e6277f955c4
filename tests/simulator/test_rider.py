"""A rider's behaviour, from the quote to the end of the ride."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.model import RiderParams
from simulator.people.actions import AskQuote, CancelRide, LeaveForPrice, RequestRide
from simulator.people.rider import Rider, RiderState

EAGER = RiderParams(acceptance_share=1.0, price_elasticity=0.0, change_of_mind_share=0.0)


def make_rider(params: RiderParams = EAGER, seed: int = 1) -> Rider:
    return Rider(params, np.random.default_rng(seed))


def waiting_rider(params: RiderParams = EAGER) -> Rider:
    rider = make_rider(params)
    rider.start()
    rider.quoted(1.0, 0.0)
    rider.wake(rider.wake_s)
    rider.requested("ride-1", 10.0)
    return rider


def test_asks_thinks_and_requests() -> None:
    rider = make_rider()
    assert rider.start() == [AskQuote()]
    rider.quoted(1.0, 100.0)
    assert 100.0 < rider.wake_s <= 100.0 + 3.0 * EAGER.decision_s_mean
    assert rider.wake(100.0) == []
    assert rider.wake(rider.wake_s) == [RequestRide()]
    rider.requested("ride-1", 120.0)
    assert (rider.state, rider.ride_id) == (RiderState.WAITING, "ride-1")


def test_leaves_when_the_price_is_too_high() -> None:
    rider = make_rider(replace(EAGER, acceptance_share=0.0))
    rider.start()
    rider.quoted(1.0, 0.0)
    assert rider.wake(rider.wake_s) == [LeaveForPrice()]
    assert rider.state is RiderState.GONE


def test_more_leave_when_surge_is_high() -> None:
    def share(surge_multiplier: float) -> float:
        taken = 0
        for seed in range(600):
            rider = make_rider(RiderParams(acceptance_share=1.0, price_elasticity=0.5), seed)
            rider.start()
            rider.quoted(surge_multiplier, 0.0)
            taken += rider.wake(rider.wake_s) == [RequestRide()]
        return taken / 600

    assert share(1.0) == 1.0
    assert share(4.0) == pytest.approx(0.5, abs=0.06)


def test_gives_up_when_nobody_comes_in_time() -> None:
    rider = waiting_rider()
    assert rider.wake_s >= 10.0 + EAGER.patience_s_min
    assert rider.wake(rider.wake_s) == [CancelRide("ride-1", "no driver in time")]
    assert rider.wake_s == math.inf


def test_waits_for_the_assigned_driver_until_he_is_overdue() -> None:
    rider = waiting_rider()
    rider.assigned(120.0, 20.0)
    assert rider.wake_s == 20.0 + 120.0 + EAGER.overdue_s_max
    assert rider.wake(rider.wake_s) == [CancelRide("ride-1", "changed my mind")]


def test_some_change_their_mind_before_the_driver_comes() -> None:
    rider = waiting_rider(replace(EAGER, change_of_mind_share=1.0))
    rider.assigned(120.0, 20.0)
    assert 20.0 <= rider.wake_s <= 140.0


def test_waits_on_when_the_driver_gives_the_ride_back() -> None:
    rider = waiting_rider()
    gives_up_s = rider.wake_s
    rider.assigned(120.0, 20.0)
    rider.unassigned(30.0)
    assert (rider.state, rider.wake_s) == (RiderState.WAITING, max(gives_up_s, 90.0))


def test_plans_nothing_once_the_driver_is_there() -> None:
    rider = waiting_rider()
    rider.assigned(120.0, 20.0)
    rider.driver_arrived()
    assert (rider.state, rider.wake_s) == (RiderState.AT_PICKUP, math.inf)
    rider.picked_up()
    assert (rider.state, rider.wake_s) == (RiderState.ON_TRIP, math.inf)
    rider.gone()
    assert rider.state is RiderState.GONE


def test_repeated_and_late_messages_change_nothing() -> None:
    rider = waiting_rider()
    rider.picked_up()
    for late in (rider.driver_arrived, lambda: rider.assigned(60.0, 50.0), lambda: rider.unassigned(50.0)):
        late()
        assert (rider.state, rider.wake_s) == (RiderState.ON_TRIP, math.inf)


def test_asks_anew_when_the_quote_has_expired() -> None:
    rider = make_rider()
    rider.start()
    rider.quoted(1.0, 0.0)
    rider.wake(rider.wake_s)
    assert rider.start() == [AskQuote()]
    rider.quoted(1.0, 60.0)
    assert rider.state is RiderState.DECIDING


@given(st.integers(0, 2**32), st.floats(1.0, 5.0))
def test_the_same_seed_makes_the_same_decisions(seed: int, surge_multiplier: Any) -> None:
    def life() -> list[object]:
        rider = make_rider(RiderParams(), seed)
        rider.start()
        rider.quoted(surge_multiplier, 0.0)
        done: list[object] = [rider.wake_s, *rider.wake(rider.wake_s)]
        rider.requested("ride-1", 30.0)
        rider.assigned(200.0, 40.0)
        return [*done, rider.wake_s, *rider.wake(rider.wake_s), rider.state]

    assert life() == life()


@pytest.mark.parametrize("wrong", [{"acceptance_share": -0.1}, {"patience_s_min": math.inf}, {"overdue_s_max": -1.0}])
def test_invalid_parameters_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        RiderParams(**wrong)
