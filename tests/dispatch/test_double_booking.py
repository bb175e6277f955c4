"""A city that fails at every step, over the real scripts and leases: nobody is booked twice, nothing is lost.

`python -m benchmarks machine` takes a million of these steps.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from benchmarks.dispatch.failing_city import DRIVERS, PARAMS, RIDERS, MachineCity
from benchmarks.dispatch.machine import PLANTED, DrawnSteps
from dispatch import commands as cmd
from dispatch.adapters.redis_leases import RedisLeases
from dispatch.model import Party, ShiftStatus
from simulator.service.leases import FenceLost, Leases

A_DRIVER = st.sampled_from(DRIVERS)
WHICH = st.integers(0, 7)
STEP = st.sampled_from([cmd.ReportArrival, cmd.ReportPickup, cmd.ReportDropoff])


class AnyOrder(RuleBasedStateMachine):
    """What `DrawnSteps` draws, chosen by hypothesis, so that a failure comes with the shortest way to it."""

    def __init__(self) -> None:
        super().__init__()
        self.city = MachineCity()

    def _ride(self, which: Any) -> Any:
        rides = self.city.ride_ids
        return rides[which % len(rides)] if rides else "none"

    def _offer(self, which: Any) -> Any:
        offers = self.city.offers
        return offers[-1 - which % len(offers)] if offers else ("none", DRIVERS[0])

    @rule(rider=st.sampled_from(RIDERS), is_repeat=st.booleans())
    def ask(self, rider: Any, is_repeat: Any) -> None:
        self.city.begin(self.city.request(rider, is_repeat=is_repeat))

    @rule(which=WHICH, driver=A_DRIVER)
    def match(self, which: Any, driver: Any) -> None:
        self.city.begin(self.city.match(self._ride(which), driver))

    @rule(which=WHICH, driver=A_DRIVER)
    def decide_an_offer_and_sleep(self, which: Any, driver: Any) -> None:
        ride_id = self._ride(which)
        late = cmd.SendOffer(ride_id, driver, 0, 60.0)
        if ride_id in self.city.history.rides:
            self.city.begin(self.city.stale(late, token_for=(driver, ride_id)))

    @rule(which=WHICH, answer=st.sampled_from([cmd.AcceptOffer, cmd.AcceptOffer, cmd.DeclineOffer]))
    def answer(self, which: Any, answer: Any) -> None:
        self.city.begin(self.city.say(answer(*self._offer(which))))

    @rule(which=WHICH, step=STEP)
    def go_on(self, which: Any, step: Any) -> None:
        ride = self.city.history.rides.get(self._ride(which))
        if ride is not None:
            self.city.begin(self.city.say(step(ride.ride_id, ride.driver_id or DRIVERS[0])))

    @rule(which=WHICH, by=st.sampled_from([Party.RIDER, Party.DRIVER]))
    def cancel(self, which: Any, by: Any) -> None:
        ride = self.city.history.rides.get(self._ride(which))
        if ride is not None:
            who = ride.rider_id if by is Party.RIDER else ride.driver_id or DRIVERS[0]
            self.city.begin(self.city.say(cmd.CancelRide(ride.ride_id, by, who)))

    @rule(which=WHICH)
    def expire(self, which: Any) -> None:
        if self.city.ride_ids:
            self.city.begin(self.city.expire(self._ride(which)))

    @rule(driver=A_DRIVER, status=st.sampled_from(ShiftStatus))
    def change_shift(self, driver: Any, status: Any) -> None:
        self.city.set_shift(driver, status)

    @rule()
    def relay(self) -> None:
        self.city.begin(self.city.relay())

    @rule(which=WHICH)
    def wake(self, which: Any) -> None:
        self.city.advance(which)

    @rule(which=WHICH)
    def run_to_the_end(self, which: Any) -> None:
        for _ in range(3):
            self.city.advance(which)

    @rule(which=WHICH)
    def crash(self, which: Any) -> None:
        self.city.crash(which)

    @rule(seconds=st.sampled_from([0.1, 1.0, PARAMS.offer_ttl_s]))
    def wait(self, seconds: Any) -> None:
        self.city.wait(seconds)

    @rule()
    def lose_redis(self) -> None:
        self.city.lose_redis()

    @invariant()
    def nothing_is_violated(self) -> None:
        assert self.city.violations == []

    def teardown(self) -> None:
        self.city.settle()
        assert self.city.violations == []


def test_no_order_of_steps_and_failures_breaks_an_invariant() -> None:
    limits = settings(
        max_examples=40,
        stateful_step_count=50,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(AnyOrder, settings=limits)


def test_thousands_of_drawn_steps_violate_nothing_and_do_happen() -> None:
    city = MachineCity()
    assert DrawnSteps(city, seed=2).run(20_000) >= 20_000
    assert city.violations == []
    assert city.events > 1_000


def test_the_same_seed_takes_the_same_steps() -> None:
    first, again = MachineCity(), MachineCity()
    for city in (first, again):
        DrawnSteps(city, seed=3).run(3_000)
    assert (first.events, first.rides, first.now_s) == (again.events, again.rides, again.now_s)
    assert first.history.rides == again.history.rides


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_caught(name: str) -> None:
    with PLANTED[name]() as city:
        DrawnSteps(city, seed=1).run(40_000)
    assert city.violations


@pytest.mark.servers
async def test_leases_in_memory_say_what_the_server_says(empty_redis: Redis) -> None:
    """A thousand steps of both: takes, releases with right and wrong tokens, restores, and losses."""
    rng = random.Random(1)
    twin = Leases(15.0)

    async def newest_token() -> Any:
        return 0

    server = RedisLeases(empty_redis, "town", newest_token)
    await server.restore(0)
    now_s, newest = 100.0, 0
    for _ in range(1_000):
        driver_id, ride_id = rng.choice("abc"), rng.choice("xyz")
        kind = rng.choices(["take", "release", "wait", "restore", "lose"], [50, 25, 20, 3, 2])[0]
        if kind == "take":
            (expected,) = await server.take([(driver_id, ride_id)], now_s, 15.0)
            try:
                token = twin.take(driver_id, ride_id, now_s)
            except FenceLost:
                twin.restore(0)
                token = twin.take(driver_id, ride_id, now_s)
            assert token == expected
            newest = token or newest
        elif kind == "release":
            token = rng.choice([newest, newest - 1, newest + 1])
            await server.release(driver_id, ride_id, token)
            twin.release(driver_id, ride_id, token)
        elif kind == "wait":
            now_s += rng.choice([0.001, 1.0, 14.999, 15.0])
        elif kind == "restore":
            await server.restore(newest + 2)
            twin.restore(newest + 2)
        else:
            await empty_redis.flushall()
            twin.lose()
