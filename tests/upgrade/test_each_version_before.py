"""A database of the version before each migration since the last release: its rides go on to their end.

The rows are those of `test_databases_of_before`, brought up to the version before the file, and what that version wrote
besides. One statement at a time of the newer files is therefore tried on tables with rides under way.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backing.outbox.outbox import SqlOutbox
from backing.sql import migrate
from backing.sql.database import Database
from backing.sql.scripts import Dialect, Statement, one
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql.driver_list import SqlDriverList
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import Intervention
from dispatch.rules.invariants import check_history
from dispatch.service.rides import RideService
from hexhail.runtime.database import SQL_PACKAGES, open_database
from hexhail.runtime.retention import Pruner, kinds_of
from hexhail.runtime.settings import Settings
from pricing.adapters.sql.record import SqlPriceRecord
from tests.dispatch.people import (
    PARAMS,
    Clock,
    MemoryLeases,
    accept,
    arrive,
    do,
    drop_off,
    key,
    offer,
    pick_up,
    rate,
    request,
)
from tests.upgrade.test_databases_of_before import HERE, LAST_WITHOUT_POSITION, NEXT_S, ROWS, _write_into_postgres

#: Each migration since the last release; the database lacks it and the later ones of its package.
MIGRATIONS = [
    *(("dispatch", version) for version in (8, 9, 10, 11, 12)),
    ("outbox", 2),
    ("pricing", 3),
    ("pricing", 4),
]
#: What a version of dispatch writes that has the file of this number.
WRITTEN = {
    8: [
        "INSERT INTO interventions VALUES ('assigned', 5, 'manhattan', 'operator:olga', 'reassign', 'a flood', 1025.5)"
    ],
    9: [
        "INSERT INTO driver_lists VALUES ('manhattan', 1000.0, 'olga')",
        "INSERT INTO listed_drivers VALUES ('manhattan', 'dora', 1000.0, 'olga')",
        "UPDATE shifts SET offers_accepted = 7, offers_answered = 9 WHERE driver_id = 'dora'",
    ],
}
KEPT = Intervention("operator:olga", "reassign", "a flood")

pytestmark = pytest.mark.parametrize(
    ("engine", "package", "version"),
    [
        pytest.param(engine, *file, marks=[pytest.mark.servers] if engine == "postgres" else [])
        for engine in ("sqlite", "postgres")
        for file in MIGRATIONS
    ],
)


@pytest.fixture
def url(engine: Dialect, package: str, version: int, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that lacks a migration and those after it, with rides under way."""
    tables = (HERE / f"tables.{engine}.sql").read_text()
    if engine == "sqlite":
        address = f"sqlite:///{tmp_path}/before.db"
        with sqlite3.connect(tmp_path / "before.db") as connection:
            connection.executescript(tables + ROWS)
        connection.close()
    else:
        address = request.getfixturevalue("postgres_url_of_own")
        asyncio.run(_write_into_postgres(address, tables + ROWS + LAST_WITHOUT_POSITION))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations", without(package, version))
        asyncio.run(bring_up(address, version - 1 if package == "dispatch" else 12))
    return address


def without(package: str, version: int) -> Callable[[Dialect, str, str], list[migrate.Migration]]:
    """The migrations that a hexhail from before one of them has."""
    whole = migrate.migrations
    return lambda dialect, name, module: [
        file for file in whole(dialect, name, module) if name != package or file.version < version
    ]


async def bring_up(url: str, dispatch_version: int) -> None:
    async with await open_database(url) as database:
        for since, statements in WRITTEN.items():
            for text in statements if since <= dispatch_version else ():
                await database.run(lambda text=text: one(Statement(text)))


async def go_on_to_the_end(rides: RideService, store: SqlRideStore) -> None:
    await do(rides, drop_off("on-trip", "eve"), rate("on-trip", "bob", 5))
    await do(rides, arrive("assigned"), pick_up("assigned"), drop_off("assigned"))
    await do(rides, accept("offered-5", "dan"), arrive("offered", "dan"), pick_up("offered", "dan"))
    token = await store.newest_token("manhattan") + 1
    await do(rides, offer("requested", "dora", token), accept(f"requested-{token}", "dora"), arrive("requested"))
    await do(rides, pick_up("requested"), drop_off("requested"), drop_off("offered", "dan"))


async def test_its_rides_go_on_to_their_end_and_what_it_wrote_is_still_there(
    url: str, package: str, version: int
) -> None:
    async with await open_database(url) as database:
        present = await database.run(lambda: migrate.applied(database.dialect))
        assert {file.package: file.version for file in sorted(present)} == migrate.newest_versions(
            database.dialect, SQL_PACKAGES
        )
        clock, store = Clock(), SqlRideStore(database)
        clock.now_s = NEXT_S
        rides = RideService(store, MemoryLeases(), PARAMS, clock)
        again = await rides.handle(request("offered", "dave"), key("key-of-dave", "sha-of-dave", "rider:dave"))
        assert (again.is_replay, again.ride.region_id) == (True, "manhattan")
        await go_on_to_the_end(rides, store)
        history = check_history([decode(payload) for payload in await store.history()])
        assert (history.violations, history.open_rides()) == ([], [])
        assert await store.count_rides() == {"COMPLETED": 5}
        assert len(await SqlPriceRecord(database).history("manhattan", 0x882A100D61FFFFF, 0.0, 10)) == 2
        (newest,) = await database.read("SELECT at_s, multiplier FROM surge_newest")
        assert tuple(newest) == (1400000015.5, 1.2)  # the next pricer goes on from it
        if package != "dispatch" or version > 8:
            assert [made.intervention for made in await store.interventions("manhattan", None, 10)] == [KEPT]
        if package != "dispatch" or version > 9:
            drivers = SqlDriverList(database, "manhattan")
            assert [await drivers.may_drive(name) for name in ("dora", "eve")] == [True, False]
            (dora,) = await database.read(
                "SELECT offers_accepted, offers_answered FROM shifts WHERE driver_id = 'dora'"
            )
            assert tuple(dora) == (8, 10)


async def test_its_rows_are_deleted_when_they_are_old(url: str, package: str, version: int) -> None:
    async with await open_database(url) as database:
        outbox = SqlOutbox(database)
        await outbox.unpublished(1)  # gives positions in PostgreSQL
        await outbox.mark_published((await outbox.progress())[0])
        pruner = Pruner(kinds_of(Settings(), database, kept_rows=1))
        while await pruner.step():
            pass
        assert await places_kept(database) == {"completed": False} | dict.fromkeys(
            ("on-trip", "assigned", "offered", "requested"), True
        )
        assert len(await outbox.newest_rows(1000)) == 1
        assert await database.read("SELECT 1 FROM surge_changes") == []
        (kept,) = {tuple(row) for row in await database.read("SELECT COUNT(*), MIN(added_s) FROM idempotency")}
        assert kept[0] == 2  # kept since the database was brought up: when they were given is not known
        assert kept[1] == pytest.approx(time.time(), abs=3600.0)


async def places_kept(database: Database) -> dict[str, bool]:
    """Of each ride, whether its places are exact."""
    store = SqlRideStore(database)
    ids = [ride_id for (ride_id,) in await database.read("SELECT ride_id FROM rides")]
    found = [await store.find_ride(ride_id) for ride_id in ids]
    return {ride.ride_id: ride.coarse_resolution is None for ride in found if ride is not None}
