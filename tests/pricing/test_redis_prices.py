"""The stored prices, on a real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from kernel.contracts import redis_keys
from pricing.adapters.redis_prices import RedisPrices
from pricing.errors import PricerSuperseded
from pricing.model.surge import SurgeParams

pytestmark = pytest.mark.servers

NOW_S = 1_400_000_000.0
CELL, OTHER_CELL = 0x882A100D61FFFFF, 0x882A100D63FFFFF
EPOCH = 7
PARAMS = SurgeParams(price_life_s=300.0)


async def test_a_price_is_read_as_it_was_written_and_fades_by_its_life(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({CELL: 1.2345678901234567}, NOW_S, EPOCH)
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
    await prices.write({OTHER_CELL: 1.5, CELL: 2.0}, NOW_S, EPOCH)
    read = await prices.read_many([CELL, 7, OTHER_CELL], NOW_S)
    assert [(price.cell, price.multiplier) for price in read] == [(CELL, 2.0), (7, 1.0), (OTHER_CELL, 1.5)]
    assert await prices.read_many([], NOW_S) == []


async def test_prices_lie_where_the_architecture_says(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({CELL: 1.5}, NOW_S, EPOCH)
    assert await empty_redis.hgetall(redis_keys.surge("grid")) == {
        b"882a100d61fffff": b"1.5|1400000000000",
        b"epoch": b"7",
    }


async def test_while_prices_are_frozen_all_read_as_the_base_whatever_is_written(empty_redis: Redis) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({CELL: 1.5}, NOW_S, EPOCH)
    await prices.set_frozen(is_frozen=True)
    await prices.write({OTHER_CELL: 2.0}, NOW_S, EPOCH)
    assert [price.multiplier for price in await prices.read_many([CELL, OTHER_CELL], NOW_S)] == [1.0, 1.0]
    await prices.set_frozen(is_frozen=False)
    assert (await prices.read(OTHER_CELL, NOW_S)).multiplier == 2.0


async def test_what_a_superseded_pricer_writes_is_refused_and_changes_nothing(empty_redis: Redis) -> None:
    """A process that was paused and replaced wrote its old price over the newer one before."""
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({CELL: 2.0}, NOW_S, EPOCH + 1)
    for write in (
        prices.write({CELL: 1.1}, NOW_S + 1.0, EPOCH),
        prices.set_frozen(is_frozen=True, epoch=EPOCH),
    ):
        with pytest.raises(PricerSuperseded, match=f"epoch {EPOCH}"):
            await write
    assert (await prices.read(CELL, NOW_S)).multiplier == 2.0
    await prices.set_frozen(is_frozen=True)
    await prices.set_frozen(is_frozen=False, epoch=EPOCH + 1)
    assert (await prices.read(CELL, NOW_S)).multiplier == 2.0


@pytest.mark.parametrize("garbage", [b"dear", b"nan|1400000000000", b"\xff|x", b""])
async def test_what_is_no_price_costs_the_base_there_and_nothing_elsewhere(empty_redis: Redis, garbage: bytes) -> None:
    prices = RedisPrices(empty_redis, "grid", PARAMS)
    await prices.write({OTHER_CELL: 1.5}, NOW_S, EPOCH)
    await empty_redis.hset(redis_keys.surge("grid"), "882a100d61fffff", garbage)
    assert [price.multiplier for price in await prices.read_many([CELL, OTHER_CELL], NOW_S)] == [1.0, 1.5]
