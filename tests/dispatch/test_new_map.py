"""A map that was rebuilt under its rides stops no round and no watch, and tells no wrong pickup time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from backing.outbox.outbox import SqlOutbox
from dispatch.adapters.redis_leases import RedisLeases
from dispatch.adapters.redis_rounds import RedisRoundLog
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.events import RideSetAside
from dispatch.matching.optimal import OptimalPolicy
from dispatch.metrics import MatchingMetrics
from dispatch.model import RideState
from dispatch.rules.invariants import check_history
from dispatch.rules.pickup_watch import STALLED
from dispatch.service.matching import MatchingService
from dispatch.service.rides import RideService
from geo.places import Places
from geo.positions import pack
from geo.roads.graph import RoadGraph
from kernel.points import Place, Point
from tests.dispatch.maps import BEFORE, backwards, without_first
from tests.dispatch.people import (
    PARAMS,
    accept,
    arrive,
    drop_off,
    history,
    offer,
    on_shift,
    pick_up,
    request,
)

pytestmark = pytest.mark.servers

AFTER = backwards(BEFORE)
#: Farther from the road than this is off the map; a street is 100 m long.
OFF_ROAD_M = 60.0
FAR_AWAY = Point(40.5, -74.5)


def numbers(*values: float) -> Any:
    import numpy as np

    return [np.array([value]) for value in values]


class Town:
    """A region whose matcher has one map, and whose rides may be of another."""

    def __init__(self, store: Any, redis: Any, clock: Any, graph: RoadGraph = AFTER) -> None:
        self.store, self.redis, self.clock = store, redis, clock
        leases = RedisLeases(redis, "manhattan", lambda: store.newest_token("manhattan"))
        self.rides = RideService(store, leases, PARAMS, clock)
        self.registry = CollectorRegistry()
        self.leases = leases
        self.service = MatchingService(
            region_id="manhattan",
            graph=graph,
            policy=OptimalPolicy(graph),
            params=PARAMS,
            store=store,
            rides=self.rides,
            supply=RedisSupply(redis, "manhattan", ["cell"]),
            leases=leases,
            round_log=RedisRoundLog(redis, "manhattan"),
            now=clock,
            places=Places.of(graph, OFF_ROAD_M),
            metrics=MatchingMetrics(self.registry),
        )

    async def stand(self, driver_id: str, crossing: int) -> None:
        """A driver at a crossing, by its number on the map of before, pings."""
        where = float(BEFORE.lat_deg[crossing]), float(BEFORE.lng_deg[crossing])
        packed = pack(*numbers(self.clock(), *where, float("nan"), 90.0))
        await self.redis.hset("{manhattan}:cell:cell", driver_id, packed.tobytes())

    async def drivers(self, **crossing_of: int) -> None:
        await on_shift(self.rides, *crossing_of)
        for driver_id, crossing in crossing_of.items():
            await self.stand(driver_id, crossing)

    async def request(self, ride_id: str, pickup: Place, dropoff: Place, map_id: str = "the map of before") -> None:
        command = replace(request(ride_id, f"rider-of-{ride_id}"), pickup=pickup, dropoff=dropoff, map_id=map_id)
        await self.rides.handle(command)

    async def be_assigned(self, ride_id: str, driver_id: str, token: int) -> None:
        await on_shift(self.rides, driver_id)
        for command in (offer(ride_id, driver_id, token), accept(f"{ride_id}-{token}", driver_id)):
            await self.rides.handle(command)
        await self.leases.restore(token)

    async def offered(self, ride_id: str) -> tuple[str, float] | None:
        """Who is asked for a ride, and how long the way to the pickup is said to take."""
        ride = await self.store.find_ride(ride_id)
        return (ride.offer.driver_id, ride.offer.pickup_eta_s) if ride.state is RideState.OFFERED else None

    def off_map(self) -> float | None:
        return self.registry.get_sample_value("hexhail_rides_off_map", {"region": "manhattan"})


def before(crossing: int) -> Place:
    """A place as the map of before has it."""
    return Place(float(BEFORE.lat_deg[crossing]), float(BEFORE.lng_deg[crossing]), crossing)


@pytest.fixture
async def town(store: Any, empty_redis: Redis, clock: Any) -> Town:
    return Town(store, empty_redis, clock)


@pytest.mark.parametrize("map_id", ["the map of before", ""])
async def test_a_ride_of_another_map_is_matched_by_where_it_is(town: Town, map_id: str) -> None:
    await town.drivers(near=2, far=16)  # on this map the pickup's old number is the crossing where the far one stands
    await town.request("ride", before(0), before(5), map_id)
    await town.service.run_round()
    assert await town.offered("ride") == ("near", 20.0)


async def test_numbers_that_the_map_does_not_have_empty_no_round(store: Any, empty_redis: Redis, clock: Any) -> None:
    town = Town(store, empty_redis, clock, without_first(BEFORE, 6))
    await town.drivers(dora=15, dan=7)
    await town.request("old", before(17), before(12))  # the map has twelve crossings left
    await town.request("wrong", replace(before(6), node=-1), before(12), Places.of(without_first(BEFORE, 6)).map_id)
    await town.service.run_round()
    assert await town.offered("old") == ("dora", 20.0)
    assert await town.offered("wrong") == ("dan", 10.0)


async def test_a_ride_that_is_on_no_road_any_more_is_left_out_alone(town: Town, store: Any) -> None:
    await town.drivers(dora=2)
    await town.request("lost", Place(FAR_AWAY.lat_deg, FAR_AWAY.lng_deg, 3), before(5))
    await town.request("ride", before(0), before(5))
    report = await town.service.run_round()
    assert await town.offered("ride") == ("dora", 20.0)
    assert (report.n_waiting, town.off_map()) == (1, 1.0)
    assert (await store.find_ride("lost")).state is RideState.REQUESTED


async def test_the_rider_of_a_lost_ride_is_told_once_and_it_still_expires(town: Town, store: Any) -> None:
    await town.request("lost", before(0), Place(FAR_AWAY.lat_deg, FAR_AWAY.lng_deg, 3))
    for _ in range(3):
        await town.service.run_round()
    told = [event for event in await history(store) if isinstance(event, RideSetAside)]
    assert [(event.ride_id, event.reason, event.map_id) for event in told] == [
        ("lost", "off_map", Places.of(AFTER).map_id)
    ]
    rows = await SqlOutbox(store._database).unpublished(10)
    assert rows[-1].inboxes == ("rider:rider-of-lost",)
    town.clock.now_s += PARAMS.max_wait_s
    await town.service.run_round()
    assert (await store.find_ride("lost")).state is RideState.EXPIRED
    assert check_history(await history(store)).violations == []
    await town.service.run_round()
    assert town.off_map() == 0.0


async def test_a_map_that_has_the_road_again_takes_the_ride_up(
    town: Town, store: Any, empty_redis: Redis, clock: Any
) -> None:
    gap = Town(store, empty_redis, clock, without_first(BEFORE, 6))
    await gap.drivers(dora=7)
    await gap.request("ride", before(0), before(12))
    await gap.service.run_round()
    assert (await gap.offered("ride"), gap.off_map()) == (None, 1.0)
    await town.service.run_round()
    assert await town.offered("ride") == ("dora", 20.0)


async def test_the_watch_goes_on_over_rides_of_another_map(store: Any, empty_redis: Redis, clock: Any) -> None:
    graph = without_first(BEFORE, 6)
    town = Town(store, empty_redis, clock, graph.with_travel_times(graph.travel_time_s * 3.0))
    await town.request("old", before(17), before(12))
    await town.request("lost", before(0), before(12))
    await town.request("stalled", before(17), before(12))
    for token, ride_id in enumerate(("old", "lost", "stalled"), start=1):
        await town.be_assigned(ride_id, f"driver-of-{ride_id}", token)
    for step in range(8):
        await town.stand("driver-of-old", 12 + min(step, 5))
        await town.stand("driver-of-lost", 6)
        await town.stand("driver-of-stalled", 7)  # five streets from the pickup, and comes no nearer
        await town.service.run_round()
        town.clock.now_s += 40.0
    rides = {name: await store.find_ride(name) for name in ("old", "lost", "stalled")}
    assert [ride.driver_id for ride in rides.values()] == ["driver-of-old", "driver-of-lost", None]
    [taken] = [event for event in await history(store) if type(event).__name__ == "AssignmentCancelled"]
    assert (taken.ride_id, taken.reason) == ("stalled", STALLED)


async def test_a_trip_of_another_map_says_where_its_driver_will_be_free(town: Town) -> None:
    await town.drivers(dora=1, idle=17)
    await town.request("trip", before(8), before(2))
    await town.be_assigned("trip", "dora", 1)
    for command in (arrive("trip"), pick_up("trip")):
        await town.rides.handle(command)
    await town.request("next", before(3), before(12))
    await town.service.run_round()
    assert await town.offered("next") == ("dora", 20.0)  # one street to the dropoff, one from there


async def test_a_driver_on_the_way_to_a_lost_dropoff_is_not_asked_and_stops_nothing(town: Town) -> None:
    await town.drivers(dora=1, idle=4)
    await town.request("trip", before(8), Place(FAR_AWAY.lat_deg, FAR_AWAY.lng_deg, 900))
    await town.be_assigned("trip", "dora", 1)
    for command in (arrive("trip"), pick_up("trip")):
        await town.rides.handle(command)
    await town.request("next", before(1), before(12))
    await town.service.run_round()
    assert await town.offered("next") == ("idle", 30.0)
    assert (await town.rides.handle(drop_off("trip"))).ride.state is RideState.COMPLETED
