"""One bad ride, driver or event is set aside, named and counted; the round goes on with the others."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from backing.left_out import LeftOut
from backing.outbox.outbox import SqlOutbox
from backing.sql.scripts import Statement, one
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.errors import IllegalMove
from dispatch.matching.guard import TRIES_MAX, decide_safely
from dispatch.matching.optimal import OptimalPolicy
from dispatch.metrics import MatchingMetrics
from dispatch.model import RideState
from dispatch.service.rides import RideService
from kernel.contracts import redis_keys
from tests.dispatch.maps import BEFORE
from tests.dispatch.matching.test_policies import ride, supply
from tests.dispatch.people import PARAMS, accept, arrive, offer, pick_up
from tests.dispatch.test_matching_service import CELLS, Matcher
from tests.dispatch.test_outbox_reader import Matcher as LearningMatcher

pytestmark = pytest.mark.servers

BROKEN_BODIES = [
    "{",
    '{"ride_id": "bad"}',
    "[" * 5_000,
]


class Watched:
    """A matcher whose counts can be read."""

    def __init__(self, store: Any, redis: Any, clock: Any, **parts: Any) -> None:
        self.registry = CollectorRegistry()
        metrics = MatchingMetrics(self.registry)
        self.store = SqlRideStore(store._database, metrics.set_aside)
        supply = RedisSupply(redis, "manhattan", CELLS, LeftOut("driver", metrics.set_aside))
        self.matcher = Matcher(self.store, redis, clock, supply=supply, metrics=metrics, **parts)

    def count(self, kind: str) -> float | None:
        labels = {"region": "manhattan", "kind": kind}
        return self.registry.get_sample_value("hexhail_matching_set_aside_total", labels)

    async def break_row(self, ride_id: str, body: str) -> None:
        """Write into a ride's row what no ride is."""
        statement = Statement("UPDATE rides SET body = ?1 WHERE ride_id = ?2", (body, ride_id))
        await self.store._database.run(lambda: one(statement))


@pytest.fixture
async def watched(store: Any, empty_redis: Redis, clock: Any) -> Watched:
    return Watched(store, empty_redis, clock)


@pytest.mark.parametrize("body", BROKEN_BODIES, ids=["no JSON", "no ride", "nested"])
async def test_a_waiting_ride_that_cannot_be_read_is_named_and_the_others_are_matched(
    watched: Watched, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    matcher = watched.matcher
    await matcher.drivers(dora=2, dan=4)
    await matcher.request("bad", 0)
    await matcher.request("good", 1, "bob")
    await watched.break_row("bad", body)
    for _ in range(2):
        report = await matcher.service.run_round()
    assert await matcher.asked("good") == "dora"
    assert report.n_waiting == 0
    assert watched.count("open ride") == 1.0
    assert capsys.readouterr().out.count("name=bad") == 1


async def test_a_ride_with_a_driver_that_cannot_be_read_stops_neither_the_watch_nor_the_round(
    watched: Watched, clock: Any
) -> None:
    matcher = watched.matcher
    for token, ride_id in enumerate(("bad", "aboard", "silent"), start=1):
        await matcher.drivers(**{f"driver-{ride_id}": 0})
        await matcher.request(ride_id, 0, f"rider-{ride_id}")
        for command in (offer(ride_id, f"driver-{ride_id}", token), accept(f"{ride_id}-{token}", f"driver-{ride_id}")):
            await matcher.rides.handle(command)
    for command in (arrive("aboard", "driver-aboard"), pick_up("aboard", "driver-aboard")):
        await matcher.rides.handle(command)
    await matcher.leases.restore(3)
    await watched.break_row("bad", "{}")
    await watched.break_row("aboard", "{}")
    await matcher.service.run_round()
    clock.now_s += PARAMS.silent_after_s + 10.0
    await matcher.drivers(dan=5)
    await matcher.service.run_round()
    assert await matcher.asked("silent") == "dan"
    assert watched.count("live ride") == 2.0
    assert watched.count("ride aboard") == 1.0


async def test_a_ride_that_cannot_be_taken_back_leaves_the_others_to_be(
    store: Any, empty_redis: Redis, clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unwilling(RideService):
        async def handle(self, command: Any, idempotency: Any = None) -> Any:
            if type(command).__name__ == "TakeBack" and command.ride_id == "bad":
                raise RuntimeError("a row of its driver's cannot be read")
            return await super().handle(command, idempotency)

    watched = Watched(store, empty_redis, clock)
    leases = watched.matcher.leases
    watched = Watched(store, empty_redis, clock, rides=Unwilling(store, leases, PARAMS, clock), leases=leases)
    matcher = watched.matcher
    for token, ride_id in enumerate(("bad", "silent"), start=1):
        await matcher.drivers(**{f"driver-{ride_id}": 0})
        await matcher.request(ride_id, 0, f"rider-{ride_id}")
        for command in (offer(ride_id, f"driver-{ride_id}", token), accept(f"{ride_id}-{token}", f"driver-{ride_id}")):
            await matcher.rides.handle(command)
    await matcher.leases.restore(2)
    await matcher.service.run_round()
    clock.now_s += PARAMS.silent_after_s + 10.0
    await matcher.drivers(dan=5)
    await matcher.service.run_round()
    assert await matcher.asked("silent") == "dan"
    assert (await store.find_ride("bad")).state is RideState.ASSIGNED
    assert watched.count("command") == 1.0
    assert "ride_id=bad" in capsys.readouterr().out


async def test_a_position_that_cannot_be_read_hides_that_driver_alone(watched: Watched) -> None:
    matcher = watched.matcher
    await matcher.drivers(bad=1, dora=3)
    await matcher.redis.hset("{manhattan}:cell:cell-a", "bad", b"\x00" * 23)
    await matcher.request("ride", 0)
    report = await matcher.service.run_round()
    assert (await matcher.asked("ride"), report.n_free) == ("dora", 1)
    assert watched.count("driver") == 1.0


class FailsOn(OptimalPolicy):
    """Raises for some rides, as a policy does that was not made for what they hold."""

    def __init__(self, *ride_ids: str) -> None:
        super().__init__(BEFORE)
        self.ride_ids = set(ride_ids)
        self.runs = 0

    def decide(self, waiting: Any, *others: Any) -> Any:
        self.runs += 1
        if any(ride.ride_id in self.ride_ids for ride in waiting):
            raise ZeroDivisionError
        return super().decide(waiting, *others)


async def test_a_ride_that_the_policy_fails_on_is_left_out_and_the_others_are_matched(
    store: Any, empty_redis: Redis, clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(store, empty_redis, clock, policy=FailsOn("ride-2", "ride-5"))
    matcher = watched.matcher
    await matcher.drivers(**{f"driver-{number}": number for number in range(8)})
    for number in range(8):
        await matcher.request(f"ride-{number}", number, f"rider-{number}")
    report = await matcher.service.run_round()
    assert (report.n_waiting, report.n_offers) == (8, 6)
    assert [number for number in range(8) if await matcher.asked(f"ride-{number}") is None] == [2, 5]
    assert watched.count("policy fault") == 2.0
    said = capsys.readouterr().out
    assert "on ride ride-2, which is left out" in said
    assert "on ride ride-5, which is left out" in said


async def test_a_policy_that_fails_on_every_ride_is_not_tried_for_ever(
    store: Any, empty_redis: Redis, clock: Any
) -> None:
    names = [f"ride-{number}" for number in range(40)]
    policy = FailsOn(*names)
    matcher = Matcher(store, empty_redis, clock, policy=policy)
    await matcher.drivers(dora=0)
    for name in names:
        await matcher.request(name, 0, f"rider-of-{name}")
    report = await matcher.service.run_round()
    assert (report.n_waiting, report.n_offers) == (40, 0)
    assert policy.runs <= TRIES_MAX + 1


async def test_an_event_that_cannot_be_read_or_learned_from_costs_no_other(
    store: Any, rides: Any, empty_redis: Redis, clock: Any
) -> None:
    class Learner:
        observed_events = (object,)

        def __init__(self) -> None:
            self.seen: list[tuple[str, int]] = []

        def observe(self, event: Any) -> None:
            if event.sequence == 2:
                raise IllegalMove(event.ride_id, RideState.REQUESTED, "learning")
            self.seen.append((event.ride_id, event.sequence))

    learner = Learner()
    matcher = LearningMatcher(store, empty_redis, clock, learner)
    for ride_id in ("one", "two", "three"):
        await Matcher(store, empty_redis, clock, rides=rides).request(ride_id, 0, f"rider-{ride_id}")
    await Matcher(store, empty_redis, clock, rides=rides).drivers(dora=0)
    await rides.handle(offer("one", "dora", 1))
    await rides.handle(accept("one-1"))
    await SqlOutbox(store._database).unpublished(100)
    broken = Statement("UPDATE outbox_rows SET payload = '{' WHERE key = ?1", ("two",))
    await store._database.run(lambda: one(broken))
    await matcher.reader.start()
    for _ in range(2):
        await matcher.reader.catch_up()
    assert learner.seen == [("one", 1), ("three", 1), ("one", 3)]


def test_a_round_without_a_bad_ride_is_decided_once() -> None:
    policy = FailsOn()
    assert decide_safely(policy, [ride("one", 0)], supply(dora=(0, 4)), PARAMS, 0.0).faults == ()
    assert policy.runs == 1


async def test_a_lease_that_is_none_holds_nobody_and_fails_no_other(watched: Watched) -> None:
    matcher = watched.matcher
    await matcher.drivers(dora=1, dan=4)
    await matcher.request("one", 0)
    await matcher.request("two", 5, "bob")
    await matcher.redis.set(redis_keys.driver_lease("manhattan", "dora"), "mine")
    await matcher.service.run_round()
    assert [await matcher.asked("one"), await matcher.asked("two")] == ["dora", "dan"]
