"""The ride store over SQLite and PostgreSQL: what one transaction promises."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest

from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.errors import (
    CommandRefused,
    DriverBusy,
    IdempotencyConflict,
    IllegalMove,
    InvariantBroken,
    NotFound,
    OfferGone,
    OffShift,
    QuoteUsed,
    StaleToken,
)
from dispatch.model import OfferState, Party, RideState
from dispatch.ports import Carrying, Decision, FreeDriver, Scope
from dispatch.rules.invariants import check_history
from dispatch.rules.lifecycle import step
from tests.dispatch.people import (
    PARAMS,
    THERE,
    accept,
    arrive,
    decline,
    do,
    driver_cancels,
    drop_off,
    history,
    key,
    off_shift,
    offer,
    on_shift,
    pick_up,
    request,
    rider_cancels,
)
from tests.patience import PATIENCE_S


async def all_of(*commands: Any) -> Any:
    """Run at once; errors are results."""
    return await asyncio.gather(*commands, return_exceptions=True)


def kinds(results: Any) -> Any:
    return Counter(type(result).__name__ for result in results)


# -- a ride through the store ------------------------------------------------------------------------------------------


async def test_a_whole_ride_is_read_back_as_the_engine_left_it(store: Any, rides: Any) -> None:
    engine = DispatchEngine(PARAMS)
    for command in (request(), offer(), accept(), arrive(), pick_up(), drop_off()):
        engine.handle(command, 1000.0)
        await do(rides, command)
        assert await store.find_ride("ride") == engine.ride("ride")
    assert check_history(await history(store)).violations == []
    assert await store.count_rides() == {"COMPLETED": 1}
    assert [ride.ride_id for ride in await store.latest_trips("manhattan", 5)] == ["ride"]


async def test_open_live_and_free_say_who_waits_and_who_works(store: Any, rides: Any, clock: Any) -> None:
    await on_shift(rides, "dora", "dan", "dina", seats=3)
    await off_shift(rides, "dina")
    await do(rides, request("late", "bob"))
    clock.now_s -= 10.0
    await do(rides, request("early", "alice"))
    assert [ride.ride_id for ride in await store.open_rides("manhattan")] == ["early", "late"]
    assert await store.open_rides("elsewhere") == []
    assert await store.free_drivers() == {"dora": FreeDriver(3, 1000.0), "dan": FreeDriver(3, 1000.0)}
    await rides.handle(offer("late"))
    assert (await store.free_drivers()).keys() == {"dan"}
    assert len(await store.open_rides("manhattan")) == 2
    await rides.handle(accept("late-1"))
    assert [ride.ride_id for ride in await store.live_rides("manhattan")] == ["late"]
    assert (await store.free_drivers()).keys() == {"dan"}
    assert await store.newest_token("manhattan") == 1
    assert await store.newest_token("elsewhere") == 0


async def test_a_city_time_that_is_a_whole_number_is_stored_like_any_other(store: Any, rides: Any, clock: Any) -> None:
    clock.now_s = 1_700_000_000
    await do(rides, request(), offer())
    assert (await store.find_ride("ride")).requested_s == 1_700_000_000.0


async def test_a_refused_command_leaves_nothing_behind(store: Any, outbox: Any, rides: Any) -> None:
    await do(rides, request(), offer(), accept())
    before, rows = await store.find_ride("ride"), await outbox.unpublished(10_000)
    for command in (accept("ride-9"), decline(), pick_up(), drop_off(), request("ride2", quote_id="quote-ride")):
        with pytest.raises(CommandRefused):
            await rides.handle(command, key(repr(command)))
        assert await store.replay(key(repr(command))) is None
    assert await store.find_ride("ride") == before
    assert await store.find_ride("ride2") is None
    assert await outbox.unpublished(10_000) == rows


async def test_a_refused_command_takes_nothing_with_it_when_many_come_at_once(store: Any, rides: Any) -> None:
    await do(rides, request())
    good = [request(f"good{n}") for n in range(30)]
    bad = [pick_up(), arrive("nowhere"), request("again", quote_id="quote-ride")] * 10
    mixed = [command for pair in zip(good, bad, strict=True) for command in pair]
    results = await all_of(*(rides.handle(command) for command in mixed))
    assert kinds(results) == {"Outcome": 30, "NotFound": 20, "QuoteUsed": 10}
    assert {f"good{n}" for n in range(30)} < {ride.ride_id for ride in await store.open_rides("manhattan")}


async def test_an_error_of_ours_inside_a_decision_reaches_its_caller_alone(store: Any, rides: Any) -> None:
    def broken(seen: Any) -> None:
        raise ZeroDivisionError

    results = await all_of(rides.handle(request("one")), store.transact(Scope(), broken), rides.handle(request("two")))
    assert kinds(results) == {"Outcome": 2, "ZeroDivisionError": 1}


async def test_shifts_need_seats(rides: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)check"):
        await on_shift(rides, "dora", seats=0)


# -- quotes and keys ---------------------------------------------------------------------------------------------------


async def test_a_quote_becomes_one_ride_however_often_it_is_sent_at_once(store: Any, rides: Any) -> None:
    results = await all_of(*(rides.handle(request(f"ride{n}", quote_id="quote")) for n in range(20)))
    assert kinds(results) == {"Outcome": 1, "QuoteUsed": 19}
    assert len(await store.open_rides("manhattan")) == 1


async def test_the_same_key_gives_the_same_answer_even_when_the_ride_has_moved_on(rides: Any) -> None:
    first = await rides.handle(request(), key())
    await do(rides, offer())
    again = await rides.handle(request("other"), key())
    assert not first.is_replay
    assert again.is_replay
    assert again.ride == first.ride
    assert again.events == ()


async def test_the_same_key_with_another_body_is_refused(store: Any, rides: Any) -> None:
    await rides.handle(request(), key(body="one"))
    with pytest.raises(IdempotencyConflict):
        await rides.handle(request("other"), key(body="two"))
    with pytest.raises(IdempotencyConflict):
        await store.replay(key(body="two"))
    assert await store.find_ride("other") is None


async def test_keys_of_two_riders_have_nothing_to_do_with_each_other(rides: Any) -> None:
    await rides.handle(request(), key(principal="rider:alice"))
    other = await rides.handle(request("other", "bob"), key(principal="rider:bob", body="another"))
    assert not other.is_replay


async def test_the_same_key_sent_many_times_at_once_has_its_effect_once(store: Any, outbox: Any, rides: Any) -> None:
    sent = [rides.handle(request(f"ride{n}", quote_id="quote"), key()) for n in range(20)]
    outcomes = await asyncio.gather(*sent)
    assert sum(not outcome.is_replay for outcome in outcomes) == 1
    assert len({outcome.ride.ride_id for outcome in outcomes}) == 1
    assert len(await outbox.unpublished(10_000)) == 1


async def test_the_same_key_with_two_bodies_at_once_has_one_winner(store: Any, rides: Any) -> None:
    results = await all_of(*(rides.handle(request(f"ride{n}"), key(body=f"body{n}")) for n in range(10)))
    assert kinds(results) == {"Outcome": 1, "IdempotencyConflict": 9}
    assert len(await store.open_rides("manhattan")) == 1


# -- two who want the same ---------------------------------------------------------------------------------------------


async def test_of_many_accepts_of_one_driver_one_is_written_and_all_get_the_ride(store: Any, rides: Any) -> None:
    await do(rides, request(), offer())
    outcomes = await asyncio.gather(*(rides.handle(accept()) for _ in range(10)))
    assert sorted(len(outcome.events) for outcome in outcomes) == [0] * 9 + [1]
    ride = await store.find_ride("ride")
    assert [outcome.ride for outcome in outcomes] == [ride] * 10
    assert ride.driver_id == "dora"


async def test_another_driver_cannot_accept_the_offer(store: Any, rides: Any) -> None:
    await do(rides, request(), offer())
    await on_shift(rides, "eve")
    results = await all_of(rides.handle(accept(driver_id="eve")), rides.handle(accept()))
    assert [type(result).__name__ for result in results] == ["NotFound", "Outcome"]


@pytest.mark.parametrize("n", range(6))
async def test_accepting_and_cancelling_at_once_has_one_winner_and_both_see_the_same(
    store: Any, outbox: Any, rides: Any, n: Any
) -> None:
    await do(rides, request(), offer())
    race = [rides.handle(accept()), rides.handle(rider_cancels())]
    accepted, cancelled = await all_of(*(race if n % 2 else reversed(race)))
    if not n % 2:
        accepted, cancelled = cancelled, accepted
    ride = await store.find_ride("ride")
    assert not isinstance(cancelled, Exception)  # before the pickup a rider may always cancel
    assert ride.state is RideState.CANCELLED
    told = [type(event) for event in await history(store)]
    if isinstance(accepted, Exception):
        assert isinstance(accepted, OfferGone)
        assert told[2:] == [ev.OfferWithdrawn, ev.RideCancelled]
        assert ride.offer.state is OfferState.WITHDRAWN
    else:
        assert told[2:] == [ev.OfferAccepted, ev.RideCancelled]
        assert ride.driver_id == "dora"
    rows = await outbox.unpublished(10_000)
    assert {"rider:alice", "driver:dora"} <= {name for row in rows[2:] for name in row.inboxes}


async def test_picking_up_and_cancelling_at_once_has_one_winner(store: Any, rides: Any) -> None:
    await do(rides, request(), offer(), accept(), arrive())
    results = await all_of(rides.handle(pick_up()), rides.handle(rider_cancels()), rides.handle(driver_cancels()))
    assert kinds(results)["Outcome"] in (1, 2)  # given back by the driver, it can still be cancelled
    ride = await store.find_ride("ride")
    assert check_history(await history(store)).rides["ride"] == ride


async def test_one_driver_gets_one_of_many_offers_sent_at_once(store: Any, rides: Any) -> None:
    await do(rides, *(request(f"ride{n}") for n in range(12)))
    await on_shift(rides, "dora")
    results = await all_of(*(rides.handle(offer(f"ride{n}", token=n + 1)) for n in range(12)))
    assert kinds(results)["Outcome"] == 1
    assert {type(result) for result in results if isinstance(result, Exception)} <= {DriverBusy, StaleToken}
    assert check_history(await history(store)).violations == []


async def test_one_ride_gets_one_of_many_offers_sent_at_once(store: Any, rides: Any) -> None:
    drivers = [f"driver{n}" for n in range(12)]
    await do(rides, request())
    await on_shift(rides, *drivers)
    results = await all_of(*(rides.handle(offer("ride", name, n + 1)) for n, name in enumerate(drivers)))
    assert kinds(results) == {"Outcome": 1, "IllegalMove": 11}


async def test_offers_and_accepts_of_one_driver_at_once_never_give_two_lives(store: Any, rides: Any) -> None:
    """A driver who accepts one ride while another is on its way must not end with both."""
    await do(rides, *(request(f"ride{n}") for n in range(8)))
    await on_shift(rides, "dora")

    async def offer_and_accept(n: Any) -> Any:
        await rides.handle(offer(f"ride{n}", token=n + 1))
        return await rides.handle(accept(f"ride{n}-{n + 1}"))

    await all_of(*(offer_and_accept(n) for n in range(8)))
    assert check_history(await history(store)).violations == []
    assert len(await store.live_rides("manhattan")) == 1


# -- those who decided on an older state -------------------------------------------------------------------------------


async def test_a_token_that_is_not_newer_than_the_rides_is_refused(store: Any, rides: Any) -> None:
    await do(rides, request(), offer(token=7), decline("ride-7"))
    await on_shift(rides, "dan")
    for token in (6, 7):
        with pytest.raises(StaleToken):
            await rides.handle(offer(driver_id="dan", token=token))
    await rides.handle(offer(driver_id="dan", token=8))


async def test_a_token_that_is_not_newer_than_the_drivers_is_refused(store: Any, rides: Any) -> None:
    """Whoever took a lease on the driver, was paused, and comes back after another had the driver."""
    await do(rides, request("one"), request("two"), offer("two", token=7), decline("two-7"))
    for token in (6, 7):
        with pytest.raises(StaleToken):
            await rides.handle(offer("one", token=token))
    assert check_history(await history(store)).violations == []


async def test_a_driver_who_went_off_shift_is_not_asked(store: Any, rides: Any) -> None:
    await do(rides, request())
    with pytest.raises(OffShift):
        await rides.handle(offer())
    await on_shift(rides, "dora")
    await off_shift(rides, "dora")
    with pytest.raises(OffShift):
        await rides.handle(offer())
    assert (await store.find_ride("ride")).state is RideState.REQUESTED


async def test_nobody_goes_off_shift_with_a_rider_to_serve(store: Any, rides: Any) -> None:
    await do(rides, request(), offer(), accept())
    with pytest.raises(DriverBusy):
        await off_shift(rides, "dora")
    await do(rides, arrive(), pick_up(), drop_off())
    await off_shift(rides, "dora")
    assert await store.free_drivers() == {}


async def test_an_older_offer_tells_how_it_ended_after_the_ride_has_moved_on(rides: Any) -> None:
    await do(rides, request(), offer(), decline(), offer(driver_id="dan", token=2))
    with pytest.raises(OfferGone, match="DECLINED"):
        await rides.handle(accept())
    with pytest.raises(NotFound):
        await rides.handle(accept(driver_id="dan"))
    assert (await rides.handle(accept("ride-2", "dan"))).ride.driver_id == "dan"


async def test_expiring_a_ride_that_somebody_answered_meanwhile_does_nothing(
    store: Any, rides: Any, clock: Any
) -> None:
    await do(rides, request(), offer(), accept())
    clock.now_s += 1e6
    outcome = await rides.expire("ride")
    assert outcome.events == []
    assert outcome.ride.state is RideState.ASSIGNED


async def test_only_the_rider_and_the_driver_find_the_ride(rides: Any) -> None:
    await do(rides, request(), offer(), accept())
    assert (await rides.find("ride", Party.RIDER, "alice")).ride_id == "ride"
    assert (await rides.find("ride", Party.DRIVER, "dora")).ride_id == "ride"
    for role, name in ((Party.RIDER, "dora"), (Party.DRIVER, "alice"), (Party.RIDER, "eve"), (Party.DRIVER, "eve")):
        with pytest.raises(NotFound):
            await rides.find("ride", role, name)


# -- the indexes alone -------------------------------------------------------------------------------------------------


def _planted(ride_id: str, *events: Any) -> Any:
    """A decision that asks nobody whether it may."""

    def decide(seen: Any) -> Any:
        ride = next(ride for ride in seen if ride.ride_id == ride_id)
        happened = []
        for event_type, facts in events:
            common = {
                "ride_id": ride_id,
                "sequence": ride.sequence + 1,
                "at_s": 1.0,
                "region_id": ride.region_id,
                "rider_id": ride.rider_id,
            }
            happened.append(event_type(**common, **facts))
            ride = step(ride, happened[-1])
        return Decision(happened, ride)

    return decide


def _sent(driver_id: str, token: Any, ride_id: str) -> Any:
    return ev.OfferSent, {
        "offer_id": f"{ride_id}-{token}",
        "driver_id": driver_id,
        "token": token,
        "expires_s": 9e9,
        "pickup_eta_s": 1.0,
        "pickup": request().pickup,
        "dropoff": request().dropoff,
        "seats": 1,
        "fare_cents": 1,
        "currency": "USD",
    }


def _accepted(driver_id: str, token: Any, ride_id: str) -> Any:
    return ev.OfferAccepted, {
        "offer_id": f"{ride_id}-{token}",
        "driver_id": driver_id,
        "token": token,
        "pickup_eta_s": 1.0,
    }


async def test_the_index_refuses_a_second_live_offer_that_no_check_refused(store: Any, rides: Any) -> None:
    await do(rides, request("one"), request("two"), offer("one"))
    with pytest.raises(DriverBusy):
        await store.transact(Scope(ride_id="two"), _planted("two", _sent("dora", 2, "two")))
    assert (await store.find_ride("two")).state is RideState.REQUESTED


async def test_the_index_refuses_a_second_live_ride_that_no_check_refused(store: Any, outbox: Any, rides: Any) -> None:
    await do(rides, request("one"), request("two"), offer("one"), accept("one-1"))
    planted = _planted("two", _sent("dora", 2, "two"), _accepted("dora", 2, "two"))
    with pytest.raises(DriverBusy):
        await store.transact(Scope(ride_id="two"), planted)
    assert [ride.ride_id for ride in await store.live_rides("manhattan")] == ["one"]
    assert len(await outbox.unpublished(10_000)) == 4


async def test_the_index_refuses_a_second_ride_aboard_that_no_check_refused(store: Any, rides: Any) -> None:
    await do(rides, request("one"), offer("one"), accept("one-1"), arrive("one"), pick_up("one"))
    await do(rides, request("two", "bob"), offer("two", token=2), accept("two-2"))
    planted = _planted("two", (ev.DriverArrived, {"driver_id": "dora"}), (ev.RiderPickedUp, {"driver_id": "dora"}))
    with pytest.raises(DriverBusy):
        await store.transact(Scope(ride_id="two"), planted)
    assert (await store.find_ride("two")).state is RideState.ASSIGNED


async def test_who_carries_a_rider_and_has_nothing_after_that_is_told_with_where_it_ends(
    store: Any, rides: Any
) -> None:
    await do(rides, request("one"), offer("one"), accept("one-1"), arrive("one"))
    assert await store.carrying_drivers("manhattan") == []
    await do(rides, pick_up("one"))
    assert await store.carrying_drivers("manhattan") == [Carrying("dora", 4, THERE)]
    assert await store.carrying_drivers("elsewhere") == []
    await do(rides, request("two", "bob"), offer("two", token=2))
    assert await store.carrying_drivers("manhattan") == []
    await do(rides, decline("two-2"))
    assert len(await store.carrying_drivers("manhattan")) == 1
    await do(rides, request("three", "carol"), offer("three", token=3), accept("three-3"))
    assert await store.carrying_drivers("manhattan") == []
    with pytest.raises(DriverBusy):
        await off_shift(rides, "dora")


async def test_a_decision_on_a_ride_that_has_moved_on_is_refused(store: Any, rides: Any) -> None:
    await do(rides, request())
    old = await store.find_ride("ride")
    await do(rides, offer())

    def decide(seen: Any) -> Any:
        event = DispatchEngine(PARAMS, [old]).handle(rider_cancels(), 1.0)[0]
        return Decision([event], step(old, event))

    with pytest.raises(InvariantBroken, match="has moved on"):
        await store.transact(Scope(ride_id="ride"), decide)
    assert (await store.find_ride("ride")).state is RideState.OFFERED


async def test_an_offer_ends_once(store: Any, rides: Any) -> None:
    await do(rides, request(), offer(), accept())
    current = await store.find_ride("ride")

    def decide(seen: Any) -> Any:
        event = ev.OfferExpired(
            ride_id="ride",
            sequence=current.sequence + 1,
            at_s=1.0,
            region_id="manhattan",
            rider_id="alice",
            offer_id="ride-1",
            driver_id="dora",
        )
        return Decision([event], replace(current, sequence=event.sequence))

    with pytest.raises(InvariantBroken, match="had ended before"):
        await store.transact(Scope(ride_id="ride"), decide)
    assert await store.find_ride("ride") == current


# -- the outbox --------------------------------------------------------------------------------------------------------


async def _one_life(rides: Any, n: Any) -> None:
    ride_id, driver_id = f"ride{n}", f"driver{n}"
    await do(
        rides,
        request(ride_id, f"rider{n}"),
        offer(ride_id, driver_id, 2 * n + 1),
        decline(f"{ride_id}-{2 * n + 1}", driver_id),
        offer(ride_id, f"other{n}", 2 * n + 2),
        accept(f"{ride_id}-{2 * n + 2}", f"other{n}"),
        rider_cancels(ride_id, f"rider{n}"),
    )


async def test_positions_have_no_gaps_and_keep_each_rides_order_while_many_write(
    store: Any, outbox: Any, rides: Any
) -> None:
    read: list[Any] = []

    async def relay() -> None:
        while len(read) < 20 * 6:
            rows = await outbox.unpublished(7)
            read.extend(rows)
            if rows:
                await outbox.mark_published(rows[-1].position)
            await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(relay(), *(_one_life(rides, n) for n in range(20)))
    assert [row.position for row in read] == list(range(1, 121))
    sequences = defaultdict(list)
    for row in read:
        sequences[row.key].append(row.sequence)
    assert all(seen == [1, 2, 3, 4, 5, 6] for seen in sequences.values())
    assert await outbox.progress() == (120, 120)
    assert await outbox.unpublished(10) == []
    assert check_history(await history(store)).violations == []


async def test_what_was_published_never_goes_back(outbox: Any, rides: Any) -> None:
    await do(rides, *(request(f"ride{n}") for n in range(5)))
    await outbox.unpublished(10)
    await outbox.mark_published(4)
    await outbox.mark_published(2)
    assert await outbox.newest_published() == 4
    assert [row.position for row in await outbox.unpublished(10)] == [5]
    assert [row.position for row in await outbox.newest_rows(3)] == [3, 4, 5]
    assert await outbox.progress() == (5, 4)


async def test_outbox_rows_say_whom_they_go_to(outbox: Any, rides: Any) -> None:
    await do(rides, request(), offer(), accept())
    assert [row.inboxes for row in await outbox.unpublished(10_000)] == [
        ("rider:alice",),
        ("driver:dora",),
        ("rider:alice", "driver:dora"),
    ]


# -- callers that go away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yields", range(4))
async def test_a_caller_who_hangs_up_leaves_a_whole_ride_or_none_and_the_store_works_on(
    store: Any, rides: Any, yields: Any
) -> None:
    tasks = [asyncio.create_task(rides.handle(request(f"gone{n}"), key(f"key{n}"))) for n in range(40)]
    for _ in range(yields):
        await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await all_of(*tasks)
    await rides.handle(request("after"))
    events = Counter(event.ride_id for event in await history(store))
    for n in range(40):
        ride, replayed = await store.find_ride(f"gone{n}"), await store.replay(key(f"key{n}"))
        assert (ride is None) == (replayed is None)
        assert events[f"gone{n}"] == (ride is not None)
    assert events["after"] == 1


async def test_a_ride_cannot_be_requested_under_a_used_id(rides: Any) -> None:
    await do(rides, request())
    with pytest.raises((QuoteUsed, IllegalMove)):
        await rides.handle(request("ride", quote_id="another"))
