"""The stored prices and the count of consumed events, on a real server that dies and returns."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import pytest
import redis.exceptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from pricing.adapters.redis_prices import SEEN_LIFE_S, RedisPrices
from pricing.model import SurgeParams
from pricing.ports import ConsumedEvent

if TYPE_CHECKING:
    from conftest import ValkeyServer

T = TypeVar("T")

pytestmark = pytest.mark.servers

NOW_S = 1_400_000_000.0
CELL, OTHER_CELL = 0x882A100D61FFFFF, 0x882A100D63FFFFF
PARAMS = SurgeParams(price_life_s=300.0)


def events(*pairs: tuple[str, int], at_s: float = NOW_S) -> list[ConsumedEvent]:
    return [ConsumedEvent(ride_id, sequence, at_s) for ride_id, sequence in pairs]


async def consumed(client: Redis, region_id: str = "grid") -> int:
    return int(await client.hget(f"{{{region_id}}}:totals", "ride_events_consumed") or 0)


async def eventually(attempt: Callable[[], Awaitable[T]]) -> T:
    """Attempt again while the connection is gone, as the agent does."""
    for _ in range(100):
        try:
            return await attempt()
        except redis.exceptions.ConnectionError:
            await asyncio.sleep(0.05)
    raise TimeoutError("the server did not return")


async def test_a_price_is_read_as_it_was_written_and_fades_by_its_life(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({CELL: 1.2345678901234567}, NOW_S)
    price = await prices.read(CELL, NOW_S + 100.0)
    assert (price.multiplier, price.updated_s) == (1.2345678901234567, NOW_S)
    assert 1.0 < (await prices.read(CELL, NOW_S + 200.0)).multiplier < price.multiplier
    stale = await prices.read(CELL, NOW_S + 300.0)
    assert (stale.multiplier, stale.updated_s) == (1.0, NOW_S)


async def test_a_cell_that_was_never_priced_costs_its_base(empty_redis: Redis) -> None:
    price = await RedisPrices(empty_redis, "grid", PARAMS).read(CELL, NOW_S)
    assert (price.multiplier, price.updated_s) == (1.0, None)


async def test_many_cells_are_read_in_their_order(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({OTHER_CELL: 1.5, CELL: 2.0}, NOW_S)
    read = await prices.read_many([CELL, 7, OTHER_CELL], NOW_S)
    assert [(price.cell, price.multiplier) for price in read] == [(CELL, 2.0), (7, 1.0), (OTHER_CELL, 1.5)]
    assert await prices.read_many([], NOW_S) == []


async def test_prices_lie_where_the_architecture_says(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({CELL: 1.5}, NOW_S)
    await prices.count(events(("ride", 4)))
    assert await empty_redis.hgetall("{grid}:surge") == {b"882a100d61fffff": b"1.5|1400000000000"}
    assert await empty_redis.hgetall("{grid}:pricing:seen") == {b"ride": b"4"}
    assert await empty_redis.hgetall("{grid}:totals") == {b"ride_events_consumed": b"1"}


async def test_each_event_counts_once(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    assert await prices.count(events(("a", 1), ("a", 2), ("b", 1), ("a", 2))) == 3
    assert await prices.count(events(("a", 1), ("a", 2), ("b", 1))) == 0
    assert await prices.count(events(("a", 2), ("a", 3), ("b", 1), ("c", 9))) == 2
    assert await consumed(empty_redis) == 5


async def test_regions_are_counted_apart(empty_redis: Redis) -> None:
    await RedisPrices(empty_redis, "grid", PARAMS).count(events(("a", 1)))
    assert await RedisPrices(empty_redis, "other", PARAMS).count(events(("a", 1))) == 1
    assert await consumed(empty_redis) == await consumed(empty_redis, "other") == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.data())
async def test_batches_cut_and_rewound_anywhere_count_each_event_once(
    empty_redis: Redis, rides: list[str], data: st.DataObject
) -> None:
    await empty_redis.flushall()
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    log = events(*((ride, rides[: place + 1].count(ride)) for place, ride in enumerate(rides)))
    end = 0
    while end < len(log):
        start, end = data.draw(st.integers(0, end)), data.draw(st.integers(end + 1, len(log)))
        await prices.count(log[start:end])
    assert await consumed(empty_redis) == len(log)


async def test_a_ride_long_silent_is_forgotten_and_its_memory_given_back(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.count(events(("old", 1), ("living", 1)))
    await prices.count(events(("living", 2), at_s=NOW_S + SEEN_LIFE_S / 2))
    await prices.count(events(("new", 1), at_s=NOW_S + SEEN_LIFE_S))
    assert await empty_redis.hkeys("{grid}:pricing:seen") == [b"old", b"living", b"new"]
    await prices.count(events(("new", 2), at_s=NOW_S + SEEN_LIFE_S + 1.0))
    assert sorted(await empty_redis.hkeys("{grid}:pricing:seen")) == [b"living", b"new"]
    assert await empty_redis.zcard("{grid}:pricing:seen_at") == 2


async def test_a_large_batch_is_one_call(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    assert await prices.count(events(*((f"ride{number}", 1) for number in range(5_000)))) == 5_000


async def test_an_error_of_the_server_is_not_taken_for_a_missing_function(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await empty_redis.set("{grid}:pricing:seen", "not a hash")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        await prices.count(events(("a", 1)))


async def test_after_a_kill_with_its_data_the_server_counts_on_and_repeats_nothing(mortal_valkey: ValkeyServer) -> None:
    log = events(*((f"ride{number}", 1) for number in range(100)))
    async with Redis.from_url(mortal_valkey.url) as client:
        prices = RedisPrices(client, "grid", PARAMS)
        await prices.write({CELL: 1.5}, NOW_S)
        assert await prices.count(log[:60]) == 60
        mortal_valkey.kill()
        with pytest.raises(redis.exceptions.ConnectionError):
            await prices.count(log)
        mortal_valkey.start()
        assert await eventually(lambda: prices.count(log)) == 40
        assert await consumed(client) == 100
        assert (await prices.read(CELL, NOW_S)).multiplier == 1.5


async def test_after_a_kill_without_its_data_the_function_is_loaded_anew_and_prices_are_base(
    mortal_valkey: ValkeyServer,
) -> None:
    async with Redis.from_url(mortal_valkey.url) as client:
        prices = RedisPrices(client, "grid", PARAMS)
        await prices.write({CELL: 1.5}, NOW_S)
        await prices.count(events(("a", 1)))
        mortal_valkey.kill()
        shutil.rmtree(mortal_valkey.folder)
        mortal_valkey.start()
        assert (await eventually(lambda: prices.read(CELL, NOW_S))).multiplier == 1.0
        assert await prices.count(events(("a", 2), ("b", 1))) == 2
        assert await consumed(client) == 2


async def test_another_version_of_the_library_is_replaced(empty_redis: Redis) -> None:
    old = "#!lua name=hexhail_prices\nredis.register_function('hexhail_prices_of_old', function() return 1 end)"
    await empty_redis.function_load(old)
    assert await RedisPrices(empty_redis, "grid", PARAMS).count(events(("a", 1))) == 1
