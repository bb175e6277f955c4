"""Phones that die for good on a simulated day: every ride ends all the same, and says what is owed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.simulator.dead_phones import is_settled
from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import TERMINAL
from simulator.day import Day, Outcome
from simulator.day_params import Acceptance, DayParams
from simulator.service.event_log import sha256_of
from tests.simulator.towns import crowded, small_town


def live(dead_phone_share: float, **changes: Any) -> Outcome:
    town = small_town()
    inputs = crowded(town, count=150, last_s=900, drivers=20)
    params = DayParams(
        acceptance=Acceptance.ALWAYS,
        is_surge_on=False,
        boarding_s=20.0,
        dead_phone_share=dead_phone_share,
        dispatch_changes=changes,
    )
    return Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(town), params).run()


def test_when_half_of_the_phones_die_every_ride_ends_settled_and_no_invariant_is_broken() -> None:
    outcome = live(0.5)
    rides = list(outcome.virtual_dispatch.history.rides.values())
    assert len(rides) == 150
    assert all(ride.state in TERMINAL and is_settled(ride) for ride in rides)
    assert outcome.violations == []
    assert {ev.TripClosed, ev.RiderDidNotShow} & {type(event) for event in outcome.events}


def test_without_deadlines_some_of_these_rides_never_end() -> None:
    outcome = live(0.5, overdue_factor=0.0)
    never_ended = [ride for ride in outcome.virtual_dispatch.history.rides.values() if ride.state not in TERMINAL]
    assert never_ended
    assert len(outcome.violations) == len(never_ended)


def test_on_a_day_on_which_no_phone_dies_deadlines_change_nothing() -> None:
    assert sha256_of(live(0.0).events) == sha256_of(live(0.0, overdue_factor=0.0).events)


def test_a_share_of_phones_is_between_none_and_all() -> None:
    with pytest.raises(ValueError, match="dead_phone_share"):
        DayParams(dead_phone_share=1.5)
