"""Migrations: each file once, whoever opens the database, however many at once; newer databases are refused."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backing.retry import RestartNeeded
from backing.sql import migrate
from backing.sql.database import Database
from backing.sql.scripts import Dialect, Statement, one
from backing.sql.sqlite import split
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.database import SQL_PACKAGES, open_database
from hexhail.runtime.schema_watch import check_schema, watch_schema
from tests.patience import PATIENCE_S

DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")
WritePackage = Callable[..., str]


@pytest.fixture
def write_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WritePackage:
    """Write a Python package with migrations, the same for both databases; returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written = set[str]()

    def write(*texts: str, of: str = "now") -> str:
        folder = tmp_path / f"made_up_{of}_{tmp_path.name}"
        (folder / "migrations").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
        for number, text in enumerate(texts, 1):
            for dialect in DIALECTS:
                (folder / "migrations" / f"{number:04}_step.{dialect}.sql").write_text(text)
        written.add(folder.name)
        return folder.name

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/made_up.db"
    found: str = request.getfixturevalue("postgres_url_of_own")
    return found


async def do(url: str, *texts: str) -> None:
    """Run statements on a database as it is."""
    async with await open_database(url, packages={}) as database:
        for text in texts:
            await database.run(lambda text=text: one(Statement(text)))


async def rows(database: Database, text: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await database.read(text)]


ADD_ONE = "CREATE TABLE counted (n BIGINT NOT NULL);\nINSERT INTO counted VALUES (1);"


async def test_each_file_is_applied_once_and_a_new_one_is_applied_to_an_old_database(
    url: str, write_package: WritePackage
) -> None:
    packages = {"made_up": write_package(ADD_ONE)}
    for _ in range(2):
        async with await open_database(url, packages) as database:
            assert await rows(database, "SELECT n FROM counted") == [(1,)]
    write_package(ADD_ONE, "UPDATE counted SET n = n + 1;")
    for _ in range(2):
        async with await open_database(url, packages) as database:
            assert await rows(database, "SELECT n FROM counted") == [(2,)]
    assert await database_versions(url) == {("made_up", 1), ("made_up", 2)}


async def database_versions(url: str) -> set[tuple[str, int]]:
    async with await open_database(url, packages={}) as database:
        present = await database.run(lambda: migrate.applied(database.dialect))
        return {(file.package, file.version) for file in present}


async def test_packages_are_migrated_in_the_order_in_which_they_are_named(
    url: str, write_package: WritePackage
) -> None:
    after = write_package("INSERT INTO shifts (driver_id, status, seats, changed_s) VALUES ('dora', 'online', 4, 9.5);")
    async with await open_database(url, {**SQL_PACKAGES, "made_up": after}) as database:
        assert await rows(database, "SELECT driver_id, stars_sum FROM shifts") == [("dora", 0)]


async def test_a_file_that_fails_leaves_the_database_as_it_was(url: str, write_package: WritePackage) -> None:
    packages = {"made_up": write_package(ADD_ONE, "INSERT INTO counted VALUES (2);\nINSERT INTO nowhere VALUES (3);")}
    with pytest.raises(DependencyMissing, match="nowhere"):
        await open_database(url, packages)
    assert await database_versions(url) == set()
    packages = {"made_up": write_package(ADD_ONE, "INSERT INTO counted VALUES (2);")}
    async with await open_database(url, packages) as database:
        assert await rows(database, "SELECT n FROM counted ORDER BY n") == [(1,), (2,)]


async def test_many_open_an_empty_database_at_once_and_each_file_is_applied_once(
    url: str, write_package: WritePackage
) -> None:
    packages = {"made_up": write_package(ADD_ONE), **SQL_PACKAGES}
    opened = await asyncio.gather(*(open_database(url, packages) for _ in range(6)))
    for database in opened:
        assert await rows(database, "SELECT n FROM counted") == [(1,)]
        await database.close()


async def test_versions_without_a_package_are_those_of_dispatch(url: str) -> None:
    async with await open_database(url) as database:
        newest = migrate.newest_versions(database.dialect, SQL_PACKAGES)["dispatch"]
    await do(
        url,
        "DROP TABLE schema_version",
        "CREATE TABLE schema_version (version BIGINT PRIMARY KEY)",
        *(f"INSERT INTO schema_version VALUES ({version})" for version in range(1, newest + 1)),
    )
    bare = {("dispatch", version) for version in range(1, newest + 1)}
    assert await database_versions(url) == bare  # looking alone changes nothing
    async with await open_database(url, {"dispatch": SQL_PACKAGES["dispatch"]}) as database:
        assert set(await rows(database, "SELECT package, version FROM schema_version")) == bare


@pytest.mark.parametrize(
    ("row", "why"),
    [(("dispatch", 9999), "the tables of dispatch have version 9999"), (("payments", 1), "has no such part")],
)
async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    url: str, row: tuple[str, int], why: str
) -> None:
    async with await open_database(url) as database:
        await database.run(lambda: migrate.mark_applied(*row))
    before = await database_versions(url)
    with pytest.raises(DependencyMissing, match=f"{why}.* written by a newer version"):
        await open_database(url)
    assert await database_versions(url) == before


EXPAND = "-- lives with: 1\nALTER TABLE counted ADD COLUMN twice BIGINT NOT NULL DEFAULT 2;"
CONTRACT = "-- lives with: 2\nALTER TABLE counted DROP COLUMN n;"


async def test_a_process_of_before_lives_with_what_says_so_and_refuses_what_takes_its_tables_away(
    url: str, write_package: WritePackage
) -> None:
    of_before = {"made_up": write_package(ADD_ONE, of="before")}
    running = await open_database(url, of_before)
    await (await open_database(url, {"made_up": write_package(ADD_ONE, EXPAND)})).close()
    await check_schema(running, of_before)  # it goes on,
    await (await open_database(url, of_before)).close()  # and may be started again
    await (await open_database(url, {"made_up": write_package(ADD_ONE, EXPAND, CONTRACT)})).close()
    with pytest.raises(RestartNeeded, match=r"made_up have version 3.*must not go on"):
        await check_schema(running, of_before)
    with pytest.raises(DependencyMissing, match="made_up have version 3"):
        await open_database(url, of_before)
    await running.close()


async def test_a_process_that_cannot_live_with_the_tables_any_more_stops_as_if_it_was_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = list[int]()
    monkeypatch.setattr("signal.raise_signal", raised.append)
    monkeypatch.setattr("hexhail.runtime.schema_watch.LOOK_EVERY_S", 0.01)
    async with await open_database(f"sqlite:///{tmp_path}/rides.db") as database:
        watching = asyncio.create_task(watch_schema(database))
        await asyncio.sleep(0.1)
        assert not watching.done()
        await database.run(lambda: migrate.mark_applied("dispatch", 9999))
        async with asyncio.timeout(PATIENCE_S):
            await watching
    assert raised == [signal.SIGTERM]


async def test_the_version_before_packages_sees_that_the_database_is_newer_than_itself(url: str) -> None:
    """It asked for the greatest version of all, and knew five."""
    async with await open_database(url) as database:
        applied = await rows(database, "SELECT version FROM schema_version ORDER BY version")
        assert applied[-1][0] > 5


@pytest.mark.parametrize(("package", "module"), SQL_PACKAGES.items())
def test_every_file_exists_for_both_databases_and_numbers_have_no_gaps(package: str, module: str) -> None:
    versions = [[found.version for found in migrate.migrations(dialect, package, module)] for dialect in DIALECTS]
    assert versions[0] == versions[1] == list(range(1, len(versions[0]) + 1))


def test_semicolons_in_comments_strings_and_triggers_end_no_statement() -> None:
    text = """-- a comment; with a semicolon
CREATE TABLE log (text TEXT); -- one more; here
INSERT INTO log VALUES ('one; -- two');
CREATE TRIGGER copy AFTER INSERT ON log WHEN NEW.text = 'x' BEGIN
  INSERT INTO log VALUES ('y');
END;
INSERT INTO log VALUES ('x')
"""
    with sqlite3.connect(":memory:") as connection:
        for statement in split(text):
            connection.execute(statement)
        assert [text for (text,) in connection.execute("SELECT text FROM log")] == ["one; -- two", "x", "y"]
    connection.close()


async def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader, " * 100)
    with pytest.raises(DependencyMissing, match=r"letter\.txt .*not a database.*HEXHAIL_DATABASE_URL"):
        await open_database(f"sqlite:///{tmp_path}/letter.txt")


@pytest.mark.servers
async def test_a_server_that_refuses_is_named_without_the_password(postgres_url: str) -> None:
    url = postgres_url.replace("/postgres?", "/nowhere?").replace("@", ":secret@", 1)
    assert "secret" in url
    with pytest.raises(DependencyMissing, match=r"nowhere.*create the database") as refused:
        await open_database(url)
    assert "secret" not in str(refused.value)
