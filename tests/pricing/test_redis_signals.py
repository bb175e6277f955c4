"""Demand counts and deduplication on a real Redis server that is killed and restarted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest
import redis.exceptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from kernel.contracts import redis_keys
from pricing.adapters.redis_signals import RIDES_SEEN_LIFE_S, RedisSignals
from pricing.commands import CountQuote, CountRequest, Signal
from pricing.ports import KeyedSignal

if TYPE_CHECKING:
    from tests.pricing.conftest import ValkeyServer

T = TypeVar("T")

pytestmark = pytest.mark.servers

NOW_S = 1_400_000_000.0
HALF_LIFE_S = 300.0
CELLS = np.array([0x882A100D61FFFFF, 0x882A100D63FFFFF, 0x882A100D65FFFFF], dtype=np.uint64)


def signals(client: Redis, region_id: str = "grid") -> RedisSignals:
    return RedisSignals(client, region_id, CELLS, HALF_LIFE_S)


def requests(*pairs: tuple[str, int], at_s: float = NOW_S, cell_index: int = 0) -> list[KeyedSignal]:
    return [KeyedSignal(ride_id, sequence, at_s, CountRequest(cell_index, at_s)) for ride_id, sequence in pairs]


async def consumed(client: Redis, region_id: str = "grid") -> int:
    return int(await client.hget(redis_keys.totals(region_id), redis_keys.RIDE_EVENTS_CONSUMED) or 0)


async def eventually(attempt: Callable[[], Awaitable[T]]) -> T:
    """Attempt again while the connection is gone, as the agent does."""
    for _ in range(100):
        try:
            return await attempt()
        except redis.exceptions.ConnectionError:
            await asyncio.sleep(0.05)
    raise TimeoutError("the server did not return")


async def test_what_is_kept_lies_where_the_architecture_says(empty_redis: Redis) -> None:
    kept = signals(empty_redis)
    await kept.count_rides(requests(("ride", 1)))
    await kept.count_rides([KeyedSignal("ride", 4, NOW_S, None)])
    await kept.count_quotes([KeyedSignal("rider|1|0", 1, NOW_S, CountQuote(1, NOW_S))])
    assert await empty_redis.hgetall(redis_keys.requests("grid")) == {b"882a100d61fffff": b"1|1400000000000"}
    assert await empty_redis.hgetall(redis_keys.quotes("grid")) == {b"882a100d63fffff": b"1|1400000000000"}
    assert await empty_redis.hgetall(redis_keys.rides_counted("grid")) == {b"ride": b"4"}
    assert await empty_redis.hgetall(redis_keys.quotes_counted("grid")) == {b"rider|1|0": b"1"}
    assert await empty_redis.hgetall(redis_keys.totals("grid")) == {
        b"ride_events_consumed": b"2",
        b"quotes_consumed": b"1",
    }
    assert np.asarray((await kept.read(NOW_S)).requests).tolist() == [1.0, 0.0, 0.0]


async def test_each_event_counts_once_and_the_new_ones_are_named(empty_redis: Redis) -> None:
    kept = signals(empty_redis)
    assert await kept.count_rides(requests(("a", 1), ("a", 2), ("b", 1), ("a", 2))) == [0, 1, 2]
    assert await kept.count_rides(requests(("a", 1), ("a", 2), ("b", 1))) == []
    assert await kept.count_rides(requests(("a", 2), ("a", 3), ("b", 1), ("c", 9))) == [1, 3]
    assert await consumed(empty_redis) == 5


async def test_counts_decay_by_the_time_of_the_events_in_whatever_order_they_come(empty_redis: Redis) -> None:
    in_time, late = signals(empty_redis, "one"), signals(empty_redis, "other")
    log = [request for age_s in (900.0, 600.0, 0.0) for request in requests((f"r{age_s}", 1), at_s=NOW_S - age_s)]
    await in_time.count_rides(log)
    for heard in (log[2], log[0], log[1]):
        await late.count_rides([heard])
    for kept in (in_time, late):
        assert np.asarray((await kept.read(NOW_S + 300.0)).requests) == pytest.approx(
            [0.5 * (1.0 + 0.25 + 0.125), 0, 0]
        )


async def test_regions_are_counted_apart(empty_redis: Redis) -> None:
    await signals(empty_redis).count_rides(requests(("a", 1)))
    assert await signals(empty_redis, "other").count_rides(requests(("a", 1))) == [0]
    assert await consumed(empty_redis) == await consumed(empty_redis, "other") == 1


drawn_signals = st.none() | st.builds(CountRequest, st.integers(0, 2), st.just(0.0))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), drawn_signals), min_size=1, max_size=20), st.data())
async def test_batches_cut_and_rewound_anywhere_change_nothing(
    empty_redis: Redis, history: list[tuple[str, Signal | None]], data: st.DataObject
) -> None:
    await empty_redis.flushall()
    plain, rewound = signals(empty_redis, "plain"), signals(empty_redis, "rewound")
    rides = [ride for ride, _ in history]
    log = [
        KeyedSignal(ride, rides[: place + 1].count(ride), NOW_S + 7.0 * place, signal)
        for place, (ride, signal) in enumerate(history)
    ]
    await plain.count_rides(log)
    end = 0
    while end < len(log):
        start, end = data.draw(st.integers(0, end)), data.draw(st.integers(end + 1, len(log)))
        await rewound.count_rides(log[start:end])
    assert await consumed(empty_redis, "rewound") == len(log)
    once, again = await plain.read(NOW_S + 200.0), await rewound.read(NOW_S + 200.0)
    assert (once.requests == again.requests).all()


async def test_a_ride_long_silent_is_forgotten_and_its_memory_given_back(empty_redis: Redis) -> None:
    kept = signals(empty_redis)
    await kept.count_rides([KeyedSignal("old", 1, NOW_S, None), *requests(("living", 1))])
    await kept.count_rides(requests(("living", 2), at_s=NOW_S + RIDES_SEEN_LIFE_S / 2))
    await kept.count_rides(requests(("new", 1), at_s=NOW_S + RIDES_SEEN_LIFE_S))
    assert await empty_redis.hkeys(redis_keys.rides_counted("grid")) == [b"old", b"living", b"new"]
    await kept.count_rides(requests(("new", 2), at_s=NOW_S + RIDES_SEEN_LIFE_S + 1.0))
    assert sorted(await empty_redis.hkeys(redis_keys.rides_counted("grid"))) == [b"living", b"new"]
    assert await empty_redis.zcard(redis_keys.rides_counted_at("grid")) == 2


async def test_a_large_batch_is_one_call(empty_redis: Redis) -> None:
    log = requests(*((f"ride{number}", 1) for number in range(5_000)))
    assert await signals(empty_redis).count_rides(log) == list(range(5_000))


async def test_an_error_of_the_server_is_not_taken_for_a_missing_function(empty_redis: Redis) -> None:
    await empty_redis.set(redis_keys.rides_counted("grid"), "not a hash")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        await signals(empty_redis).count_rides(requests(("a", 1)))


async def test_after_a_kill_with_its_data_the_server_counts_on_and_repeats_nothing(mortal_valkey: ValkeyServer) -> None:
    log = requests(*((f"ride{number}", 1) for number in range(100)))
    async with Redis.from_url(mortal_valkey.url) as client:
        kept = signals(client)
        await kept.count_rides(log[:60])
        mortal_valkey.kill()
        with pytest.raises(redis.exceptions.ConnectionError):
            await kept.count_rides(log)
        mortal_valkey.start()
        assert await eventually(lambda: kept.count_rides(log)) == list(range(60, 100))
        assert np.asarray((await kept.read(NOW_S)).requests).tolist() == [100.0, 0.0, 0.0]


async def test_after_a_kill_without_its_data_the_function_is_loaded_anew(mortal_valkey: ValkeyServer) -> None:
    async with Redis.from_url(mortal_valkey.url) as client:
        kept = signals(client)
        await kept.count_rides(requests(("a", 1)))
        mortal_valkey.kill()
        shutil.rmtree(mortal_valkey.folder)
        mortal_valkey.start()
        assert await eventually(lambda: kept.count_rides(requests(("a", 2), ("b", 1)))) == [0, 1]
        assert await consumed(client) == 2


async def test_what_is_no_count_begins_anew_and_the_others_are_counted(empty_redis: Redis) -> None:
    names = ["882a100d61fffff", "882a100d63fffff", "882a100d65fffff"]
    counted = signals(empty_redis)
    await counted.count_rides(requests(("before", 1), cell_index=1))
    await empty_redis.hset(redis_keys.requests("grid"), mapping={names[0]: "many", names[2]: "two|soon"})
    await empty_redis.hset(redis_keys.rides_counted("grid"), "bad", "first")
    assert (await counted.read(NOW_S)).requests.tolist() == [0.0, 1.0, 0.0]
    batch = [*requests(("bad", 1)), *requests(("good", 1), cell_index=1), *requests(("third", 1), cell_index=2)]
    assert await counted.count_rides(batch) == [0, 1, 2]
    assert (await counted.read(NOW_S)).requests.tolist() == [1.0, 2.0, 1.0]
