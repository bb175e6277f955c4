"""Operators are told of swarms of riders and drivers at one point, and not of honest crowds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from api.abuse.redis_counts import RedisPersonCounts, read_flags
from dispatch.model import LimitParams
from dispatch.ports import FreeDriver
from kernel.points import Point
from workflows.limits import DriverSwarms, Flag, RiderLimits, point_name

pytestmark = pytest.mark.servers

GATE = Point(40.75, -73.99)
#: Answered three offers and more, and took none.
NEVER = FreeDriver(4, 0.0, offers_accepted=0, offers_answered=5)


@pytest.fixture
def counts(empty_redis: Redis) -> RedisPersonCounts:
    return RedisPersonCounts(empty_redis, "manhattan")


async def ask(counts: RedisPersonCounts, redis: Any, asked_s: list[float], share_who_request: float) -> list[Flag]:
    """Riders ask at one gate at these times, and a share of them requests ten seconds later; returns the flags."""
    limits, rng = RiderLimits(LimitParams(), counts, lambda city_s: city_s), np.random.default_rng(1)
    steps = [(at_s, f"rider{number}", False) for number, at_s in enumerate(asked_s)]
    steps += [(at_s + 10.0, rider_id, True) for at_s, rider_id, _ in steps if rng.random() < share_who_request]
    for at_s, rider_id, is_request in sorted(steps):
        if is_request:
            await limits.answer_quote(rider_id, f"q-{rider_id}", GATE, at_s)
        else:
            await limits.take_quote(rider_id, f"q-{rider_id}", GATE, at_s)
    return await read_flags(redis, "manhattan", 100)


#: A hundred at once when the doors open, then two a second for five minutes.
STADIUM = [1_000.0 + number / 100.0 for number in range(100)] + [1_001.0 + number / 2.0 for number in range(600)]


async def test_a_crowd_that_leaves_a_stadium_by_one_gate_is_not_flagged(counts: Any, empty_redis: Redis) -> None:
    assert await ask(counts, empty_redis, STADIUM, share_who_request=0.5) == []


async def test_riders_who_ask_at_one_point_and_never_request_are_flagged(counts: Any, empty_redis: Redis) -> None:
    (flag,) = await ask(counts, empty_redis, STADIUM, share_who_request=0.0)
    assert (flag.kind, flag.subject) == ("swarm", point_name(GATE))
    assert flag.count >= LimitParams().swarm_riders
    assert flag.at_s <= STADIUM[0] + LimitParams().swarm_decision_s + 1.0


async def test_riders_who_ask_again_and_again_are_no_newcomers(counts: Any, empty_redis: Redis) -> None:
    limits = RiderLimits(LimitParams(unanswered_quotes_max=0), counts, lambda city_s: city_s)
    for at_s in range(0, 120, 10):
        for number in range(20):
            await limits.take_quote(f"rider{number}", f"q{at_s}-{number}", GATE, 1_000.0 + at_s)
    assert [(flag.kind, flag.count) for flag in await read_flags(empty_redis, "manhattan", 10)] == [("swarm", 20)]


@pytest.mark.parametrize(
    ("drivers", "flagged"),
    [
        ([(GATE, NEVER)] * 8, [8]),
        ([(GATE, NEVER)] * 7, []),
        ([(Point(40.75 + 0.0002 * row, -73.99), NEVER) for row in range(30)], []),
        ([(GATE, FreeDriver(4, 0.0))] * 30, []),
        ([(GATE, FreeDriver(4, 0.0, offers_accepted=1, offers_answered=9))] * 30, []),
        ([(GATE, FreeDriver(4, 0.0, offers_answered=2))] * 30, []),
    ],
    ids=["swarm", "fewer", "spread out", "a rank nobody was asked at", "a rank of choosy drivers", "asked twice"],
)
async def test_drivers_at_one_point_who_never_take_an_offer_are_flagged_and_a_taxi_rank_is_not(
    counts: Any, empty_redis: Redis, drivers: Any, flagged: list[int]
) -> None:
    async def idle_drivers() -> Any:
        return drivers

    await DriverSwarms(LimitParams(), counts, idle_drivers, lambda: 1_000.0).look()
    found = [(flag.kind, flag.subject, flag.count) for flag in await read_flags(empty_redis, "manhattan", 100)]
    assert found == [("driver_swarm", point_name(GATE), count) for count in flagged]


@pytest.mark.parametrize("wrong", [{"swarm_drivers": -1}, {"swarm_requests_share_max": 1.5}, {"swarm_offers_min": 0}])
def test_thresholds_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LimitParams(**wrong)
