"""Since when drivers have nothing to do, as SQL keeps it, and what that is worth in a round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from dispatch import commands as cmd
from dispatch.adapters.round_files import FileRoundRecords, read_rounds
from dispatch.events import OfferSent
from dispatch.matching.optimal import OptimalPolicy
from dispatch.ports import FreeDriver
from dispatch.service.replay import replay_rounds
from dispatch.weights import ScoreWeights
from tests.dispatch.people import (
    PARAMS,
    accept,
    arrive,
    decline,
    do,
    driver_cancels,
    drop_off,
    history,
    off_shift,
    offer,
    on_shift,
    pick_up,
    request,
    rider_cancels,
)
from tests.dispatch.test_matching_service import CITY, Matcher

FAIR = replace(PARAMS, score=ScoreWeights(idle=0.5))


async def idle_since_s(store: Any, driver_id: str = "dora") -> Any:
    return (await store.free_drivers())[driver_id].idle_since_s


# -- what the store keeps ----------------------------------------------------------------------------------------------


async def test_a_driver_is_idle_from_going_on_shift_and_keeps_that_time_when_the_app_says_so_again(
    store: Any, rides: Any, clock: Any
) -> None:
    await on_shift(rides, "dora")
    clock.now_s = 1100.0
    await on_shift(rides, "dora", seats=6)
    assert await store.free_drivers() == {"dora": FreeDriver(6, 1000.0)}
    await off_shift(rides, "dora")
    clock.now_s = 1200.0
    await on_shift(rides, "dora")
    assert await idle_since_s(store) == 1200.0


async def test_a_driver_who_said_no_or_nothing_has_been_idle_all_the_while(store: Any, rides: Any, clock: Any) -> None:
    await do(rides, request(), offer())
    clock.now_s = 1010.0
    await rides.handle(decline())
    assert await idle_since_s(store) == 1000.0
    await do(rides, request("ride2", "bob"), offer("ride2", token=2))
    clock.now_s = 1100.0
    await rides.expire("ride2")
    assert await idle_since_s(store) == 1000.0


@pytest.mark.parametrize(
    "last_steps",
    [
        pytest.param((arrive(), pick_up(), drop_off()), id="dropped off"),
        pytest.param((driver_cancels(),), id="given back"),
        pytest.param((arrive(), rider_cancels()), id="cancelled by the rider"),
        pytest.param((cmd.TakeBack("ride", "dora", "gps_silence"),), id="taken back"),
    ],
)
async def test_a_driver_is_idle_anew_from_the_end_of_a_ride(
    store: Any, rides: Any, clock: Any, last_steps: Any
) -> None:
    await do(rides, request(), offer(), accept())
    clock.now_s = 1300.0
    await do(rides, *last_steps)
    assert await idle_since_s(store) == 1300.0


# -- what it is worth --------------------------------------------------------------------------------------------------


async def worked_and_waited(matcher: Any) -> None:
    """Two drivers at one crossing: `adam` has just ended a ride, `zoe` has waited for ten minutes."""
    await matcher.drivers(adam=2, zoe=2)
    matcher.clock.now_s += 600.0
    await do(matcher.rides, request("before"), offer("before", "adam"), accept("before-1", "adam"))
    await do(matcher.rides, arrive("before", "adam"), pick_up("before", "adam"), drop_off("before", "adam"))
    await matcher.leases.restore(1)
    for name in ("adam", "zoe"):
        await matcher.place(name, 2)
    await matcher.request("ride", 0)


@pytest.mark.servers
@pytest.mark.parametrize(("params", "asked"), [(PARAMS, "adam"), (FAIR, "zoe")], ids=["by id", "by idle time"])
async def test_of_two_equal_drivers_the_longer_idle_is_asked_where_that_has_a_weight(
    store: Any, empty_redis: Redis, clock: Any, params: Any, asked: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock, params=params)
    await worked_and_waited(matcher)
    await matcher.service.run_round()
    assert await matcher.asked("ride") == asked


@pytest.mark.servers
async def test_idle_time_outweighs_no_more_seconds_of_pickup_than_the_weight_says(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock, params=replace(PARAMS, score=ScoreWeights(idle=0.03)))
    await worked_and_waited(matcher)  # ten minutes at 0.03 are worth 18 s: one street of 10 s, not two
    await matcher.place("zoe", 3)
    await matcher.service.run_round()
    assert await matcher.asked("ride") == "zoe"
    await matcher.rides.handle(decline((await matcher.store.find_ride("ride")).offer.offer_id, "zoe"))
    await matcher.place("zoe", 4)
    await matcher.request("another", 0, "bob")
    await matcher.rides.handle(rider_cancels("ride"))
    await matcher.service.run_round()
    assert await matcher.asked("another") == "adam"


@pytest.mark.servers
async def test_a_round_decided_by_idle_time_is_recorded_with_it_and_decided_the_same_again(
    sqlite_store: Any, empty_redis: Redis, clock: Any, tmp_path: Path
) -> None:
    records = FileRoundRecords(tmp_path, "manhattan")
    matcher = Matcher(sqlite_store, empty_redis, clock, params=FAIR, records=records)
    await worked_and_waited(matcher)
    await matcher.service.run_round()
    events, rounds = await history(sqlite_store), read_rounds(tmp_path)
    assert rounds[0].supply.idle_since_s.tolist() == [1600.0, 1000.0]
    (again,) = replay_rounds(events, rounds, OptimalPolicy(CITY), CITY)
    assert again.is_same
    assert [match.driver_id for match in again.matches] == ["zoe"]
    assert [event.driver_id for event in events if isinstance(event, OfferSent)] == ["adam", "zoe"]
