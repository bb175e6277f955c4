"""Rounds follow the travel times that count, each round one set of them, and are decided the same again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from dispatch.adapters.round_files import TIMES_SUFFIX, FileRoundRecords, read_rounds
from dispatch.matching.optimal import OptimalPolicy
from dispatch.service.replay import replay_rounds
from geo.roads.graph import RoadGraph
from tests.dispatch.people import history, rider_cancels
from tests.dispatch.test_matching_service import CITY, Matcher


class Traffic:
    """The roads under travel times that a test sets."""

    def __init__(self) -> None:
        self.graph = CITY

    def __call__(self) -> RoadGraph:
        return self.graph

    def slow_down(self, source: int, target: int, factor: float) -> None:
        times_s = CITY.travel_time_s.copy()
        times_s[(CITY.source == source) & (CITY.target == target)] *= factor
        self.graph = CITY.with_travel_times(times_s)


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.mark.servers
async def test_a_street_that_slows_down_sends_another_driver_from_the_next_round_on(
    store: Any, empty_redis: Redis, clock: Any, traffic: Traffic
) -> None:
    matcher = Matcher(store, empty_redis, clock, roads=traffic)
    await matcher.drivers(east=1, south=12)
    await matcher.request("first", 0, "alice")
    await matcher.service.run_round()
    assert await matcher.asked("first") == "east"
    await matcher.rides.handle(rider_cancels("first", "alice"))
    traffic.slow_down(1, 0, 5.0)
    await matcher.request("second", 0, "bob")
    await matcher.service.run_round()
    ride = await matcher.store.find_ride("second")
    assert (ride.offer.driver_id, ride.offer.pickup_eta_s) == ("south", 20.0)


@pytest.mark.servers
async def test_a_policy_that_does_not_follow_traffic_goes_on_with_its_own_roads(
    store: Any, empty_redis: Redis, clock: Any, traffic: Traffic
) -> None:
    class Stubborn:
        def __init__(self) -> None:
            self.own = OptimalPolicy(CITY)

        def match(self, waiting: Any, supply: Any, params: Any, now_s: float) -> Any:
            return self.own.match(waiting, supply, params, now_s)

    matcher = Matcher(store, empty_redis, clock, roads=traffic, policy=Stubborn())
    await matcher.drivers(east=1, south=12)
    traffic.slow_down(1, 0, 5.0)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    assert await matcher.asked("ride") == "east"


@pytest.mark.servers
async def test_recorded_rounds_are_decided_again_on_the_travel_times_they_were_decided_on(
    sqlite_store: Any, empty_redis: Redis, clock: Any, traffic: Traffic, tmp_path: Path
) -> None:
    matcher = Matcher(sqlite_store, empty_redis, clock, roads=traffic, records=FileRoundRecords(tmp_path, "manhattan"))
    await matcher.drivers(east=1, south=12)
    for number, factor in enumerate((1.0, 5.0, 1.0, 5.0, 9.0)):
        if factor == 1.0:
            traffic.graph = CITY
        else:
            traffic.slow_down(1, 0, factor)
        await matcher.request(f"ride{number}", 0, f"rider{number}")
        await matcher.service.run_round()
        await matcher.rides.handle(rider_cancels(f"ride{number}", f"rider{number}"))
    events, rounds = await history(sqlite_store), read_rounds(tmp_path)
    again = list(replay_rounds(events, rounds, OptimalPolicy(CITY), CITY))
    assert [one.matches[0].driver_id for one in again] == ["east", "south", "east", "south", "south"]
    assert all(one.is_same for one in again)
    assert len(list(tmp_path.glob(f"*{TIMES_SUFFIX}"))) == 2
    forgotten = [replace(record, travel_time_s=None) for record in rounds]
    assert not all(one.is_same for one in replay_rounds(events, forgotten, OptimalPolicy(CITY), CITY))


@pytest.mark.servers
async def test_rounds_whose_travel_times_are_missing_are_not_read_as_others(
    sqlite_store: Any, empty_redis: Redis, clock: Any, traffic: Traffic, tmp_path: Path
) -> None:
    matcher = Matcher(sqlite_store, empty_redis, clock, roads=traffic, records=FileRoundRecords(tmp_path, "manhattan"))
    await matcher.drivers(east=1)
    traffic.slow_down(1, 0, 2.0)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    (record,) = read_rounds(tmp_path)
    assert np.array_equal(record.travel_time_s, traffic.graph.travel_time_s)
    (file,) = tmp_path.glob(f"*{TIMES_SUFFIX}")
    file.unlink()
    with pytest.raises(ValueError, match="holds no travel times"):
        read_rounds(tmp_path)
