"""Acknowledged means durable: processes killed while they write, many of them at once, disks that are full."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backing.outbox.outbox import SqlOutbox
from backing.sql.scripts import Statement, one
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.engine import DispatchEngine
from dispatch.errors import DriverBusy
from dispatch.ports import Decision, Scope
from dispatch.rules.invariants import check_history
from dispatch.service.rides import RideService
from hexhail.runtime.database import open_database
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, accept, do, history, offer, on_shift, request
from tests.patience import PATIENCE_S, eventually

ROOT = Path(__file__).resolve().parents[3]


def url_of(folder: Path) -> Any:
    return f"sqlite:///{folder}/rides.db"


def start_writer(database_url: Any, name: str, count: int) -> Any:
    command = [sys.executable, "-m", "tests.dispatch.sql.writer", database_url, name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_while_it_writes(database_url: Any, at_least: Any) -> Any:
    """Start a writer, kill -9 it after some acknowledgements; the ids of all that it acknowledged."""
    writer = start_writer(database_url, "killed", 1_000_000)
    acknowledged = [writer.stdout.readline().strip() for _ in range(at_least)]
    writer.kill()
    acknowledged += writer.stdout.read().splitlines()
    writer.stdout.close()
    writer.wait()
    return acknowledged


def is_whole(ride_ids: Any, acknowledged: Any, events: Any) -> None:
    assert not any(line.startswith("refused") for line in acknowledged)
    assert set(acknowledged) <= ride_ids
    assert {event.ride_id for event in events} == ride_ids  # each ride with its event, each event with its ride
    assert len(events) == len(ride_ids)


async def test_every_ride_that_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    acknowledged = await asyncio.to_thread(kill_while_it_writes, url_of(tmp_path), 300)
    database = await open_database(url_of(tmp_path))
    store = SqlRideStore(database)
    open_rides = await store.open_rides("manhattan")
    is_whole({ride.ride_id for ride in open_rides}, acknowledged, await history(store))
    rows = await SqlOutbox(database).unpublished(1_000_000)
    assert [row.position for row in rows] == list(range(1, len(open_rides) + 1))
    await database.close()
    with sqlite3.connect(tmp_path / "rides.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def until_alone(database_url: Any) -> None:
    """Wait until the server has noticed that the writer is dead: it still finishes commits that had reached it."""
    import asyncpg

    connection = await asyncpg.connect(database_url)
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    async def is_alone() -> bool:
        return await connection.fetchval(others) == 0

    await eventually(is_alone)
    await connection.close()


@pytest.mark.servers
async def test_every_ride_that_was_acknowledged_is_there_after_kill_9_over_postgres(postgres_url_of_own: Any) -> None:
    acknowledged = await asyncio.to_thread(kill_while_it_writes, postgres_url_of_own, 300)
    await until_alone(postgres_url_of_own)
    async with await open_database(postgres_url_of_own) as database:
        store = SqlRideStore(database)
        open_rides = await store.open_rides("manhattan")
        is_whole({ride.ride_id for ride in open_rides}, acknowledged, await history(store))


def _finish(writer: Any) -> Any:
    lines = writer.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert writer.returncode == 0
    return lines


async def test_three_processes_open_a_new_file_at_once_and_none_loses_a_ride_or_is_refused(tmp_path: Path) -> None:
    writers = [start_writer(url_of(tmp_path), f"writer{n}", 200) for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        lines = await asyncio.to_thread(lambda: [line for part in pool.map(_finish, writers) for line in part])
    assert sorted(lines) == sorted(f"writer{n}-{k}" for n in range(3) for k in range(200))
    async with await open_database(url_of(tmp_path)) as database:
        store = SqlRideStore(database)
        assert {ride.ride_id for ride in await store.open_rides("manhattan")} == set(lines)
        assert [row.position for row in await SqlOutbox(database).unpublished(1000)] == list(range(1, 601))


async def test_a_new_file_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    for n in range(5):
        opened = await asyncio.gather(*(open_database(f"sqlite:///{tmp_path}/{n}.db") for _ in range(6)))
        assert [await SqlRideStore(database).open_rides("manhattan") for database in opened] == [[]] * 6
        await asyncio.gather(*(database.close() for database in opened))


# -- the writer thread -------------------------------------------------------------------------------------------------


@pytest.fixture
def service(sqlite_store: Any) -> Any:
    return RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())


def _held(gate: Any) -> Any:
    """A script that keeps the writer busy until the gate opens."""

    def script() -> Iterator[Any]:
        gate.wait()
        yield Statement("SELECT 1")

    return script


async def test_a_client_who_hangs_up_while_the_command_runs_or_waits_does_not_stop_the_writer(
    sqlite_database: Any, sqlite_store: Any, service: Any
) -> None:
    gate = threading.Event()
    running = asyncio.create_task(sqlite_database.run(_held(gate)))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(service.handle(request("waiting")))
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    await asyncio.sleep(0.05)
    gate.set()
    await asyncio.gather(running, waiting, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S):
        await service.handle(request("after"))
    assert [ride.ride_id for ride in await sqlite_store.open_rides("manhattan")] == ["after"]


async def test_what_was_handed_in_before_closing_is_done_and_what_comes_after_is_refused(
    sqlite_database: Any, service: Any
) -> None:
    waiting = [asyncio.create_task(service.handle(request(f"ride{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    await sqlite_database.close()
    assert len(await asyncio.gather(*waiting)) == 100
    with pytest.raises(RuntimeError, match="closed"):
        async with asyncio.timeout(PATIENCE_S):
            await service.handle(request("late"))
    await sqlite_database.close()  # twice is once


async def test_a_full_disk_refuses_commands_loses_none_that_was_acknowledged_and_ends_when_there_is_room(
    sqlite_database: Any, sqlite_store: Any, service: Any
) -> None:
    def limit_pages(limit: Any) -> Any:
        return sqlite_database.run(lambda: one(Statement(f"PRAGMA max_page_count = {limit}")))

    await limit_pages(60)
    sent = [service.handle(request(f"ride{n}")) for n in range(400)]
    results = await asyncio.gather(*sent, return_exceptions=True)
    acknowledged = {result.ride.ride_id for result in results if not isinstance(result, Exception)}
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors
    assert all(isinstance(error, sqlite3.OperationalError) for error in errors)
    await limit_pages(1_000_000)
    await service.handle(request("after"))
    assert {ride.ride_id for ride in await sqlite_store.open_rides("manhattan")} == acknowledged | {"after"}
    assert len(await history(sqlite_store)) == len(acknowledged) + 1


async def test_a_file_that_another_program_keeps_locked_refuses_commands_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backing.sql.sqlite.BUSY_TIMEOUT_S", 0.1)
    database = await open_database(url_of(tmp_path))
    rides = RideService(SqlRideStore(database), MemoryLeases(), PARAMS, Clock())
    other = sqlite3.connect(tmp_path / "rides.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await rides.handle(request())
    other.execute("COMMIT")
    other.close()
    await rides.handle(request())
    await database.close()


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


@pytest.mark.servers
async def test_a_matcher_that_stops_between_reading_and_writing_cannot_give_a_driver_two_lives(
    postgres_url_of_own: Any, postgres_store: Any
) -> None:
    """While one decides that the driver is free, another process offers and the driver accepts."""
    rides = RideService(postgres_store, MemoryLeases(), PARAMS, Clock())
    await do(rides, request("one"), request("two"))
    await on_shift(rides, "dora")

    async def quick() -> None:
        async with await open_database(postgres_url_of_own) as other:
            others_rides = RideService(SqlRideStore(other), MemoryLeases(), PARAMS, Clock())
            await others_rides.handle(offer("one", token=1))
            await others_rides.handle(accept("one-1"))

    with ThreadPoolExecutor(1) as pool:
        meanwhile = []

        def decide(seen: Any) -> Any:
            meanwhile.append(pool.submit(asyncio.run, quick()))
            threading.Event().wait(0.7)  # a pause, as of a garbage collection
            engine = DispatchEngine(PARAMS, seen)
            events = engine.handle(offer("two", token=2), 1000.0)
            return Decision(events, engine.ride("two"))

        await postgres_store.transact(Scope(ride_id="two", driver_id="dora"), decide)
        with pytest.raises(DriverBusy):
            await asyncio.wrap_future(meanwhile[0])
    assert check_history(await history(postgres_store)).violations == []


@pytest.mark.servers
@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_transaction_that_postgres_broke_off_is_tried_again_but_not_for_ever(
    postgres_database: Any, postgres_store: Any, state: Any
) -> None:
    rides = RideService(postgres_store, MemoryLeases(), PARAMS, Clock())
    pool = postgres_database._pool
    await pool.execute("CREATE SEQUENCE tries")
    await pool.execute(
        f"""CREATE FUNCTION break_off() RETURNS trigger AS $$ BEGIN
        IF nextval('tries') < 4 OR NEW.ride_id = 'never' THEN
            RAISE EXCEPTION 'broken off' USING ERRCODE = '{state}'; END IF;
        RETURN NEW; END $$ LANGUAGE plpgsql"""
    )
    await pool.execute("CREATE TRIGGER break_off BEFORE INSERT ON rides FOR EACH ROW EXECUTE FUNCTION break_off()")
    outcome = await rides.handle(request())
    assert outcome.ride.ride_id == "ride"
    with pytest.raises(Exception, match="broken off"):
        await rides.handle(request("never"))
    assert len(await history(postgres_store)) == 1
