"""Cells in Redis: for any writers and any order of writes, the newest position of each driver stays."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from redis.asyncio import Redis

from geo.positions import pack
from kernel.contracts import redis_keys
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.columns import PositionColumns
from location_ingest.model import Reason

pytestmark = pytest.mark.servers

CELLS = ["892a100d2c3ffff", "892a100d2c7ffff", "892a100d2cbffff"]


class At(NamedTuple):
    driver_id: str
    t_ms: int
    cell: int

    @property
    def packed(self) -> bytes:
        return packed([self]).tobytes()


at = At


def packed(positions: Sequence[At]) -> Any:
    numbers = [sum(map(ord, p.driver_id)) / 1e4 for p in positions]
    t_s = np.array([p.t_ms / 1e3 for p in positions])
    return pack(t_s, np.array(numbers), *(np.zeros(len(positions)) for _ in range(3)))


def columns(positions: Sequence[At]) -> PositionColumns:
    """As the service gives them: each driver once, the earlier ones beside."""
    newest = {p.driver_id: p for p in sorted(positions, key=lambda p: p.t_ms)}
    stored = sorted(newest.values(), key=lambda p: CELLS[p.cell])
    place_of = {p.driver_id: place for place, p in enumerate(stored)}
    earlier = sorted((place_of[p.driver_id], p.t_ms) for p in positions if p is not newest[p.driver_id])
    return PositionColumns(
        [p.driver_id for p in stored],
        np.array([int(CELLS[p.cell], 16) for p in stored], np.uint64),
        packed(stored),
        np.array([place for place, _ in earlier], np.int64),
        np.array([t_ms for _, t_ms in earlier], np.int64),
    )


class Cells(RedisCells):
    """Takes positions one by one."""

    async def put(self, region_id: str, positions: Sequence[At], rejected: Mapping[Reason, int]) -> int:
        return await super().put(region_id, columns(positions), rejected)


@pytest.fixture
async def redis(valkey: Any) -> AsyncIterator[Redis]:
    client = Redis(port=valkey.port, db=3)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def cells(redis: Any) -> Cells:
    return Cells(redis)


async def test_an_older_position_never_overwrites_a_newer_one(redis: Any, cells: Any) -> None:
    other = Cells(redis)
    assert await cells.put("r", [at("d", 2_000, 1)], {}) == 1
    assert await other.put("r", [at("d", 1_000, 0)], {}) == 0
    assert await other.put("r", [at("d", 2_000, 2)], {}) == 0
    assert await cells.read("r", CELLS) == {"d": at("d", 2000, 0).packed}
    assert await redis.hget(redis_keys.driver_index("r"), "d") == f"{CELLS[1]}|0000000002000".encode()
    assert await cells.last_times_s("r", ["d", "nobody"]) == {"d": 2.0}


async def test_a_moving_driver_leaves_the_old_cell(cells: Any) -> None:
    await cells.put("r", [at("d", 1_000, 0)], {})
    await cells.put("r", [at("d", 2_000, 1)], {})
    assert await cells.read("r", [CELLS[0]]) == {}
    assert await cells.read("r", [CELLS[1]]) == {"d": at("d", 2000, 0).packed}


async def test_of_several_positions_of_a_driver_in_one_call_all_newer_count_and_the_newest_stands(
    redis: Any, cells: Any
) -> None:
    positions = [at("d", 1_000, 0), at("d", 2_000, 2), at("d", 3_000, 1)]
    assert await cells.put("r", positions[:1], {}) == 1
    assert await cells.put("r", positions, {Reason.TOO_COARSE: 2, Reason.TOO_OLD: 1}) == 2
    assert await cells.put("r", positions, {}) == 0
    assert await cells.read("r", CELLS) == {"d": at("d", 3000, 0).packed}
    assert await redis.hgetall(redis_keys.totals("r")) == {
        b"pings_accepted": b"3",
        b"pings_rejected:too_coarse": b"2",
        b"pings_rejected:too_old": b"1",
    }


@pytest.mark.parametrize("seed", range(3))
async def test_two_writers_in_any_order_leave_each_driver_once_and_newest(redis: Any, seed: int) -> None:
    rng = random.Random(seed)
    positions = [at(f"d{n % 40}", 1_000 + n, rng.randrange(3)) for n in range(800)]
    newest = {position.driver_id: position for position in positions}
    shuffled = positions + positions[::3]
    rng.shuffle(shuffled)
    batches = [shuffled[start : start + 37] for start in range(0, len(shuffled), 37)]
    writers = [Cells(redis), Cells(redis)]
    await asyncio.gather(*[writers[n % 2].put("r", batch, {}) for n, batch in enumerate(batches)])
    for number, cell in enumerate(CELLS):
        there = {p.driver_id: p.packed for p in newest.values() if p.cell == number}
        assert await writers[number % 2].read("r", [cell]) == there
    index = {
        name.decode(): entry.decode() for name, entry in (await redis.hgetall(redis_keys.driver_index("r"))).items()
    }
    assert index == {name: f"{CELLS[position.cell]}|{position.t_ms:013}" for name, position in newest.items()}


async def test_a_call_of_the_largest_size_fits(cells: Any) -> None:
    assert await cells.put("r", [at(f"d{n}", 1_000, 0) for n in range(1_000)], {}) == 1_000
    assert await cells.put("r", [at(f"d{n}", 2_000, 1) for n in range(1_000)], {}) == 1_000
    assert len(await cells.read("r", [CELLS[1]])) == 1_000


async def test_regions_do_not_touch_one_another(cells: Any) -> None:
    await cells.put("r", [at("d", 1_000, 0)], {})
    await cells.put("q", [at("d", 500, 0)], {})
    assert await cells.sweep("q", before_s=10.0, after_s=20.0) == 1
    assert await cells.read("r", CELLS) == {"d": at("d", 1000, 0).packed}


async def test_the_sweep_removes_any_number_of_stale_and_future_positions(redis: Any, cells: Any) -> None:
    for start in range(0, 2_500, 500):
        await cells.put("r", [at(f"old{n}", 1_000 + n, n % 3) for n in range(start, start + 500)], {})
    await cells.put("r", [at("fresh", 10_000, 0), at("edge", 5_000, 1), at("early", 90_000, 2)], {})
    assert await cells.sweep("r", before_s=5.0, after_s=60.0) == 2_501
    assert set(await cells.read("r", CELLS)) == {"fresh", "edge"}
    assert set(await redis.hkeys(redis_keys.driver_index("r"))) == {b"fresh", b"edge"}
    assert await cells.sweep("r", before_s=5.0, after_s=60.0) == 0


async def test_a_removed_driver_is_in_no_cell(redis: Any, cells: Any) -> None:
    await cells.put("r", [at("d", 1_000, 0), at("e", 1_000, 0)], {})
    assert await cells.remove("r", ["d", "nobody"]) == 1
    assert await cells.read("r", CELLS) == {"e": at("e", 1000, 0).packed}
    assert await redis.hkeys(redis_keys.driver_index("r")) == [b"e"]


async def test_an_answer_of_the_store_other_than_an_unknown_function_is_raised(redis: Any, cells: Any) -> None:
    await redis.set(redis_keys.driver_index("r"), "of the wrong type")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await cells.put("r", [at("d", 1_000, 0)], {})


async def test_an_entry_of_the_index_that_is_none_is_replaced_or_swept_and_stops_no_other(
    cells: Cells, redis: Redis
) -> None:
    index = redis_keys.driver_index("r")
    await redis.hset(index, mapping={"bad": "nowhere", "gone": "", "odd": b"\xff" * 40})
    assert await cells.put("r", [at("bad", 2_000, 0), at("good", 2_000, 1)], {}) == 2
    assert await cells.sweep("r", before_s=1.0, after_s=10.0) == 2
    assert set(await redis.hkeys(index)) == {b"bad", b"good"}
