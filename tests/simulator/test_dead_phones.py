"""Phones that die for good on a simulated day: every ride ends all the same, and says what is owed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.simulator.dead_phones import is_settled
from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import TERMINAL
from pricing.model.quotes import Receipt
from pricing.rules.no_show import no_show_fare
from pricing.service.tariff_sections import tariff_of
from simulator.day import Day, Outcome
from simulator.day_params import Acceptance, DayParams
from simulator.service.event_log import sha256_of
from tests.simulator.towns import TARIFF as TOWN_TARIFF
from tests.simulator.towns import crowded, small_town

#: A no-show costs 5.07 and tax; what is billed is rounded to ten.
TARIFF = {
    **TOWN_TARIFF,
    "rounding_cents": 10,
    "tax": {"rate_percent": 20.0, "included": False},
    "no_show": {"wait_s": 240.0, "fee_cents": 507},
}
RECEIPT = Receipt(
    tariff_version="1", quoted_s=0.0, distance_m=0.0, travel_time_s=0.0, surge_multiplier=1.0, lines=(), tax_cents=0
)


def live(
    dead_phone_share: float, tariff: dict[str, Any] = TOWN_TARIFF, boarding_s: float = 20.0, **changes: Any
) -> Outcome:
    town = small_town()
    inputs = crowded(town, count=150, last_s=900, drivers=20)
    inputs = replace(inputs, city=replace(inputs.city, sections={**inputs.city.sections, "tariff": tariff}))
    params = DayParams(
        acceptance=Acceptance.ALWAYS,
        is_surge_on=False,
        boarding_s=boarding_s,
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


def test_a_simulated_rider_who_does_not_show_up_owes_the_fee_of_the_tariff_as_a_live_one_does() -> None:
    outcome = live(0.5, TARIFF, boarding_s=150.0, pickup_overdue_s=300.0)
    no_shows = [event for event in outcome.events if isinstance(event, ev.RiderDidNotShow)]
    assert no_shows
    tariff = tariff_of({"tariff": TARIFF})
    live_fee_cents, _ = no_show_fare(tariff, RECEIPT)
    assert live_fee_cents == 610  # 5.07 and 20 % tax, to the nearest ten
    assert {event.fare_cents for event in no_shows} == {live_fee_cents}
    rides = outcome.virtual_dispatch.history.rides
    assert {rides[event.ride_id].owed_cents for event in no_shows} == {live_fee_cents}
    assert outcome.violations == []


def test_without_a_fee_in_the_tariff_a_simulated_no_show_owes_nothing() -> None:
    free = {key: value for key, value in TARIFF.items() if key != "no_show"}
    events = live(0.5, free, boarding_s=150.0, pickup_overdue_s=300.0).events
    assert {event.fare_cents for event in events if isinstance(event, ev.RiderDidNotShow)} == {0}


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
