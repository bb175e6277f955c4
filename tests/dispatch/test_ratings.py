"""Ratings: who may give one, when, what is kept of it, and what it is worth in a round."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from api.schemas.drivers import StatusBody
from backing.sql.scripts import Statement, one
from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.adapters.round_files import FileRoundRecords, read_rounds
from dispatch.errors import AlreadyRated, IllegalMove, NotFound, RatingTooLate
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import STARS, RideState, ShiftStatus
from dispatch.rules.audience import inboxes
from dispatch.rules.invariants import check_history
from dispatch.service.replay import Replay, replay_rounds
from dispatch.weights import ScoreWeights
from tests.dispatch.people import (
    PARAMS,
    accept,
    arrive,
    do,
    drop_off,
    engine_after,
    history,
    offer,
    on_shift,
    pick_up,
    rate,
    request,
)
from tests.dispatch.test_matching_service import CITY, Matcher

TRIP = (request(), offer(), accept(), arrive(), pick_up(), drop_off())
#: Of a 4.8 that weighs as much as 20 ratings, a star is worth five minutes of pickup.
BY_STARS = replace(PARAMS, score=ScoreWeights(rating_s_per_star=300.0))


async def drive(rides: Any, driver_id: str, *stars: Any, first_token: Any = 1) -> None:
    """Trips of a driver, each rated with so many stars."""
    for token, given_stars in enumerate(stars, first_token):
        name = f"{driver_id}-{token}"
        await do(rides, request(name, "alice"), offer(name, driver_id, token), accept(f"{name}-{token}", driver_id))
        await do(rides, arrive(name, driver_id), pick_up(name, driver_id), drop_off(name, driver_id))
        await do(rides, rate(name, stars=given_stars))


async def stars_of(store: Any, driver_id: str = "dora") -> Any:
    driver = (await store.free_drivers())[driver_id]
    return driver.stars_sum, driver.stars_count


# -- who, when and how often -------------------------------------------------------------------------------------------


def test_a_completed_trip_is_rated_and_stays_completed() -> None:
    engine = engine_after(*TRIP)
    (event,) = engine.handle(rate(stars=4), 60.0)
    assert (type(event), event.driver_id, event.stars, event.sequence) == (ev.RideRated, "dora", 4, 7)
    assert (engine.ride("ride").state, engine.ride("ride").stars) == (RideState.COMPLETED, 4)


def test_nobody_but_the_rider_rates_a_trip() -> None:
    engine = engine_after(*TRIP)
    for rider_id in ("bob", "dora"):
        with pytest.raises(NotFound):
            engine.handle(rate(rider_id=rider_id), 60.0)


@pytest.mark.parametrize("steps", range(1, len(TRIP)))
def test_a_trip_that_has_not_ended_is_not_rated(steps: Any) -> None:
    with pytest.raises(IllegalMove, match="rating is not possible"):
        engine_after(*TRIP[:steps]).handle(rate(), 60.0)


def test_the_same_stars_again_change_nothing_and_others_are_refused() -> None:
    engine = engine_after(*TRIP, rate(stars=2))
    before = engine.ride("ride")
    assert engine.handle(rate(stars=2), 1e9) == []
    with pytest.raises(AlreadyRated, match="rated with 2 of 5 stars before"):
        engine.handle(rate(stars=5), 60.0)
    assert engine.ride("ride") is before


def test_ratings_are_taken_for_as_long_as_the_city_says_and_no_longer() -> None:
    (ended_s,) = {engine_after(*TRIP).ride("ride").ended_s}
    engine_after(*TRIP).handle(rate(), ended_s + PARAMS.rating_within_s)
    with pytest.raises(RatingTooLate, match="more than 72 hours ago"):
        engine_after(*TRIP).handle(rate(), ended_s + PARAMS.rating_within_s + 1.0)


@given(st.integers().filter(lambda stars: stars not in STARS))
def test_there_are_one_to_five_stars(stars: Any) -> None:
    with pytest.raises(ValueError, match="stars must be from 1 to 5"):
        cmd.RateRide("ride", "alice", stars)


def test_a_driver_is_not_told_who_gave_which_stars() -> None:
    (event,) = engine_after(*TRIP).handle(rate(), 60.0)
    assert inboxes(event) == ("rider:alice",)


# -- what the store keeps ----------------------------------------------------------------------------------------------


async def test_each_rating_counts_once_however_often_it_is_sent(store: Any, rides: Any) -> None:
    await do(rides, *TRIP)
    assert await stars_of(store) == (0, 0)
    results = await asyncio.gather(*(rides.handle(rate(stars=4)) for _ in range(5)))
    assert {outcome.ride.stars for outcome in results} == {4}
    assert sum(len(outcome.events) for outcome in results) == 1
    assert await stars_of(store) == (4, 1)
    with pytest.raises(AlreadyRated):
        await rides.handle(rate(stars=1))
    assert await stars_of(store) == (4, 1)
    events = await history(store)
    assert check_history(events).violations == []
    assert [event.stars for event in events if isinstance(event, ev.RideRated)] == [4]


async def test_two_phones_of_one_rider_that_differ_leave_one_rating(store: Any, rides: Any) -> None:
    await do(rides, *TRIP)
    results = await asyncio.gather(*(rides.handle(rate(stars=n)) for n in STARS), return_exceptions=True)
    assert sum(isinstance(result, AlreadyRated) for result in results) == 4
    (kept,) = [result.ride.stars for result in results if not isinstance(result, Exception)]
    assert await stars_of(store) == (kept, 1)


async def test_stars_add_up_over_rides_and_shifts_and_are_known_while_a_rider_is_aboard(store: Any, rides: Any) -> None:
    await drive(rides, "dora", 5, 4, 4)
    shift = await rides.set_shift(cmd.SetShift("dora", ShiftStatus.ONLINE, 6))
    assert (shift.stars_sum, shift.stars_count) == await stars_of(store) == (13, 3)
    await do(rides, request(), offer(token=9), accept("ride-9"), arrive(), pick_up())
    (trip,) = await store.carrying_drivers("manhattan")
    assert (trip.stars_sum, trip.stars_count) == (13, 3)


async def test_drivers_are_told_their_mean_once_it_hides_who_gave_what(store: Any, rides: Any) -> None:
    await on_shift(rides, "dora")
    told = []
    for stars_sum, stars_count in ((0, 0), (40, 9), (44, 10)):
        await give(store, "dora", stars_sum, stars_count)
        told.append(StatusBody.of(await rides.set_shift(cmd.SetShift("dora", ShiftStatus.ONLINE, 4))).rating)
    assert told == [None, None, 4.4]


async def test_a_run_with_ratings_is_replayed_bit_for_bit(sqlite_store: Any, clock: Any, leases: Any) -> None:
    rides = Matcher(sqlite_store, None, clock, leases=leases).rides
    await drive(rides, "dora", 5, 1)
    events = await history(sqlite_store)
    assert [event for event, _ in Replay(PARAMS).run(events)] == events


# -- what they are worth -----------------------------------------------------------------------------------------------


async def give(store: Any, driver_id: str, stars_sum: Any, stars_count: Any) -> None:
    """Let a driver have been rated so often before."""
    text = "UPDATE shifts SET stars_sum = ?1, stars_count = ?2 WHERE driver_id = ?3 RETURNING driver_id"
    await store._database.run(lambda: one(Statement(text, (stars_sum, stars_count, driver_id))))


@pytest.mark.servers
@pytest.mark.parametrize(("params", "asked"), [(PARAMS, "adam"), (BY_STARS, "zoe")], ids=["by id", "by stars"])
async def test_of_two_equal_drivers_the_better_rated_is_asked_where_that_has_a_weight(
    store: Any, empty_redis: Redis, clock: Any, params: Any, asked: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock, params=params)
    await drive(matcher.rides, "adam", 4, 4)
    await drive(matcher.rides, "zoe", 5, 5, first_token=3)
    await matcher.leases.restore(9)
    await matcher.drivers(adam=2, zoe=2)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    assert await matcher.asked("ride") == asked


@pytest.mark.servers
@pytest.mark.parametrize(
    ("novice_stars", "veteran", "asked"),
    [
        # One rating of 5 counts as 4.8 + 0.2/21 = 4.8095 stars, 500 of 4.9 as 4.8 + 0.1 * 500/520 = 4.8962.
        ((5, 1), (2450, 500), "veteran"),
        # Nor is one of 1 held against a driver as 500 of 4.6 are: 4.8 - 3.8/21 = 4.6190 against 4.6077.
        ((1, 1), (2300, 500), "novice"),
    ],
)
async def test_a_single_rating_says_little_against_five_hundred(
    sqlite_store: Any, empty_redis: Redis, clock: Any, novice_stars: Any, veteran: Any, asked: Any
) -> None:
    matcher = Matcher(sqlite_store, empty_redis, clock, params=BY_STARS)
    await matcher.drivers(novice=2, veteran=2)
    await give(sqlite_store, "novice", *novice_stars)
    await give(sqlite_store, "veteran", *veteran)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    assert await matcher.asked("ride") == asked


@pytest.mark.servers
async def test_a_round_decided_by_stars_is_recorded_with_them_and_decided_the_same_again(
    sqlite_store: Any, empty_redis: Redis, clock: Any, tmp_path: Path
) -> None:
    records = FileRoundRecords(tmp_path, "manhattan")
    matcher = Matcher(sqlite_store, empty_redis, clock, params=BY_STARS, records=records)
    await matcher.drivers(adam=2, unrated=2, zoe=2)
    await give(sqlite_store, "adam", 470, 100)
    await give(sqlite_store, "zoe", 490, 100)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    rounds = read_rounds(tmp_path)
    assert rounds[0].supply.rating.tolist() == pytest.approx([4.7, float("nan"), 4.9], nan_ok=True)
    assert rounds[0].supply.rating_count.tolist() == [100, 0, 100]
    (again,) = replay_rounds(await history(sqlite_store), rounds, OptimalPolicy(CITY), CITY)
    assert again.is_same
    assert [match.driver_id for match in again.matches] == ["zoe"]
