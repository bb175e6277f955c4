"""What of PostgreSQL is an outage, what is known of a change then, and how a process finds the server that is left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from api.failures import problem_of_failure
from backing.sql import hosts
from backing.sql.database import Database
from backing.sql.failures import CommitUnknown, DatabaseUnavailable, is_outage
from backing.sql.postgres import PostgresDatabase, PostgresOptions
from backing.sql.scripts import Script, Statement, one
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.service.rides import RideService
from hexhail.roles.api_parts import outages
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.database import open_database
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, key, request
from tests.patience import PATIENCE_S, eventually
from tests.postgres.servers import Door

OUTAGES = [
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    asyncpg.ProtocolViolationError("query_wait_timeout"),  # PgBouncer
    asyncpg.DiskFullError("could not extend file"),
    asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"),
    asyncpg.TargetServerAttributeNotMatched("None of the hosts match"),
    asyncpg.InterfaceError("cannot perform operation: connection is closed"),
    asyncpg.InterfaceError("pool is closing"),
    OSError("Multiple exceptions: [Errno 111] Connect call failed"),
    socket.gaierror(-2, "Name or service not known"),
    ConnectionResetError("reset"),
    TimeoutError(),
]
MISTAKES = [
    asyncpg.UniqueViolationError("duplicate key"),
    asyncpg.UndefinedTableError("no such relation"),
    asyncpg.PostgresSyntaxError("syntax error"),
    asyncpg.DeadlockDetectedError("deadlock"),
    asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
    ValueError("a mistake of ours"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
def test_errors_of_a_server_that_is_away_or_changes_over_are_outages(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize("error", MISTAKES, ids=repr)
def test_mistakes_in_statements_are_not_told_as_outages(error: Exception) -> None:
    assert not is_outage(error)


@pytest.mark.parametrize(
    ("error", "code"), [(DatabaseUnavailable("x"), "part_unavailable"), (CommitUnknown("x"), "outcome_unknown")]
)
def test_an_outage_is_answered_with_503_and_when_to_ask_again(error: Exception, code: str) -> None:
    problem = problem_of_failure(error, outages())
    answer = problem.response()
    assert (problem.status, problem.body()["code"]) == (503, code)
    assert int(answer.headers["retry-after"]) >= 1
    assert "Idempotency-Key" in problem.body()["hint"]


async def test_without_the_driver_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "asyncpg", None)
    with pytest.raises(DependencyMissing, match=r"hexhail\[postgres\].*requirements/server\.txt"):
        await open_database("postgresql://127.0.0.1:1/db")


async def test_when_no_host_of_several_answers_the_message_names_all_and_no_password() -> None:
    url = "postgresql://u:secret@127.0.0.1:1,127.0.0.1:2/db?target_session_attrs=primary&sslpassword=secret"
    with pytest.raises(DependencyMissing, match=r"//127\.0\.0\.1:1,127\.0\.0\.1:2/db.*promote a replica") as missing:
        await open_database(url)
    assert "secret" not in str(missing.value)


async def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(DependencyMissing, match="'b:port' in the address of the database"):
        await open_database("postgresql://u@a:1,b:port/db")


def test_of_several_hosts_the_one_that_takes_writes_is_meant_unless_the_address_says_otherwise() -> None:
    assert hosts.wanted_of("postgresql://u@a,b/db") == ["primary"]
    assert hosts.wanted_of("postgresql://u@a,b/db?target_session_attrs=any") == ["any"]
    assert hosts.wanted_of("postgresql://u@a,b/db?target_session_attrs=prefer-standby") == ["standby", "any"]
    assert hosts.wanted_of("postgresql://u@a/db") == [None]
    assert hosts.hosts_of("postgresql://u@a,b:6432/db") == [("a", 5432), ("b", 6432)]


# -- with a server -----------------------------------------------------------------------------------------------------


def socket_of(url: str) -> str:
    """The socket's path of a URL that names its folder."""
    return f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"


def through(url: str, *doors: Door) -> str:
    """The URL of the same database by TCP, through doors."""
    where = ",".join(f"127.0.0.1:{door.port}" for door in doors)
    return f"postgresql://postgres@{where}/{urlsplit(url).path.strip('/')}"


@pytest.fixture
async def doors(postgres_url_of_own: str) -> AsyncIterator[list[Door]]:
    opened = [Door(socket_of(postgres_url_of_own)) for _ in range(2)]
    for door in opened:
        await door.open()
    yield opened
    for door in opened:
        await door.close()


def rides_over(database: Database) -> RideService:
    return RideService(SqlRideStore(database), MemoryLeases(), PARAMS, Clock())


@pytest.mark.servers
async def test_a_first_host_that_takes_connections_and_says_nothing_does_not_hide_the_second(
    postgres_url_of_own: str, doors: list[Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a host that is paused, or cut off behind a firewall; asyncpg alone gives all hosts one time together."""
    monkeypatch.setattr(hosts, "HOST_TIMEOUT_S", 0.5)
    doors[0].shut()
    async with await open_database(through(postgres_url_of_own, *doors)) as database:
        await rides_over(database).handle(request())
        assert await SqlRideStore(database).find_ride("ride") is not None


@pytest.mark.servers
async def test_a_process_whose_host_fell_silent_goes_on_at_the_other(
    postgres_url_of_own: str, doors: list[Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = PostgresOptions(timeout_s=4.0, connections_max=1)
    async with await open_database(through(postgres_url_of_own, *doors), options=options) as database:
        rides = rides_over(database)
        await rides.handle(request("before", quote_id="a"))
        doors[0].shut()
        monkeypatch.setattr(hosts, "HOST_TIMEOUT_S", 0.5)
        with pytest.raises(DatabaseUnavailable):
            await rides.handle(request("during", quote_id="b"))

        async def goes_on() -> bool:
            try:
                await rides.handle(request("after", quote_id="c"))
            except DatabaseUnavailable:
                return False
            return True

        await eventually(goes_on)


@pytest.mark.servers
async def test_no_host_that_is_wanted_is_told_as_missing(postgres_url_of_own: str, doors: list[Door]) -> None:
    url = through(postgres_url_of_own, *doors) + "?target_session_attrs=standby"
    with pytest.raises(DependencyMissing, match=r"None of the hosts match.*promote a replica"):
        await open_database(url)


def slow_commit(seconds: int) -> str:
    """Have commits of new rides take so long."""
    return f"""CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$
        LANGUAGE plpgsql;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON rides DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()"""


def at_commit(what: str) -> str:
    """Select something for each process of the server that commits in this database."""
    return (
        f"SELECT {what} FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND query LIKE 'COMMIT%' AND state = 'active'"
    )


def terminate(scope: str) -> str:
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND {scope}"


@pytest.mark.servers
async def test_a_connection_lost_in_mid_transaction_is_an_outage_and_leaves_nothing(
    postgres_database: PostgresDatabase,
) -> None:
    def script() -> Script[None]:
        yield Statement("INSERT INTO write_probes (id) VALUES ('half')")
        yield Statement("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable) as lost:
        await postgres_database.run(script)
    assert not isinstance(lost.value, CommitUnknown)
    assert (await postgres_database.read("SELECT COUNT(*) FROM write_probes"))[0][0] == 0


@pytest.mark.servers
@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_ride_whose_commit_was_lost_is_asked_for_again_with_its_key_and_is_there_once(
    postgres_url_of_own: str, postgres_database: PostgresDatabase, doors: list[Door], *, is_stored: bool
) -> None:
    """The connection is lost while the server commits: before it has, or before it could say so."""
    await postgres_database._pool.execute(slow_commit(1 if is_stored else 600))
    async with await open_database(through(postgres_url_of_own, doors[0])) as database:
        rides = rides_over(database)
        asking = asyncio.create_task(rides.handle(request(), key()))
        await eventually(lambda: postgres_database.read(at_commit("1")))
        if is_stored:
            doors[0].break_off()
        else:
            await postgres_database.read(at_commit("pg_terminate_backend(pid)"))
        with pytest.raises(CommitUnknown):
            async with asyncio.timeout(PATIENCE_S):
                await asking
        await postgres_database._pool.execute("DROP TRIGGER slow ON rides")
        outcome = await rides.handle(request(), key())
    assert outcome.is_replay == is_stored
    assert await SqlRideStore(postgres_database).count_rides() == {"REQUESTED": 1}


@pytest.mark.servers
async def test_a_server_that_became_read_only_is_an_outage_until_a_connection_finds_one_that_writes(
    postgres_url_of_own: str, postgres_database: PostgresDatabase
) -> None:
    name = urlsplit(postgres_url_of_own).path.strip("/")
    probe = Statement("DELETE FROM write_probes")
    await postgres_database._pool.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with await open_database(
        postgres_url_of_own, packages={}, options=PostgresOptions(connections_max=1)
    ) as other:
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            await other.run(lambda: one(probe))
        await postgres_database._pool.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await other.run(lambda: one(probe))  # by a connection of its own: the one before stays as it was


# -- announcements -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def listener(postgres_database: PostgresDatabase, postgres_url_of_own: str) -> AsyncIterator[Database]:
    """Another process on the same database."""
    async with await open_database(
        postgres_url_of_own, packages={}, options=PostgresOptions(name="the listener")
    ) as other:
        yield other


def announcing(*texts: str) -> Script[None]:
    from backing.sql.scripts import Announce

    yield Announce("made_up")
    for text in texts:
        yield Statement(text)


async def heard(news: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await news.wait(10 * PATIENCE_S)


@pytest.mark.servers
async def test_a_commit_is_heard_by_another_process_and_a_change_that_failed_is_not(
    postgres_database: PostgresDatabase, listener: Database
) -> None:
    news = listener.listen("made_up")
    await heard(news)  # it listens: what came before may have been missed
    assert news.is_heard
    with pytest.raises(asyncpg.UndefinedTableError):
        await postgres_database.run(lambda: announcing("SELECT * FROM nowhere"))
    await news.wait(0.2)
    assert not news._heard.is_set()
    for _ in range(2):
        await postgres_database.run(announcing)
        await heard(news)


@pytest.mark.servers
async def test_who_listens_does_so_again_after_the_connection_was_lost(
    postgres_database: PostgresDatabase, listener: Database
) -> None:
    news = listener.listen("made_up")
    await heard(news)
    await postgres_database.read(terminate("application_name = 'the listener'"))
    await heard(news)  # it asks at once what it missed
    await postgres_database.run(announcing)
    await heard(news)


async def test_over_a_pooler_nobody_listens_without_a_direct_address() -> None:
    database = await PostgresDatabase.prepare("postgresql://127.0.0.1:1/db", PostgresOptions(is_pooled=True))
    assert database.listen("made_up") is None
    await database.close()


async def test_a_file_is_not_listened_to(tmp_path: Path) -> None:
    async with await open_database(f"sqlite:///{tmp_path}/rides.db") as database:
        assert database.listen("made_up") is None
        await database.run(lambda: announcing("SELECT 1"))
