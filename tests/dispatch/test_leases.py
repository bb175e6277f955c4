"""Leases in a real server: one winner, an end, tokens that grow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from dispatch.adapters.redis_leases import RedisLeases
from tests.dispatch.people import MemoryLeases

pytestmark = pytest.mark.servers


class Sql:
    """The newest token that SQL knows."""

    def __init__(self) -> None:
        self.newest = 0

    async def __call__(self) -> Any:
        return self.newest


@pytest.fixture
def sql() -> Any:
    return Sql()


@pytest.fixture(params=["redis", "memory"])
def leases(request: pytest.FixtureRequest, sql: Any) -> Any:
    """The real ones, and those that other tests use in their place."""
    if request.param == "memory":
        return MemoryLeases()
    return RedisLeases(request.getfixturevalue("empty_redis"), "manhattan", sql)


@pytest.fixture
def redis_leases(empty_redis: Redis, sql: Any) -> Any:
    return RedisLeases(empty_redis, "manhattan", sql)


async def test_a_driver_and_a_ride_are_held_by_one_lease_each(leases: Any) -> None:
    pairs = [("dora", "one"), ("dora", "two"), ("dan", "one"), ("dan", "two")]
    assert await leases.take(pairs, 0.0, 15.0) == [1, None, None, 2]
    assert await leases.take(pairs, 14.9, 15.0) == [None] * 4


async def test_a_lease_ends_by_the_time_that_the_taker_brings(leases: Any) -> None:
    assert await leases.take([("dora", "one")], 100.0, 15.0) == [1]
    assert await leases.take([("dora", "one")], 114.999, 15.0) == [None]
    assert await leases.take([("dora", "two")], 115.0, 15.0) == [2]
    assert await leases.take([("dan", "one")], 90.0, 15.0) == [None]  # a clock that is behind frees nothing


async def test_tokens_grow_whoever_takes_them(leases: Any) -> None:
    taken = [(await leases.take([(f"driver{n % 3}", f"ride{n}")], n * 100.0, 15.0))[0] for n in range(10)]
    assert taken == sorted(set(taken))


async def test_a_lease_is_given_free_by_its_own_token_only(leases: Any) -> None:
    (token,) = await leases.take([("dora", "one")], 0.0, 15.0)
    await leases.release("dora", "one", token + 1)
    assert await leases.take([("dora", "one")], 1.0, 15.0) == [None]
    await leases.release("dora", "one", token)
    (again,) = await leases.take([("dora", "one")], 2.0, 15.0)
    assert again > token
    await leases.release("dora", "one", token)  # late: somebody else holds it by now
    assert await leases.take([("dora", "two")], 3.0, 15.0) == [None]


async def test_of_many_who_take_at_once_one_wins(empty_redis: Redis, sql: Any) -> None:
    takers = [RedisLeases(empty_redis, "manhattan", sql) for _ in range(10)]
    taken = await asyncio.gather(*(taker.take([("dora", "one")], 0.0, 15.0) for taker in takers))
    assert [tokens for tokens in taken if tokens != [None]] == [[1]]


async def test_regions_have_fences_of_their_own(empty_redis: Redis, sql: Any) -> None:
    for region_id in ("manhattan", "queens"):
        assert await RedisLeases(empty_redis, region_id, sql).take([("dora", "one")], 0.0, 15.0) == [1]


async def test_a_lost_fence_comes_back_above_the_newest_token_of_sql(
    redis_leases: Any, empty_redis: Redis, sql: Any
) -> None:
    await redis_leases.take([(f"driver{n}", f"ride{n}") for n in range(5)], 0.0, 15.0)
    sql.newest = 41
    await empty_redis.flushall()
    assert await redis_leases.take([("dora", "one"), ("dan", "two")], 0.0, 15.0) == [42, 43]


async def test_restoring_never_moves_the_fence_back(leases: Any) -> None:
    await leases.restore(10)
    assert await leases.take([("dora", "one")], 0.0, 15.0) == [11]
    await leases.restore(5)
    assert await leases.take([("dan", "two")], 0.0, 15.0) == [12]


async def test_nothing_to_take_takes_nothing(leases: Any) -> None:
    assert await leases.take([], 0.0, 15.0) == []
