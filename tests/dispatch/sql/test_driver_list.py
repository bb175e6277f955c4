"""The list of who may drive, in SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch import commands as cmd
from dispatch.adapters.sql.driver_list import SqlDriverList
from dispatch.errors import NotListed
from dispatch.model import ShiftStatus
from dispatch.service.rides import RideService
from tests.dispatch.people import PARAMS, Clock, MemoryLeases

pytestmark = pytest.mark.servers


async def test_a_list_is_of_one_region_and_an_empty_one_lets_nobody_drive(database: Any) -> None:
    here, there = SqlDriverList(database, "north"), SqlDriverList(database, "south")
    await here.add(["dora", "dan"], "olga", 10.0)
    await here.add(["dan"], "otto", 20.0)
    assert [tuple(one) for one in await here.read("", 10)] == [("dan", 10.0, "olga"), ("dora", 10.0, "olga")]
    assert [one.driver_id for one in await here.read("dan", 10)] == ["dora"]
    assert [await here.may_drive(name) for name in ("dora", "eve")] == [True, False]
    assert await there.may_drive("eve")
    for name in ("dora", "dan"):
        await here.remove(name)
    assert await here.is_begun()
    assert not await here.may_drive("dora")
    await here.end()
    assert not await here.is_begun()
    assert await here.may_drive("eve")


async def test_only_who_is_listed_starts_a_shift_and_anybody_ends_one(database: Any, store: Any) -> None:
    drivers = SqlDriverList(database, "north")
    rides = RideService(store, MemoryLeases(), PARAMS, Clock(), drivers)
    await rides.set_shift(cmd.SetShift("eve", ShiftStatus.ONLINE, 4))
    await drivers.add(["dora"], "olga", 10.0)
    await rides.set_shift(cmd.SetShift("dora", ShiftStatus.ONLINE, 4))
    await rides.set_shift(cmd.SetShift("eve", ShiftStatus.OFFLINE, 4))
    with pytest.raises(NotListed, match="eve is not on the list"):
        await rides.set_shift(cmd.SetShift("eve", ShiftStatus.ONLINE, 4))
    assert set(await store.free_drivers()) == {"dora"}
