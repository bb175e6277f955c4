"""The record of prices over each of the two databases."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pricing.adapters.sql_record import PostgresRecord, SqliteRecord, SqlRecord
from pricing.model.surge import FreezeOrder
from pricing.rules.price_changes import PriceChange, Reason
from pricing.rules.surge import Bound

NOW_S = 1_400_000_000.5
CELL = 0x882A100D61FFFFF
CHANGE = PriceChange(
    cell=CELL,
    at_s=NOW_S,
    multiplier=1.1,
    multiplier_before=1.0,
    requests=12.25,
    quotes=3.0,
    idle_drivers=1.0,
    supply=0.75,
    target=1.9,
    wanted=1.7,
    bounds=int(Bound.STEP | Bound.NEIGHBOURS),
    reason=Reason.DEMAND,
    version="2-abcdef01",
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
async def record(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlRecord]:
    opened: SqlRecord
    if request.param == "sqlite":
        opened = SqliteRecord(tmp_path / "rides.sqlite")
    else:
        opened = await PostgresRecord.open(request.getfixturevalue("postgres_url"))
    yield opened
    await opened.close()


@pytest.fixture
def region_id() -> str:
    """One of its own for each test: the PostgreSQL server is shared."""
    return uuid.uuid4().hex


async def test_a_change_is_read_as_it_was_kept_the_newest_first(record: SqlRecord, region_id: str) -> None:
    later = replace(CHANGE, at_s=NOW_S + 15.0)
    await record.add_changes(region_id, [CHANGE, later, replace(CHANGE, cell=0x882A100D63FFFFF)])
    assert await record.history(region_id, CELL, NOW_S, 10) == [later, CHANGE]
    assert await record.history(region_id, CELL, NOW_S + 1.0, 10) == [later]
    assert await record.history(region_id, CELL, NOW_S, 1) == [later]
    assert later.bounds_acted == [Bound.NEIGHBOURS, Bound.STEP]


async def test_what_is_kept_twice_is_there_once_and_as_it_was(record: SqlRecord, region_id: str) -> None:
    await record.add_changes(region_id, [CHANGE])
    await record.add_changes(region_id, [replace(CHANGE, multiplier=9.0), replace(CHANGE, at_s=NOW_S + 15.0)])
    assert [change.multiplier for change in await record.history(region_id, CELL, 0.0, 10)] == [1.1, 1.1]


async def test_the_newest_order_comes_first(record: SqlRecord, region_id: str) -> None:
    assert await record.orders(region_id, 1) == []
    freeze, unfreeze = FreezeOrder(NOW_S, True, "a flood", "olga"), FreezeOrder(NOW_S + 9.0, False, "it is over", "ole")
    for order in (freeze, unfreeze, freeze):
        await record.add_order(region_id, order)
    assert await record.orders(region_id, 10) == [unfreeze, freeze]
    assert await record.orders(region_id, 1) == [unfreeze]


async def test_a_version_is_kept_once_and_as_it_was(record: SqlRecord) -> None:
    version = f"3-{uuid.uuid4().hex[:8]}"
    for params in ("SurgeParams()", "others"):
        await record.add_version(version, params)
    kept = await record._read("SELECT params FROM surge_versions WHERE version = ?1", version)
    assert [tuple(row) for row in kept] == [("SurgeParams()",)]
