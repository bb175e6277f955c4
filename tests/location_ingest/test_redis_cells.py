"""The guard in the server itself: whoever writes, and in whatever order, the newest position of each driver stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.model import CellPosition, Reason

pytestmark = pytest.mark.servers

CELLS = ["892a100d2c3ffff", "892a100d2c7ffff", "892a100d2cbffff"]


def at(driver_id: str, t_ms: int, cell: int) -> CellPosition:
    return CellPosition(driver_id, t_ms, CELLS[cell], f"{driver_id}@{t_ms}".encode())


@pytest.fixture
async def redis(valkey) -> AsyncIterator[Redis]:
    client = Redis(port=valkey.port, db=3)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def cells(redis) -> RedisCells:
    return RedisCells(redis)


async def test_an_older_position_never_overwrites_a_newer_one(redis, cells):
    other = RedisCells(redis)
    assert await cells.put("r", [at("d", 2_000, 1)], {}) == 1
    assert await other.put("r", [at("d", 1_000, 0)], {}) == 0
    assert await other.put("r", [at("d", 2_000, 2)], {}) == 0
    assert await cells.read("r", CELLS) == {"d": b"d@2000"}
    assert await redis.hget("{r}:index", "d") == f"{CELLS[1]}|2000".encode()
    assert await cells.last_times_s("r", ["d", "nobody"]) == {"d": 2.0}


async def test_a_moving_driver_leaves_the_old_cell(cells):
    await cells.put("r", [at("d", 1_000, 0)], {})
    await cells.put("r", [at("d", 2_000, 1)], {})
    assert await cells.read("r", [CELLS[0]]) == {}
    assert await cells.read("r", [CELLS[1]]) == {"d": b"d@2000"}


async def test_of_several_positions_of_a_driver_in_one_call_all_newer_count_and_the_newest_stands(redis, cells):
    positions = [at("d", 1_000, 0), at("d", 3_000, 1), at("d", 2_000, 2)]
    assert await cells.put("r", positions, {Reason.TOO_COARSE: 2, Reason.TOO_OLD: 1}) == 2
    assert await cells.read("r", CELLS) == {"d": b"d@3000"}
    assert await redis.hgetall("{r}:totals") == {
        b"pings_accepted": b"2",
        b"pings_rejected:too_coarse": b"2",
        b"pings_rejected:too_old": b"1",
    }


@pytest.mark.parametrize("seed", range(3))
async def test_two_writers_in_any_order_leave_each_driver_once_and_newest(redis, seed):
    rng = random.Random(seed)
    positions = [at(f"d{n % 40}", 1_000 + n, rng.randrange(3)) for n in range(800)]
    newest = {position.driver_id: position for position in positions}
    shuffled = positions + positions[::3]
    rng.shuffle(shuffled)
    batches = [shuffled[start : start + 37] for start in range(0, len(shuffled), 37)]
    writers = [RedisCells(redis), RedisCells(redis)]
    await asyncio.gather(*[writers[n % 2].put("r", batch, {}) for n, batch in enumerate(batches)])
    for number, cell in enumerate(CELLS):
        there = {p.driver_id: p.packed for p in newest.values() if p.cell == cell}
        assert await writers[number % 2].read("r", [cell]) == there
    index = {name.decode(): entry.decode() for name, entry in (await redis.hgetall("{r}:index")).items()}
    assert index == {name: f"{position.cell}|{position.t_ms}" for name, position in newest.items()}
    scores = dict(await redis.zrange("{r}:seen", 0, -1, withscores=True))
    assert scores == {name.encode(): position.t_ms for name, position in newest.items()}


async def test_a_call_of_the_largest_size_fits(cells):
    assert await cells.put("r", [at(f"d{n}", 1_000, 0) for n in range(1_000)], {}) == 1_000
    assert await cells.put("r", [at(f"d{n}", 2_000, 1) for n in range(1_000)], {}) == 1_000
    assert len(await cells.read("r", [CELLS[1]])) == 1_000


async def test_regions_do_not_touch_one_another(cells):
    await cells.put("r", [at("d", 1_000, 0)], {})
    await cells.put("q", [at("d", 500, 0)], {})
    assert await cells.sweep("q", before_s=10.0, after_s=20.0) == 1
    assert await cells.read("r", CELLS) == {"d": b"d@1000"}


async def test_the_sweep_takes_out_the_old_and_those_from_times_to_come_however_many(redis, cells):
    for start in range(0, 2_500, 500):
        await cells.put("r", [at(f"old{n}", 1_000 + n, n % 3) for n in range(start, start + 500)], {})
    await cells.put("r", [at("fresh", 10_000, 0), at("edge", 5_000, 1), at("early", 90_000, 2)], {})
    assert await cells.sweep("r", before_s=5.0, after_s=60.0) == 2_501
    assert set(await cells.read("r", CELLS)) == {"fresh", "edge"}
    assert set(await redis.hkeys("{r}:index")) == {b"fresh", b"edge"}
    assert await cells.sweep("r", before_s=5.0, after_s=60.0) == 0


async def test_a_removed_driver_is_in_no_cell(redis, cells):
    await cells.put("r", [at("d", 1_000, 0), at("e", 1_000, 0)], {})
    assert await cells.remove("r", ["d", "nobody"]) == 1
    assert await cells.read("r", CELLS) == {"e": b"e@1000"}
    assert await redis.zrange("{r}:seen", 0, -1) == [b"e"]


async def test_a_server_that_lost_its_functions_gets_them_again(redis, cells):
    await cells.put("r", [at("d", 1_000, 0)], {})
    await redis.function_flush()
    assert await cells.put("r", [at("d", 2_000, 0)], {}) == 1


async def test_an_answer_of_the_store_other_than_an_unknown_function_is_raised(redis, cells):
    await redis.set("{r}:index", "of the wrong type")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await cells.put("r", [at("d", 1_000, 0)], {})
