"""A city on two PostgreSQL servers: the primary crashes while people ride, the synchronous replica takes over."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from backing.outbox.scripts import CHANNEL
from backing.sql.failures import CommitUnknown, DatabaseUnavailable
from backing.sql.migrate import newest_versions
from backing.sql.postgres import PostgresDatabase, PostgresOptions
from backing.sql.replica import HistorySource
from dispatch.adapters.sql.answers import SqlKeptAnswers
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.rules.invariants import check_history
from dispatch.service.rides import RideService
from hexhail.demo.demo import Demo, DemoParams, running_city
from hexhail.runtime.database import SQL_PACKAGES, ProcessName, open_database
from hexhail.runtime.kernel_cache import cache_dir
from hexhail.runtime.supervisor import Spec
from tests.api.installation import SPEED, Installation, People
from tests.backing.sql.test_postgres_outages import heard
from tests.cluster.lives import Witness, drive_again_and_again, lives_until, ride_again_and_again
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, history, key, request
from tests.patience import PATIENCE_S, eventually
from tests.postgres.servers import PostgresServer, server_folder, url_of

pytestmark = [pytest.mark.cluster, pytest.mark.servers]

#: Rides that must have been completed before the crash, and again after the promotion.
RIDES = 6
AT_ONCE = 4
#: Wall seconds without a primary, twice.
AWAY_S = 3.0


@dataclass
class Pair:
    """A primary, and a replica that has every acknowledged commit."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def url(self) -> str:
        return url_of(self.primary, self.standby, database="rides")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with server_folder("hexhail-pair-") as folder:
        yield folder


@pytest.fixture
def pair(folder: Path) -> Iterator[Pair]:
    own = folder / uuid.uuid4().hex[:8]
    primary = PostgresServer(own / "primary")
    primary.init()
    primary.start()
    standby = primary.copy_to(own / "standby", "standby")
    standby.start()
    primary.reload("synchronous_standby_names = 'standby'")
    asyncio.run(_create(primary))
    yield Pair(primary, standby)
    primary.kill()
    standby.kill()


async def _create(primary: PostgresServer) -> None:
    """Make the database, once commits wait for the replica."""
    server = await asyncpg.connect(primary.url())

    async def is_synchronous() -> bool:
        return bool(await server.fetchval("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))

    await eventually(is_synchronous)
    await server.execute("CREATE DATABASE rides")
    await server.close()


@pytest.fixture
async def city(pair: Pair, tmp_path: Path) -> AsyncIterator[Demo]:
    params = DemoParams(run_dir=tmp_path, cache_dir=cache_dir(), speed=SPEED, port=0, database_url=pair.url)
    async with running_city(params, print) as city:
        for role in ("relay", "matcher"):
            await city.supervisor.start(Spec(f"{role}2", [sys.executable, "-m", "hexhail", "serve", role], city.env))
        await _until_two_of_each(pair)
        yield city


async def _until_two_of_each(pair: Pair) -> None:
    """Wait until the second processes work: one that has not begun when the primary goes may be started again."""
    server = await asyncpg.connect(pair.primary.url())

    async def are_there() -> bool:
        rows = await server.fetch("SELECT DISTINCT application_name FROM pg_stat_activity")
        roles = Counter(name.role for (text,) in rows if (name := ProcessName.parse(text)) is not None)
        return roles["relay"] == roles["matcher"] == 2

    await eventually(are_there, 0.2)
    await server.close()


async def test_no_acknowledged_ride_is_lost_nobody_is_answered_500_and_the_city_goes_on(city: Demo, pair: Pair) -> None:
    seen = Witness()
    installation = Installation(city.url, city.env)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=city.url, timeout=PATIENCE_S, trust_env=False, event_hooks={"response": [seen.saw]}
            )
        )
        people = People(installation, http)
        lives = [asyncio.create_task(drive_again_and_again(people.driver(), seen)) for _ in range(AT_ONCE)]
        lives += [asyncio.create_task(ride_again_and_again(people, seen)) for _ in range(AT_ONCE)]
        try:
            await lives_until(lives, lambda: seen.completed >= RIDES)
            await asyncio.to_thread(pair.primary.kill)
            await asyncio.sleep(AWAY_S)  # only a standby answers,
            await asyncio.to_thread(pair.primary.start_behind, pair.standby)
            await asyncio.sleep(AWAY_S)  # then two of them
            before = seen.completed
            await asyncio.to_thread(pair.standby.promote)
            await lives_until(lives, lambda: seen.completed >= before + RIDES)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        await say_what_is_left(city, pair, seen)


async def say_what_is_left(city: Demo, pair: Pair, seen: Witness) -> None:
    assert seen.faults == []
    assert seen.codes[503] > 0  # it did go away
    async with await open_database(pair.url, packages={}) as database:
        store = SqlRideStore(database)
        rides = {ride_id for (ride_id,) in await database.read("SELECT ride_id FROM rides")}
        assert seen.acknowledged <= rides
        assert len(rides) <= seen.keys  # a key that was sent again made no second ride
        assert check_history(await history(store)).violations == []

        async def is_published() -> bool:
            committed, published = await store.outbox_progress()
            return committed == published

        await eventually(is_published)
    assert {name: count for name, count in city.supervisor.restarts.items() if count} == {}


async def test_a_replica_says_how_old_it_is_and_gives_way_to_the_primary_when_it_is_too_old(pair: Pair) -> None:
    """Its age never is too small; no read of what has to be current goes there."""
    primary = await PostgresDatabase.open(pair.primary.url("rides"), SQL_PACKAGES)
    replica = await PostgresDatabase.prepare(pair.standby.url("rides"))
    async with primary, replica:
        rides = RideService(SqlRideStore(primary), MemoryLeases(), PARAMS, Clock())
        await rides.handle(request("first", quote_id="a"))
        files = sum(newest_versions("postgres", SQL_PACKAGES).values())
        assert (await HistorySource(primary, replica, PATIENCE_S, files + 1).choose()).database is primary
        source = HistorySource(primary, replica, PATIENCE_S, files)

        async def has_it() -> bool:
            database = (await source.choose()).database
            return database is replica and await SqlRideStore(database).count_rides() == {"REQUESTED": 1}

        await eventually(has_it)
        lacking = HistorySource(primary, replica, PATIENCE_S, files + 1)
        assert await lacking.choose() == (primary, 0.0)
        await replica.read("SELECT pg_wal_replay_pause()")
        await rides.handle(request("second", rider_id="bob", quote_id="b"))  # flushed there, not replayed
        await asyncio.sleep(1.0)
        chosen = await source.choose()
        assert chosen.database is replica
        assert chosen.age_s >= 1.0
        assert await SqlRideStore(chosen.database).count_rides() == {"REQUESTED": 1}
        assert await SqlRideStore(primary).count_rides() == {"REQUESTED": 2}
        assert await HistorySource(primary, replica, age_s_max=0.5).choose() == (primary, 0.0)
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            await RideService(SqlRideStore(replica), MemoryLeases(), PARAMS, Clock()).handle(request("third"))
        await asyncio.to_thread(pair.standby.kill)
        assert await source.choose() == (primary, 0.0)


async def test_while_the_replica_is_away_nothing_is_acknowledged_also_not_to_who_asks_again(pair: Pair) -> None:
    """A commit whose wait for the replica was given up is visible at once, and would be lost with the primary."""
    options = PostgresOptions(timeout_s=3.0)
    async with await PostgresDatabase.open(pair.primary.url("rides"), SQL_PACKAGES) as setting_up:
        assert await SqlRideStore(setting_up).count_rides() == {}
    async with await PostgresDatabase.open(pair.primary.url("rides"), {}, options) as database:
        rides, answers = RideService(SqlRideStore(database), MemoryLeases(), PARAMS, Clock()), SqlKeptAnswers(database)
        await asyncio.to_thread(pair.standby.kill)
        for _ in range(2):
            with pytest.raises(CommitUnknown):
                await rides.handle(request(), key())
            with pytest.raises(CommitUnknown):
                await answers.keep(key("another-key"), "answer")
        with pytest.raises(CommitUnknown):
            await answers.find(key("another-key"))
        assert await SqlRideStore(database).count_rides() == {"REQUESTED": 1}  # it is there, and not promised
        await asyncio.to_thread(pair.standby.start)

        async def asked_again() -> bool:
            try:
                return (await rides.handle(request(), key())).is_replay
            except CommitUnknown:
                return False

        await eventually(asked_again)
        assert await answers.find(key("another-key")) == "answer"


async def test_who_listens_hears_of_commits_at_the_server_that_took_over(pair: Pair) -> None:
    database = await PostgresDatabase.open(pair.url, SQL_PACKAGES)
    async with database:
        news = database.listen(CHANNEL)
        await heard(news)
        await asyncio.to_thread(pair.primary.kill)
        await asyncio.to_thread(pair.standby.promote)
        await heard(news)  # it listens again, and looks for what it missed
        rides = RideService(SqlRideStore(database), MemoryLeases(), PARAMS, Clock())
        await rides.handle(request())
        await heard(news)
