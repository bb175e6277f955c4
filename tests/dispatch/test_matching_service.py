"""Whole rounds on a small drawn city, with real stores, leases and positions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dispatch.adapters.redis_leases import RedisLeases
from dispatch.adapters.redis_rounds import RedisRoundLog, read_rounds
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.adapters.redis_traces import ROUNDS_KEPT, RedisTraceLog, read_traces
from dispatch.adapters.round_files import FileRoundRecords
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import RideState
from dispatch.rules.invariants import check_history
from dispatch.service.matching import MatchingService
from dispatch.service.rides import RideService
from geo.positions import pack
from hexhail.runtime.embedded import free_port
from kernel.contracts import redis_keys
from kernel.points import Place
from tests.dispatch.people import (
    PARAMS,
    accept,
    arrive,
    decline,
    drop_off,
    grid_city,
    history,
    off_shift,
    offer,
    on_shift,
    pick_up,
    request,
    rider_cancels,
)

pytestmark = pytest.mark.servers

#: Crossings are numbered row by row; a street between two takes 10 s.
#:   0  1  2  3  4  5
#:   6  7  8  9 10 11
#:  12 13 14 15 16 17
CITY = grid_city(rows=3, columns=6)
CELLS = ["cell-a", "cell-b"]


class Matcher:
    """A matcher and the people it matches."""

    def __init__(
        self,
        store: Any,
        redis: Any,
        clock: Any,
        *,
        policy: Any = None,
        rides: Any = None,
        leases: Any = None,
        supply: Any = None,
        params: Any = PARAMS,
        **logs: Any,
    ) -> None:
        self.store, self.redis, self.clock = store, redis, clock
        self.leases = leases or RedisLeases(redis, "manhattan", lambda: store.newest_token("manhattan"))
        self.rides = rides or RideService(store, self.leases, PARAMS, clock)
        self.service = MatchingService(
            region_id="manhattan",
            graph=CITY,
            policy=policy or OptimalPolicy(CITY),
            params=params,
            store=store,
            rides=self.rides,
            supply=supply or RedisSupply(redis, "manhattan", CELLS),
            leases=self.leases,
            round_log=RedisRoundLog(redis, "manhattan"),
            now=clock,
            **logs,
        )

    async def traces(self, ride_id: str) -> Any:
        await self.service.finish()
        return await read_traces(self.redis, "manhattan", ride_id)

    async def drivers(self, seats: Any = 4, age_s: Any = 0.0, **node_of: Any) -> None:
        """Put drivers on shift at crossings."""
        await on_shift(self.rides, *node_of, seats=seats)
        for name, node in node_of.items():
            await self.place(name, node, age_s)

    async def place(self, name: str, node: Any, age_s: Any = 0.0, cell: Any = "cell-a") -> None:
        where = np.array([CITY.lat_deg[node]]), np.array([CITY.lng_deg[node]])
        packed = pack(np.array([self.clock() - age_s]), *where, np.array([np.nan]), np.array([90.0]))
        await self.redis.hset(f"{{manhattan}}:cell:{cell}", name, packed.tobytes())

    async def request(self, ride_id: str, node: Any, rider_id: str = "alice", seats: Any = 1) -> None:
        place = Place(float(CITY.lat_deg[node]), float(CITY.lng_deg[node]), node)
        await self.rides.handle(replace(request(ride_id, rider_id), pickup=place, seats=seats))

    async def asked(self, ride_id: str) -> Any:
        """Who stands before the decision to drive a ride; None if nobody."""
        ride = await self.store.find_ride(ride_id)
        return ride.offer.driver_id if ride.state is RideState.OFFERED else None


@pytest.fixture
async def matcher(store: Any, empty_redis: Redis, clock: Any) -> Any:
    return Matcher(store, empty_redis, clock)


async def test_the_nearest_idle_driver_by_road_is_asked(matcher: Any) -> None:
    await matcher.drivers(far=17, near=4, nearer=2)
    await matcher.request("ride", 0)
    report = await matcher.service.run_round()
    assert await matcher.asked("ride") == "nearer"
    assert (report.n_waiting, report.n_free, report.n_matches, report.n_offers, report.n_expired) == (1, 3, 1, 1, 0)
    assert await read_rounds(matcher.redis, "manhattan") == [report]
    ride = await matcher.store.find_ride("ride")
    assert (ride.offer.pickup_eta_s, ride.offer.expires_s) == (20.0, matcher.clock() + PARAMS.offer_ttl_s)


async def carry(matcher: Any, ride_id: str, driver_id: str, dropoff: Any, token: Any) -> None:
    """Let a driver have a rider of this ride aboard, on the way to a crossing."""
    place = Place(float(CITY.lat_deg[dropoff]), float(CITY.lng_deg[dropoff]), dropoff)
    await matcher.rides.handle(replace(request(ride_id, f"rider-of-{ride_id}"), dropoff=place))
    for command in (
        offer(ride_id, driver_id, token),
        accept(f"{ride_id}-{token}", driver_id),
        arrive(ride_id, driver_id),
        pick_up(ride_id, driver_id),
    ):
        await matcher.rides.handle(command)
    await matcher.leases.restore(token)


async def test_who_drops_off_soon_is_asked_before_an_idle_driver_farther_away(matcher: Any) -> None:
    await matcher.drivers(dora=2, idle=17)
    await carry(matcher, "trip", "dora", dropoff=1, token=1)
    await matcher.request("next", 0)
    report = await matcher.service.run_round()
    assert (await matcher.asked("next"), report.n_free) == ("dora", 2)
    ride = await matcher.store.find_ride("next")
    assert ride.offer.pickup_eta_s == 20.0  # one street to the dropoff, another to the pickup
    await matcher.rides.handle(accept(ride.offer.offer_id, "dora"))
    assert {ride.ride_id for ride in await matcher.store.live_rides("manhattan")} == {"trip", "next"}
    for command in (drop_off("trip", "dora"), arrive("next", "dora"), pick_up("next", "dora")):
        await matcher.rides.handle(command)
    assert check_history(await history(matcher.store)).violations == []


async def test_who_drops_off_late_and_who_has_a_next_ride_are_not_asked(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock, params=replace(PARAMS, chain_within_s=15.0))
    await matcher.drivers(late=5, bound=1, idle=17)
    await carry(matcher, "long", "late", dropoff=1, token=1)
    await carry(matcher, "short", "bound", dropoff=1, token=2)
    await matcher.request("next", 0)
    await matcher.service.run_round()
    assert await matcher.asked("next") == "bound"
    await matcher.request("another", 0)
    report = await matcher.service.run_round()
    assert (await matcher.asked("another"), report.n_free) == ("idle", 1)


async def test_while_more_riders_wait_than_drivers_idle_nobody_is_asked_before_a_dropoff(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock)
    await matcher.drivers(aboard=1, idle=17)
    await carry(matcher, "trip", "aboard", dropoff=1, token=1)
    await matcher.request("next", 0)
    await matcher.request("another", 2, "bob")
    report = await matcher.service.run_round()
    asked = {await matcher.asked("next"), await matcher.asked("another")}
    assert (asked, report.n_free) == ({"idle", None}, 1)


async def test_nobody_is_asked_before_the_dropoff_where_that_is_switched_off(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock, params=replace(PARAMS, chain_within_s=0.0))
    await matcher.drivers(dora=1, idle=17)
    await carry(matcher, "trip", "dora", dropoff=1, token=1)
    await matcher.request("next", 0)
    await matcher.service.run_round()
    assert await matcher.asked("next") == "idle"


async def with_a_next_ride(store: Any, empty_redis: Redis, clock: Any) -> Any:
    """Dora has a rider aboard and has accepted the next; another driver idles far away."""
    matcher = Matcher(store, empty_redis, clock)
    await matcher.drivers(dora=17, idle=0)
    await carry(matcher, "trip", "dora", dropoff=16, token=1)
    await matcher.request("next", 15)
    await matcher.service.run_round()
    await matcher.rides.handle(accept((await store.find_ride("next")).offer.offer_id, "dora"))
    return matcher


async def test_a_driver_who_still_carries_another_rider_does_not_count_as_stalled(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = await with_a_next_ride(store, empty_redis, clock)
    for _ in range(30):
        clock.now_s += 10.0
        await matcher.place("dora", 17)
        await matcher.service.run_round()
    assert (await store.find_ride("next")).state is RideState.ASSIGNED


async def test_a_next_ride_is_taken_back_from_a_driver_who_falls_silent_with_a_rider_aboard(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = await with_a_next_ride(store, empty_redis, clock)
    for _ in range(12):
        clock.now_s += 10.0
        await matcher.place("idle", 0)
        await matcher.service.run_round()
    assert await matcher.asked("next") == "idle"
    assert (await store.find_ride("trip")).state is RideState.ON_TRIP


async def test_offers_are_sent_where_rounds_cannot_be_recorded(
    store: Any, empty_redis: Redis, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matcher = Matcher(store, empty_redis, clock)
    records = FileRoundRecords(tmp_path, "manhattan")
    monkeypatch.setattr(records, "_is_full", lambda: False)
    matcher.service._records = records
    await matcher.drivers(dora=1)
    await matcher.request("ride", 0)
    with Path("/dev/full").open("ab", buffering=0) as full:
        monkeypatch.setattr(records, "_file", full)
        await matcher.service.run_round()
    assert await matcher.asked("ride") == "dora"


async def test_a_round_is_best_for_all_of_its_riders_together(matcher: Any) -> None:
    await matcher.drivers(left=1, right=5)
    await matcher.request("one", 2, "alice")  # nearest to left
    await matcher.request("two", 0, "bob")  # much nearer to left
    await matcher.service.run_round()
    assert (await matcher.asked("one"), await matcher.asked("two")) == ("right", "left")


async def test_who_said_no_is_not_asked_again(matcher: Any) -> None:
    await matcher.drivers(near=1, far=5)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    offer_id = (await matcher.store.find_ride("ride")).offer.offer_id
    await matcher.rides.handle(decline(offer_id, "near"))
    await matcher.service.run_round()
    assert await matcher.asked("ride") == "far"
    offer_id = (await matcher.store.find_ride("ride")).offer.offer_id
    await matcher.rides.handle(decline(offer_id, "far"))
    report = await matcher.service.run_round()
    assert await matcher.asked("ride") is None
    assert (report.n_free, report.n_matches) == (2, 0)


async def test_who_kept_silent_is_not_asked_again_but_somebody_else_is(matcher: Any) -> None:
    await matcher.drivers(near=1, far=5)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    matcher.clock.now_s += PARAMS.offer_ttl_s
    report = await matcher.service.run_round()
    assert report.n_expired == 1
    assert await matcher.asked("ride") == "far"


async def test_a_request_that_nobody_takes_expires(matcher: Any) -> None:
    await matcher.request("ride", 0)
    matcher.clock.now_s += PARAMS.max_wait_s
    assert (await matcher.service.run_round()).n_expired == 1
    assert (await matcher.store.find_ride("ride")).state is RideState.EXPIRED


async def test_an_offer_and_its_request_can_run_out_in_the_same_round(matcher: Any) -> None:
    await matcher.drivers(near=1)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    matcher.clock.now_s += PARAMS.max_wait_s
    assert (await matcher.service.run_round()).n_expired == 2
    assert (await matcher.store.find_ride("ride")).state is RideState.EXPIRED


async def test_drivers_who_are_silent_off_shift_busy_or_too_small_are_not_asked(matcher: Any) -> None:
    await matcher.drivers(lost=0, age_s=PARAMS.stale_after_s + 1)
    await matcher.drivers(home=1)
    await off_shift(matcher.rides, "home")
    await matcher.place("ghost", 1)
    await matcher.drivers(small=1, seats=1)
    await matcher.drivers(busy=2)
    await matcher.request("first", 2, seats=2)
    await matcher.service.run_round()
    assert await matcher.asked("first") == "busy"
    await matcher.request("second", 0, "bob", seats=2)
    await matcher.service.run_round()
    assert await matcher.asked("second") is None
    await matcher.rides.handle(accept((await matcher.store.find_ride("first")).offer.offer_id, "busy"))
    await matcher.service.run_round()
    assert await matcher.asked("second") is None
    await matcher.drivers(big=5)
    await matcher.service.run_round()
    assert await matcher.asked("second") == "big"


async def test_a_driver_met_in_two_cells_is_where_the_newer_position_is(matcher: Any) -> None:
    await matcher.drivers(dora=17, dan=2)
    await matcher.place("dora", 17, age_s=5.0, cell="cell-b")
    await matcher.place("dora", 0)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    assert await matcher.asked("ride") == "dora"


async def test_a_ride_that_is_cancelled_while_the_round_runs_is_not_offered_and_its_driver_is_free(
    matcher: Any,
) -> None:
    class CancelledMeanwhile(RedisLeases):
        async def take(self, pairs: Any, now_s: float, ttl_s: Any) -> Any:
            await matcher.rides.handle(rider_cancels("ride"))
            return await super().take(pairs, now_s, ttl_s)

    leases = CancelledMeanwhile(matcher.redis, "manhattan", lambda: matcher.store.newest_token("manhattan"))
    await matcher.drivers(dora=1, dan=5)
    await matcher.request("ride", 0)
    await matcher.request("other", 4, "bob")
    report = await Matcher(matcher.store, matcher.redis, matcher.clock, leases=leases).service.run_round()
    assert (report.n_matches, report.n_offers) == (2, 1)
    assert await matcher.asked("other") == "dan"
    assert await matcher.leases.take([("dora", "ride")], matcher.clock(), 15.0) != [None]


async def test_an_offer_or_an_expiry_that_fails_takes_nothing_from_the_others(matcher: Any) -> None:
    class Broken(RideService):
        async def handle(self, command: Any, idempotency: Any = None) -> Any:
            if command.ride_id == "broken":
                raise ConnectionError("the database is away for a moment")
            await asyncio.sleep(0.05)  # the failure comes first
            return await super().handle(command, idempotency)

        async def expire(self, ride_id: str) -> Any:
            if ride_id == "broken":
                raise ConnectionError("the database is away for a moment")
            await asyncio.sleep(0.05)
            return await super().expire(ride_id)

    rides = Broken(matcher.store, matcher.leases, PARAMS, matcher.clock)
    failing = Matcher(matcher.store, matcher.redis, matcher.clock, rides=rides)
    await matcher.drivers(dora=1, dan=2, dina=3)
    for n, name in enumerate(("broken", "one", "two")):
        await matcher.request(name, n)
    report = await failing.service.run_round()
    assert (report.n_matches, report.n_offers) == (3, 2)
    assert await read_rounds(matcher.redis, "manhattan") == [report]
    matcher.clock.now_s += PARAMS.max_wait_s
    assert (await failing.service.run_round()).n_expired == 4
    assert (await matcher.store.find_ride("broken")).state is RideState.REQUESTED
    await matcher.service.run_round()
    assert await matcher.store.open_rides("manhattan") == []


async def test_without_redis_nobody_is_asked_but_what_is_due_ends(matcher: Any) -> None:
    await matcher.request("old", 0)
    matcher.clock.now_s += PARAMS.max_wait_s
    await matcher.request("new", 0, "bob")
    gone = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    with pytest.raises(RedisError):
        await Matcher(matcher.store, gone, matcher.clock).service.run_round()
    await gone.aclose()
    assert [ride.ride_id for ride in await matcher.store.open_rides("manhattan")] == ["new"]


async def test_a_round_goes_on_where_a_dead_matcher_stopped(matcher: Any) -> None:
    """Leases that were taken for offers that were never sent run out, and the next round sends them."""
    await matcher.drivers(dora=1)
    await matcher.request("ride", 0)
    await matcher.leases.restore(0)
    await matcher.leases.take([("dora", "ride")], matcher.clock(), PARAMS.offer_ttl_s)
    assert (await matcher.service.run_round()).n_offers == 0
    matcher.clock.now_s += PARAMS.offer_ttl_s
    assert (await matcher.service.run_round()).n_offers == 1


async def test_after_flushall_offers_go_on_with_tokens_above_the_old_ones(matcher: Any) -> None:
    await matcher.drivers(dora=1)
    await matcher.request("ride", 0)
    await matcher.leases.restore(40)
    await matcher.service.run_round()
    await matcher.rides.handle(decline("ride-41", "dora"))
    await matcher.redis.flushall()
    await matcher.service.start()
    await matcher.drivers(dan=2)
    await matcher.service.run_round()
    assert (await matcher.store.find_ride("ride")).offer.token == 42


async def test_two_matchers_at_once_send_each_offer_once(
    matcher: Any, store: Any, empty_redis: Redis, clock: Any
) -> None:
    second = Matcher(store, empty_redis, clock)
    await matcher.drivers(**{f"driver{n}": n for n in range(18)})
    for n in range(18):
        await matcher.request(f"ride{n}", (7 * n) % 18, f"rider{n}")
    for _ in range(6):
        await asyncio.gather(matcher.service.run_round(), second.service.run_round())
    assert check_history(await history(store)).violations == []
    offered = [await matcher.asked(f"ride{n}") for n in range(18)]
    assert sorted(offered) == sorted(f"driver{n}" for n in range(18))


async def test_an_owner_who_was_paused_between_lease_and_offer_is_refused(
    matcher: Any, store: Any, empty_redis: Redis, clock: Any
) -> None:
    class Paused(RedisLeases):
        async def take(self, pairs: Any, now_s: float, ttl_s: Any) -> Any:
            tokens = await super().take(pairs, now_s, ttl_s)
            clock.now_s += PARAMS.offer_ttl_s  # longer than any lease; meanwhile another has taken over
            await matcher.service.run_round()
            ride = await store.find_ride("ride")
            await matcher.rides.handle(decline(ride.offer.offer_id, ride.offer.driver_id))
            return tokens

    await matcher.drivers(dora=1, dan=5)
    await matcher.request("ride", 0)
    leases = Paused(empty_redis, "manhattan", lambda: store.newest_token("manhattan"))
    report = await Matcher(store, empty_redis, clock, leases=leases).service.run_round()
    assert (report.n_matches, report.n_offers) == (1, 0)
    events = await history(store)
    assert [type(event).__name__ for event in events] == ["RideRequested", "OfferSent", "OfferDeclined"]
    await asyncio.gather(*matcher.rides._releases)


async def test_an_answer_gives_the_lease_free_at_once(matcher: Any) -> None:
    await matcher.drivers(dora=1)
    await matcher.request("ride", 0)
    await matcher.service.run_round()
    token = (await matcher.store.find_ride("ride")).token
    held = [("dora", "another")]
    assert await matcher.leases.take(held, matcher.clock(), 15.0) == [None]
    await matcher.rides.handle(decline(f"ride-{token}", "dora"))
    await asyncio.gather(*matcher.rides._releases)
    assert await matcher.leases.take(held, matcher.clock(), 15.0) == [token + 1]


def traced(store: Any, redis: Any, clock: Any, **others: Any) -> Any:
    return Matcher(store, redis, clock, trace_log=RedisTraceLog(redis, "manhattan"), **others)


async def test_the_trace_of_a_ride_tells_who_was_asked_and_why_nobody_else(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = traced(store, empty_redis, clock)
    await matcher.drivers(dora=1, dan=5)
    await matcher.drivers(dina=0, age_s=1000.0)
    await matcher.request("ride", node=0)
    await matcher.service.run_round()
    (trace,) = await matcher.traces("ride")
    assert (trace.asked, trace.policy, trace.n_drivers) == ("dora", "optimal", 3)
    assert trace.not_chosen == {"stale_position": 1, "another_suited_better": 1}
    assert [(one.driver_id, one.pickup_eta_s, one.reason) for one in trace.candidates] == [
        ("dora", 10.0, None),
        ("dan", 50.0, "another_suited_better"),
    ]


async def test_a_lease_that_another_matcher_holds_is_in_the_trace(store: Any, empty_redis: Redis, clock: Any) -> None:
    matcher = traced(store, empty_redis, clock)
    await matcher.drivers(dora=1)
    await matcher.request("ride", node=0)
    await matcher.leases.take([("dora", "other")], clock(), 15.0)
    await matcher.service.run_round()
    (trace,) = await matcher.traces("ride")
    assert trace.asked is None
    assert trace.not_chosen == {"lease_held": 1}


async def test_the_trace_of_a_ride_keeps_its_last_rounds_and_ends(store: Any, empty_redis: Redis, clock: Any) -> None:
    matcher = traced(store, empty_redis, clock)
    await matcher.request("ride", node=0)
    for _ in range(ROUNDS_KEPT + 3):
        clock.now_s += 2.0
        await matcher.service.run_round()
        await matcher.service.finish()
    traces = await matcher.traces("ride")
    assert len(traces) == ROUNDS_KEPT
    assert traces[0].at_s == clock.now_s
    assert await empty_redis.ttl(redis_keys.trace("manhattan", "ride")) > 0


async def test_a_policy_that_misbehaves_stops_neither_expiry_nor_the_others(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    class Raises:
        name = "broken"

        def match(self, waiting: Any, supply: Any, params: Any, now_s: float) -> None:
            raise ZeroDivisionError

    matcher = traced(store, empty_redis, clock, policy=Raises())
    await matcher.drivers(dora=1)
    await matcher.request("ride", node=0)
    assert (await matcher.service.run_round()).n_offers == 0
    (trace,) = await matcher.traces("ride")
    assert trace.faults[0].startswith("policy broken: raised ZeroDivisionError")
    clock.now_s += PARAMS.max_wait_s
    assert (await matcher.service.run_round()).n_expired == 1
    await matcher.service.finish()


async def test_the_ride_of_a_driver_who_fell_silent_is_offered_to_another_in_the_same_round(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock)
    await matcher.drivers(dora=1)
    await matcher.request("ride", node=0)
    await matcher.service.run_round()
    offered = await store.find_ride("ride")
    await matcher.rides.handle(accept(offered.offer.offer_id, "dora"))
    await matcher.drivers(dan=5)
    await matcher.service.run_round()
    for _ in range(11):
        clock.now_s += 10.0
        await matcher.place("dan", 5)  # goes on being heard; dora does not
        report = await matcher.service.run_round()
    ride = await store.find_ride("ride")
    assert report.n_offers == 1
    assert (ride.state, ride.offer.driver_id) == (RideState.OFFERED, "dan")
    given_up = [event for event in await history(store) if type(event).__name__ == "AssignmentCancelled"]
    assert [(event.driver_id, event.reason) for event in given_up] == [("dora", "gps_silence")]
    assert check_history(await history(store)).violations == []
