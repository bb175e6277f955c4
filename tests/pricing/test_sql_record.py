"""The record of prices over each of the two databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backing.sql.database import Database
from pricing.adapters.sql.record import SqlPriceRecord
from pricing.errors import PricerSuperseded
from pricing.model.surge import FreezeOrder, RecordedPrice
from pricing.rules.price_changes import PriceChange, Reason
from pricing.rules.surge import Bound

REGION_ID = "metro"
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


@pytest.fixture
async def record(database: Database) -> SqlPriceRecord:
    return SqlPriceRecord(database)


async def test_a_change_is_read_as_it_was_kept_the_newest_first(record: SqlPriceRecord) -> None:
    later = replace(CHANGE, at_s=NOW_S + 15.0)
    epoch = await record.claim(REGION_ID)
    await record.add_changes(REGION_ID, [CHANGE, later, replace(CHANGE, cell=0x882A100D63FFFFF)], epoch)
    assert await record.history(REGION_ID, CELL, NOW_S, 10) == [later, CHANGE]
    assert await record.history(REGION_ID, CELL, NOW_S + 1.0, 10) == [later]
    assert await record.history(REGION_ID, CELL, NOW_S, 1) == [later]
    assert later.bounds_acted == [Bound.NEIGHBOURS, Bound.STEP]


async def test_what_is_kept_twice_is_there_once_and_as_it_was(record: SqlPriceRecord) -> None:
    epoch = await record.claim(REGION_ID)
    await record.add_changes(REGION_ID, [CHANGE], epoch)
    await record.add_changes(REGION_ID, [replace(CHANGE, multiplier=9.0), replace(CHANGE, at_s=NOW_S + 15.0)], epoch)
    assert [change.multiplier for change in await record.history(REGION_ID, CELL, 0.0, 10)] == [1.1, 1.1]


async def test_what_a_superseded_pricer_adds_is_refused_as_a_whole(record: SqlPriceRecord) -> None:
    older, other_region = await record.claim(REGION_ID), await record.claim("elsewhere")
    newer = await record.claim(REGION_ID)
    assert newer > older
    for changes in ([CHANGE], []):
        with pytest.raises(PricerSuperseded, match=f"newer pricer than that of epoch {older}"):
            await record.add_changes(REGION_ID, changes, older)
    assert await record.history(REGION_ID, CELL, 0.0, 10) == []
    await record.add_changes("elsewhere", [CHANGE], other_region)
    await record.add_changes(REGION_ID, [CHANGE, replace(CHANGE, at_s=NOW_S + 15.0, multiplier=1.2)], newer)
    assert await record.newest_prices(REGION_ID) == {CELL: RecordedPrice(1.2, NOW_S + 15.0)}
    epochs = await record._database.read("SELECT DISTINCT epoch FROM surge_changes WHERE region_id = ?1", REGION_ID)
    assert [tuple(row) for row in epochs] == [(newer,)]


async def test_the_newest_order_comes_first(record: SqlPriceRecord) -> None:
    assert await record.orders(REGION_ID, 1) == []
    freeze, unfreeze = FreezeOrder(NOW_S, True, "a flood", "olga"), FreezeOrder(NOW_S + 9.0, False, "it is over", "ole")
    for order in (freeze, unfreeze, freeze):
        await record.add_order(REGION_ID, order)
    assert await record.orders(REGION_ID, 10) == [unfreeze, freeze]
    assert await record.orders(REGION_ID, 1) == [unfreeze]


async def test_a_version_is_kept_once_and_as_it_was(record: SqlPriceRecord) -> None:
    version = "3-abcdef01"
    for params in ("SurgeParams()", "others"):
        await record.add_version(version, params)
    kept = await record._database.read("SELECT params FROM surge_versions WHERE version = ?1", version)
    assert [tuple(row) for row in kept] == [("SurgeParams()",)]
