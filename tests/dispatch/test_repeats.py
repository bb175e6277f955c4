"""The same person says the same again, because an answer was lost on the way: the ride as it is, no second event."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch import commands as cmd
from dispatch.errors import CommandRefused, NotFound, OfferGone, QuoteUsed
from dispatch.model import RideState
from tests.dispatch.people import (
    accept,
    arrive,
    decline,
    do,
    driver_cancels,
    drop_off,
    engine_after,
    history,
    offer,
    pick_up,
    rate,
    request,
    rider_cancels,
)

WAY = (request(), offer(), accept(), arrive(), pick_up(), drop_off(), rate())
#: Each command that may be said again, and how many commands of the way come before it.
STEPS = {"accept": 2, "arrive": 3, "pick up": 4, "drop off": 5, "rate": 6}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_said_again_changes_nothing_at_once_and_at_every_later_stage(name: str) -> None:
    at = STEPS[name]
    for stage in range(at + 1, len(WAY) + 1):
        engine = engine_after(*WAY[:stage])
        before = engine.ride("ride")
        assert engine.handle(WAY[at], 100.0) == []
        assert engine.ride("ride") is before


@pytest.mark.parametrize("way", [(request(), rider_cancels()), (request(), offer(), accept(), rider_cancels())])
def test_a_riders_cancellation_said_again_changes_nothing(way: Any) -> None:
    engine = engine_after(*way)
    before = engine.ride("ride")
    assert engine.handle(rider_cancels(), 100.0) == []
    assert engine.ride("ride") is before


@pytest.mark.parametrize("way", [(request(), offer(), decline()), (request(), offer(), accept(), driver_cancels())])
def test_a_drivers_refusal_said_again_changes_nothing_while_others_drive_the_ride(way: Any) -> None:
    engine = engine_after(*way, offer(driver_id="dan", token=2), accept("ride-2", "dan"))
    if isinstance(way[-1], cmd.CancelRide):
        assert engine.handle(way[-1], 100.0) == []
    assert (engine.ride("ride").driver_id, engine.ride("ride").state) == ("dan", RideState.ASSIGNED)


def test_nobody_repeats_what_another_did() -> None:
    engine = engine_after(*WAY)
    for command in (accept(driver_id="dan"), arrive(driver_id="dan"), pick_up(driver_id="dan")):
        with pytest.raises(NotFound):
            engine.handle(command, 100.0)
    with pytest.raises(NotFound):
        engine_after(request(), offer(), decline()).handle(driver_cancels(), 100.0)


def test_an_accepted_ride_that_was_given_back_cannot_be_accepted_again() -> None:
    engine = engine_after(request(), offer(), accept(), driver_cancels())
    with pytest.raises(OfferGone):
        engine.handle(accept(), 100.0)


def test_who_declined_cannot_accept_any_more_and_the_hint_keeps_them_with_the_ride_they_have() -> None:
    engine = engine_after(request(), offer(), decline())
    with pytest.raises(OfferGone) as refused:
        engine.handle(accept(), 100.0)
    assert "any ride that you have is unchanged" in refused.value.hint


# -- through the store -------------------------------------------------------------------------------------------------


async def test_repeats_get_the_ride_as_it_is_and_write_no_event(store: Any, rides: Any) -> None:
    for command in WAY:
        await do(rides, command)
        before, events = await store.find_ride("ride"), await history(store)
        if isinstance(command, cmd.RequestRide | cmd.SendOffer):
            continue
        again = await rides.handle(command)
        assert (again.ride, again.events) == (before, [])
        assert await history(store) == events


async def test_who_declined_or_gave_back_is_not_told_whose_the_ride_became(store: Any, rides: Any) -> None:
    await do(rides, request(), offer(), accept(), driver_cancels(), offer(driver_id="dina", token=2))
    await do(rides, decline("ride-2", "dina"), offer(driver_id="dan", token=3), accept("ride-3", "dan"))
    for command in (driver_cancels(), decline("ride-2", "dina")):
        again = await rides.handle(command)
        assert (again.events, again.ride.driver_id, again.ride.state) == ([], None, RideState.REQUESTED)
    assert (await store.find_ride("ride")).driver_id == "dan"


async def test_a_quote_requested_again_with_another_key_names_the_ride_that_it_became(rides: Any) -> None:
    await do(rides, request())
    with pytest.raises(QuoteUsed) as refused:
        await rides.handle(request("another", quote_id="quote-ride"))
    assert "has become ride ride already" in str(refused.value)
    assert "GET /v1/rides/ride" in refused.value.hint
    assert isinstance(refused.value, CommandRefused)
