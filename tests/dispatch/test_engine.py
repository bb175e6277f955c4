"""The engine alone: commands and the time in, events out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.errors import CommandRefused, DriverBusy, IllegalMove, NotFound, OfferGone
from dispatch.model import Party, RideState
from dispatch.rules.lifecycle import MOVES
from tests.dispatch.people import (
    accept,
    arrive,
    decline,
    driver_cancels,
    drop_off,
    engine_after,
    offer,
    pick_up,
    rate,
    request,
    rider_cancels,
)

#: The shortest way to each state.
WAY_TO = {
    RideState.REQUESTED: (request(),),
    RideState.OFFERED: (request(), offer()),
    RideState.ASSIGNED: (request(), offer(), accept()),
    RideState.ARRIVED: (request(), offer(), accept(), arrive()),
    RideState.ON_TRIP: (request(), offer(), accept(), arrive(), pick_up()),
    RideState.COMPLETED: (request(), offer(), accept(), arrive(), pick_up(), drop_off()),
    RideState.CANCELLED: (request(), rider_cancels()),
    RideState.EXPIRED: (request(),),
}

#: What each command makes happen first.
FIRST_EVENT = {
    "offer": (offer(token=9), ev.OfferSent),
    "rider cancels": (rider_cancels(), ev.RideCancelled),
    "driver cancels": (driver_cancels(), ev.AssignmentCancelled),
    "arrive": (arrive(), ev.DriverArrived),
    "pick up": (pick_up(), ev.RiderPickedUp),
    "drop off": (drop_off(), ev.RiderDroppedOff),
    "rate": (rate(), ev.RideRated),
}

#: What the same person did on the way to a state: said again it is no move at all.
SAID_BEFORE = {
    (RideState.CANCELLED, "rider cancels"),
    *((state, "arrive") for state in (RideState.ARRIVED, RideState.ON_TRIP, RideState.COMPLETED)),
    *((state, "pick up") for state in (RideState.ON_TRIP, RideState.COMPLETED)),
    (RideState.COMPLETED, "drop off"),
}


def _engine_in(state: Any) -> Any:
    engine = engine_after(*WAY_TO[state])
    if state is RideState.EXPIRED:
        engine.handle(cmd.ExpireDue(), 1e6)
    assert engine.ride("ride").state is state
    return engine


def names(events: Any) -> Any:
    return [type(event).__name__ for event in events]


def test_a_ride_goes_from_request_to_fare() -> None:
    engine = engine_after(request(), offer(), accept(), arrive(), pick_up())
    (event,) = engine.handle(drop_off(), 300.0)
    assert event == ev.RiderDroppedOff(
        ride_id="ride",
        sequence=6,
        at_s=300.0,
        region_id="manhattan",
        rider_id="alice",
        driver_id="dora",
        fare_cents=1250,
        currency="USD",
    )
    ride = engine.ride("ride")
    assert (ride.assigned_s, ride.arrived_s, ride.picked_up_s, ride.dropped_off_s) == (2.0, 3.0, 4.0, 300.0)


def test_the_fare_of_the_dropoff_replaces_the_agreed_one_and_brings_its_receipt() -> None:
    engine = engine_after(replace(request(), receipt={"price": "agreed"}), offer(), accept(), arrive(), pick_up())
    assert engine.ride("ride").receipt == {"price": "agreed"}
    (event,) = engine.handle(replace(drop_off(), fare_cents=1400, receipt={"price": "farther"}), 300.0)
    assert (event.fare_cents, event.receipt) == (1400, {"price": "farther"})
    ride = engine.ride("ride")
    assert (ride.fare_cents, ride.receipt) == (1400, {"price": "farther"})


def test_without_a_new_fare_the_agreed_receipt_stands() -> None:
    engine = engine_after(replace(request(), receipt={"price": "agreed"}), offer(), accept(), arrive(), pick_up())
    (event,) = engine.handle(drop_off(), 300.0)
    assert event.receipt == engine.ride("ride").receipt == {"price": "agreed"}


@pytest.mark.parametrize("state", RideState)
@pytest.mark.parametrize("name", FIRST_EVENT)
def test_a_move_that_the_table_does_not_hold_is_refused_and_changes_nothing(state: Any, name: str) -> None:
    command, event_type = FIRST_EVENT[name]
    engine = _engine_in(state)
    before = engine.ride("ride")
    is_withdrawn_first = state is RideState.OFFERED and event_type is ev.RideCancelled
    if (state, name) in SAID_BEFORE:
        assert engine.handle(command, 10.0) == []
        assert engine.ride("ride") is before
    elif ((state, event_type) in MOVES or is_withdrawn_first) and (state, name) != (RideState.ON_TRIP, "rider cancels"):
        engine.handle(command, 10.0)
        assert engine.ride("ride").sequence > before.sequence
    else:
        with pytest.raises(CommandRefused):
            engine.handle(command, 10.0)
        assert engine.ride("ride") is before


def test_an_illegal_move_names_the_state_it_met() -> None:
    with pytest.raises(IllegalMove, match="Ride ride is ON_TRIP; cancelling is not possible"):
        _engine_in(RideState.ON_TRIP).handle(rider_cancels(), 10.0)


def test_a_declined_ride_waits_for_another_driver() -> None:
    engine = engine_after(request(), offer(), decline())
    assert engine.ride("ride").state is RideState.REQUESTED
    assert engine.ride("ride").refused_by == ("dora",)
    assert names(engine.handle(offer(driver_id="dan", token=2), 4.0)) == ["OfferSent"]


def test_an_offer_runs_out_and_the_ride_with_it_when_its_time_is_over() -> None:
    engine = engine_after(request(), offer())
    assert engine.next_deadline_s() == 16.0
    assert names(engine.handle(cmd.ExpireDue(), 15.9)) == []
    assert names(engine.handle(cmd.ExpireDue(), 16.0)) == ["OfferExpired"]
    assert engine.next_deadline_s() == 600.0
    assert names(engine.handle(cmd.ExpireDue(), 600.0)) == ["RideExpired"]
    assert engine.next_deadline_s() is None


def test_an_offer_that_ran_out_cannot_be_accepted_even_before_anybody_noticed() -> None:
    engine = engine_after(request(), offer())
    with pytest.raises(OfferGone, match="EXPIRED"):
        engine.handle(accept(), 16.0)
    assert engine.ride("ride").state is RideState.OFFERED


def test_an_offer_cannot_be_answered_twice() -> None:
    engine = engine_after(request(), offer(), decline())
    with pytest.raises(OfferGone, match="DECLINED"):
        engine.handle(accept(), 3.0)


def test_another_drivers_offer_does_not_exist_for_me() -> None:
    engine = engine_after(request(), offer())
    with pytest.raises(NotFound):
        engine.handle(accept(driver_id="eve"), 2.0)
    with pytest.raises(NotFound):
        engine.handle(decline(driver_id="eve"), 2.0)


def test_another_riders_ride_does_not_exist_for_me() -> None:
    with pytest.raises(NotFound):
        engine_after(request()).handle(rider_cancels(rider_id="eve"), 2.0)


def test_a_driver_holds_one_offer_and_one_ride_at_a_time() -> None:
    engine = engine_after(request(), request("other", "bob"), offer())
    with pytest.raises(DriverBusy):
        engine.handle(offer("other", token=2), 3.0)
    engine.handle(accept(), 4.0)
    with pytest.raises(DriverBusy):
        engine.handle(offer("other", token=2), 5.0)


def test_cancelling_withdraws_the_offer_first() -> None:
    engine = engine_after(request(), offer())
    withdrawn, cancelled = engine.handle(rider_cancels(), 5.0)
    assert (type(withdrawn), type(cancelled)) == (ev.OfferWithdrawn, ev.RideCancelled)
    assert (withdrawn.sequence, cancelled.sequence) == (3, 4)
    with pytest.raises(OfferGone, match="WITHDRAWN"):
        engine.handle(accept(), 6.0)


@pytest.mark.parametrize("way", [(request(), offer(), accept()), (request(), offer(), accept(), arrive())])
def test_a_ride_given_back_by_its_driver_is_matched_anew_with_somebody_else(way: Any) -> None:
    engine = engine_after(*way)
    engine.handle(driver_cancels(), 10.0)
    ride = engine.ride("ride")
    assert (ride.state, ride.driver_id, ride.refused_by) == (RideState.REQUESTED, None, ("dora",))


def test_a_cancelled_ride_says_by_whom_and_why() -> None:
    engine = engine_after(request())
    engine.handle(cmd.CancelRide("ride", Party.RIDER, "alice", "changed my mind"), 5.0)
    ride = engine.ride("ride")
    assert (ride.cancelled_by, ride.cancel_reason, ride.ended_s) == (Party.RIDER, "changed my mind", 5.0)


def test_the_same_commands_give_the_same_events() -> None:
    def log() -> Any:
        engine = engine_after(request(), offer())
        return engine.handle(accept(), 2.0) + engine.handle(arrive(), 50.0)

    assert log() == log()


def _carrying(*commands: Any) -> Any:
    """dora has the rider of `ride` aboard; `next` waits."""
    return engine_after(*WAY_TO[RideState.ON_TRIP], request("next", "bob"), *commands)


def test_a_driver_with_a_rider_aboard_may_take_one_next_ride() -> None:
    engine = _carrying(offer("next", token=2), accept("next-2"), request("third", "carol"))
    assert engine.ride("next").state is RideState.ASSIGNED
    with pytest.raises(DriverBusy):
        engine.handle(offer("third", token=3), 20.0)


@pytest.mark.parametrize("too_early", [arrive("next"), pick_up("next")])
def test_the_next_ride_begins_after_the_dropoff(too_early: Any) -> None:
    engine = _carrying(offer("next", token=2), accept("next-2"))
    with pytest.raises((DriverBusy, IllegalMove)):
        engine.handle(too_early, 20.0)
    engine.handle(drop_off(), 21.0)
    engine.handle(arrive("next"), 22.0)
    assert engine.handle(pick_up("next"), 23.0)[0].ride_id == "next"


def test_a_next_ride_that_is_given_back_leaves_room_for_another() -> None:
    engine = _carrying(offer("next", token=2), accept("next-2"), driver_cancels("next"), request("third", "carol"))
    assert engine.handle(offer("third", token=3), 20.0)
    assert engine.ride("ride").state is RideState.ON_TRIP
