"""Over PgBouncer in transaction mode each transaction may get another connection: nothing may count on its session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from backing.outbox.outbox import SqlOutbox
from backing.sql.postgres import PostgresOptions
from backing.sql.scripts import Statement, one
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.service.rides import RideService
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.database import open_database
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, request
from tests.postgres.servers import PgBouncer, find_pgbouncer, server_folder

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(find_pgbouncer() is None, reason="there is no pgbouncer here: apt-get install pgbouncer"),
]

POOLED = PostgresOptions(is_pooled=True, connections_max=6, timeout_s=60.0)


@pytest.fixture(scope="module")
def bouncer(postgres_url: str) -> Iterator[PgBouncer]:
    with server_folder("hexhail-pgbouncer-") as folder:
        bouncer = PgBouncer(folder, parse_qs(urlsplit(postgres_url).query)["host"][0], 5432)
        bouncer.start()
        yield bouncer
        bouncer.stop()


@pytest.fixture
def pooled_url(bouncer: PgBouncer, postgres_url_of_own: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{bouncer.port}/{urlsplit(postgres_url_of_own).path.strip('/')}"


async def test_without_the_setting_pgbouncer_refuses_the_session_that_we_ask_for(pooled_url: str) -> None:
    with pytest.raises(DependencyMissing, match="unsupported startup parameter"):
        await open_database(pooled_url)


async def test_two_processes_with_more_clients_than_connections_write_every_ride_and_all_durably(
    pooled_url: str, postgres_url_of_own: str
) -> None:
    """Three connections to the server are shared by twelve; its default would lose acknowledged rides in a crash."""
    name = urlsplit(postgres_url_of_own).path.strip("/")
    async with await open_database(postgres_url_of_own) as direct:
        await direct._pool.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    databases = [await open_database(pooled_url, options=POOLED) for _ in range(2)]
    try:
        services = [RideService(SqlRideStore(database), MemoryLeases(), PARAMS, Clock()) for database in databases]
        names = [f"{process}-{n}" for process in range(2) for n in range(60)]
        await asyncio.gather(
            *(services[int(ride_id[0])].handle(request(ride_id, rider_id=ride_id)) for ride_id in names)
        )
        assert {ride.ride_id for ride in await SqlRideStore(databases[0]).open_rides("manhattan")} == set(names)
        rows = await SqlOutbox(databases[1]).unpublished(1000)
        assert [row.position for row in rows] == list(range(1, len(names) + 1))
        shown = await databases[0].run(lambda: one(Statement("SHOW synchronous_commit")))
        assert shown[0][0] == "on"
        assert (await databases[0].read("SHOW synchronous_commit"))[0][0] == "off"  # no session was changed
    finally:
        for database in databases:
            await database.close()


async def test_news_are_heard_past_the_pooler(pooled_url: str, postgres_url_of_own: str) -> None:
    from dataclasses import replace

    from tests.backing.sql.test_postgres_outages import announcing, heard

    options = replace(POOLED, direct_url=postgres_url_of_own)
    async with await open_database(pooled_url, options=options) as database:
        news = database.listen("made_up")
        await heard(news)
        await database.run(announcing)
        await heard(news)
