"""Every ride ends: overdue ones by their deadline, no-shows by the driver, any by an operator or the system."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.errors import IllegalMove, NotFound, OfferGone, OffShift, TooEarly
from dispatch.model import TERMINAL, DispatchParams, OfferState, Party, RideState, Shift, ShiftStatus
from dispatch.rules.deadlines import quoted_trip_s
from dispatch.rules.invariants import check_history
from tests.dispatch.people import (
    THERE,
    accept,
    arrive,
    do,
    drop_off,
    engine_after,
    off_shift,
    offer,
    pick_up,
    rate,
    request,
    rider_cancels,
)

QUOTED = replace(request(), receipt={"travel_time_s": 600.0})
ASSIGNED = (QUOTED, offer(), accept())
ARRIVED = (*ASSIGNED, arrive())
ON_TRIP = (*ARRIVED, pick_up())
#: Of the ways above: assigned at 2, arrived at 3, picked up at 4; the pickup ETA of the offer is 120 s.
DEADLINES = [(ASSIGNED, 2 + 3 * 120 + 1800), (ARRIVED, 3 + 1800), (ON_TRIP, 4 + 3 * 600 + 1800)]


def system_cancels(by: Party = Party.SYSTEM) -> cmd.CancelRide:
    return cmd.CancelRide("ride", by, "", "the phone died")


@pytest.mark.parametrize(("way", "deadline_s"), DEADLINES)
def test_a_ride_whose_driver_is_never_heard_of_again_has_a_deadline_and_ends_by_it(way: Any, deadline_s: int) -> None:
    engine = engine_after(*way)
    assert engine.next_deadline_s() == deadline_s
    assert engine.handle(cmd.ExpireDue(), deadline_s - 0.1) == []
    assert engine.handle(cmd.ExpireDue(), float(deadline_s)) != []
    assert engine.ride("ride").state in TERMINAL
    assert engine.next_deadline_s() is None


@pytest.mark.parametrize("way", [ASSIGNED, ARRIVED, ON_TRIP])
def test_without_deadlines_such_a_ride_stays_for_ever(way: Any) -> None:
    engine = DispatchEngine(DispatchParams(overdue_factor=0.0))
    for command in way:
        engine.handle(command, 0.0)
    assert engine.next_deadline_s() is None
    assert engine.handle(cmd.ExpireDue(), 7 * 86_400.0) == []


def test_an_overdue_trip_is_closed_with_the_agreed_fare_and_frees_its_driver() -> None:
    engine = engine_after(*ON_TRIP)
    (closed,) = engine.handle(cmd.ExpireDue(), 1e4)
    assert isinstance(closed, ev.TripClosed)
    assert (closed.by, closed.reason, closed.fare_cents) == (Party.SYSTEM, "trip_overdue", 1250)
    ride = engine.ride("ride")
    assert (ride.state, ride.owed_cents, ride.ended_s, ride.dropped_off_s) == (RideState.COMPLETED, 1250, 1e4, None)
    engine.handle(request("next", "bob"), 1e4)
    engine.handle(offer("next", token=2), 1e4)
    engine.handle(accept("next-2"), 1e4)
    assert engine.ride("next").driver_id == "dora"


def test_an_overdue_pickup_ends_as_a_no_show() -> None:
    engine = engine_after(*ARRIVED)
    (ended,) = engine.handle(cmd.ExpireDue(), 1e4)
    assert isinstance(ended, ev.RiderDidNotShow)
    ride = engine.ride("ride")
    assert (ride.state, ride.is_no_show, ride.owed_cents) == (RideState.CANCELLED, True, 0)


def test_a_ride_overdue_on_the_way_to_its_pickup_is_matched_anew_or_expires() -> None:
    engine = engine_after(*ASSIGNED)
    given_back, expired = engine.handle(cmd.ExpireDue(), 1e4)
    assert (given_back.reason, type(expired)) == ("approach_overdue", ev.RideExpired)
    engine = engine_after(request(), offer(), accept())
    engine._params = replace(engine._params, max_wait_s=1e5)
    engine.handle(cmd.ExpireDue(), 1e4)
    assert engine.ride("ride").state is RideState.REQUESTED


def test_the_deadline_is_checked_again_where_the_ending_is_written() -> None:
    engine = engine_after(*ON_TRIP)
    assert engine.handle(cmd.EndOverdue("ride", 900, {"price": "settled"}), 100.0) == []
    (closed,) = engine.handle(cmd.EndOverdue("ride", 900, {"price": "settled"}), 1e4)
    assert (closed.fare_cents, closed.receipt) == (900, {"price": "settled"})
    assert engine.handle(cmd.EndOverdue("ride"), 2e4) == []


def test_a_phone_that_comes_back_gets_the_ride_as_it_ended() -> None:
    engine = engine_after(*ON_TRIP)
    engine.handle(cmd.ExpireDue(), 1e4)
    ended = engine.ride("ride")
    assert engine.handle(drop_off(), 2e4) == []
    assert engine.ride("ride") is ended


def test_a_trip_without_a_quote_is_given_the_time_of_a_slow_drive() -> None:
    ride = engine_after(request()).ride("ride")
    assert 1_500 < quoted_trip_s(ride) < 2_000  # 4.2 km
    assert quoted_trip_s(replace(ride, receipt={"travel_time_s": 30})) == 30.0
    for odd in (None, "600", float("nan"), float("inf"), -1):
        assert quoted_trip_s(replace(ride, receipt={"travel_time_s": odd})) == quoted_trip_s(ride)


# -- no-shows ----------------------------------------------------------------------------------------------------------


def no_show(driver_id: str = "dora") -> cmd.ReportNoShow:
    return cmd.ReportNoShow("ride", driver_id, 300.0, 500, {"price": "no-show"})


def test_a_no_show_reported_too_early_is_refused_with_the_seconds_left() -> None:
    engine = engine_after(*ARRIVED)
    with pytest.raises(TooEarly, match="has 203 s left") as refused:
        engine.handle(no_show(), 100.0)
    assert refused.value.seconds_left == 203.0
    assert engine.ride("ride").state is RideState.ARRIVED


def test_after_the_wait_the_driver_ends_the_ride_as_a_no_show_with_the_fee() -> None:
    engine = engine_after(*ARRIVED)
    (ended,) = engine.handle(no_show(), 303.0)
    assert isinstance(ended, ev.RiderDidNotShow)
    assert (ended.by, ended.reason, ended.fare_cents) == (Party.DRIVER, "no_show", 500)
    ride = engine.ride("ride")
    assert (ride.state, ride.owed_cents, ride.receipt) == (RideState.CANCELLED, 500, {"price": "no-show"})
    assert engine.handle(no_show(), 400.0) == []


def test_only_the_driver_at_the_pickup_can_report_a_no_show() -> None:
    with pytest.raises(NotFound):
        engine_after(*ARRIVED).handle(no_show("dan"), 1e3)
    for way in (ASSIGNED, ON_TRIP):
        with pytest.raises(IllegalMove):
            engine_after(*way).handle(no_show(), 1e3)


def test_a_cancelled_ride_is_not_owed_whatever_its_reason_says() -> None:
    engine = engine_after(*ARRIVED, replace(rider_cancels(), reason="no_show"))
    assert (engine.ride("ride").is_no_show, engine.ride("ride").owed_cents) == (False, 0)


# -- operators ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [Party.SYSTEM, Party.OPERATOR])
@pytest.mark.parametrize("way", [(QUOTED,), (QUOTED, offer()), ASSIGNED, ARRIVED, ON_TRIP])
def test_any_ride_that_has_not_ended_can_be_cancelled_for_the_rider(way: Any, by: Party) -> None:
    engine = engine_after(*way)
    engine.handle(system_cancels(by), 100.0)
    ride = engine.ride("ride")
    assert (ride.state, ride.cancelled_by, ride.owed_cents) == (RideState.CANCELLED, by, 0)


def test_a_rider_cannot_cancel_a_trip() -> None:
    with pytest.raises(IllegalMove):
        engine_after(*ON_TRIP).handle(rider_cancels(), 100.0)


@pytest.mark.parametrize(("way", "kind"), [(ARRIVED, ev.RiderDidNotShow), (ON_TRIP, ev.TripClosed)])
def test_an_operator_ends_a_ride_without_its_driver(way: Any, kind: Any) -> None:
    (ended,) = engine_after(*way).handle(cmd.EndRide("ride", Party.OPERATOR, "crashed", 300, None), 100.0)
    assert (type(ended), ended.reason, ended.fare_cents) == (kind, "crashed", 300)


@pytest.mark.parametrize("way", [(QUOTED, offer()), ASSIGNED, ARRIVED])
def test_a_reassigned_ride_waits_for_another_driver(way: Any) -> None:
    engine = engine_after(*way)
    engine.handle(cmd.Reassign("ride", "the car broke down"), 100.0)
    ride = engine.ride("ride")
    assert (ride.state, ride.driver_id, ride.refused_by) == (RideState.REQUESTED, None, ("dora",))


def test_a_ride_with_its_rider_aboard_cannot_be_reassigned() -> None:
    with pytest.raises(IllegalMove):
        engine_after(*ON_TRIP).handle(cmd.Reassign("ride", "why"), 100.0)


def test_a_correction_changes_what_is_owed_and_where_the_rider_left() -> None:
    engine = engine_after(*ON_TRIP, drop_off(), rate())
    place = replace(THERE, node=7)
    engine.handle(cmd.CorrectRide("ride", "the tunnel was closed", 990, place, {"price": "corrected"}), 100.0)
    ride = engine.ride("ride")
    assert (ride.owed_cents, ride.dropoff.node, ride.receipt) == (990, 7, {"price": "corrected"})
    assert (ride.state, ride.stars) == (RideState.COMPLETED, 5)
    engine.handle(cmd.CorrectRide("ride", "only the place", dropoff=THERE), 200.0)
    assert (engine.ride("ride").owed_cents, engine.ride("ride").dropoff) == (990, THERE)


def test_what_owes_nothing_or_has_not_ended_cannot_be_corrected() -> None:
    for way in (ON_TRIP, (QUOTED, rider_cancels())):
        with pytest.raises(IllegalMove):
            engine_after(*way).handle(cmd.CorrectRide("ride", "why", 1), 100.0)
    engine = engine_after(*ARRIVED)
    engine.handle(no_show(), 1e3)
    engine.handle(cmd.CorrectRide("ride", "the rider was there", 0), 2e3)
    assert engine.ride("ride").owed_cents == 0


@pytest.mark.parametrize("ending", [cmd.ExpireDue(), system_cancels(), cmd.EndRide("ride", Party.OPERATOR, "why")])
def test_the_history_of_each_ending_holds_the_invariants_and_frees_the_driver(ending: Any) -> None:
    engine = DispatchEngine(DispatchParams())
    events: list[ev.RideEvent] = []
    next_ride = (request("next", "bob"), offer("next", token=2), accept("next-2"), arrive("next"), pick_up("next"))
    for now_s, command in enumerate((*ON_TRIP, ending, *next_ride)):
        events += engine.handle(command, float(now_s) if now_s < len(ON_TRIP) else 1e4 + now_s)
    history = check_history(events)
    assert history.violations == []
    assert [ride.ride_id for ride in history.open_rides()] == ["next"]


# -- off shift ---------------------------------------------------------------------------------------------------------


async def test_a_driver_who_goes_off_shift_loses_the_standing_offer_and_the_rider_waits_on(
    store: Any, rides: Any
) -> None:
    await do(rides, request(), offer())
    await off_shift(rides, "dora")
    ride = await store.find_ride("ride")
    assert (ride.state, ride.offer.state, ride.refused_by) == (RideState.REQUESTED, OfferState.WITHDRAWN, ("dora",))
    with pytest.raises(OfferGone):
        await rides.handle(accept())
    await do(rides, offer(driver_id="dan", token=2), accept("ride-2", "dan"))


async def test_an_acceptance_between_going_off_shift_and_the_withdrawal_is_refused(store: Any, rides: Any) -> None:
    await do(rides, request(), offer())
    await store.set_shift(Shift("dora", ShiftStatus.OFFLINE, 4, 1000.0))
    with pytest.raises(OffShift):
        await rides.handle(accept())
    assert (await store.find_ride("ride")).state is RideState.OFFERED
