"""What `hexhail doctor` says of a database, and that looking changes nothing."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
import redis.asyncio

from backing.sql import migrate
from hexhail.runtime import embedded
from hexhail.runtime.database import SQL_PACKAGES, open_database, open_for_role
from hexhail.runtime.doctor import Finding, examine
from hexhail.runtime.settings import Settings
from tests.api.installation import Valkey

UPGRADE = Path(__file__).parents[1] / "upgrade"


async def finding_of(url: str, monkeypatch: pytest.MonkeyPatch) -> Finding:
    monkeypatch.setenv("HEXHAIL_DATABASE_URL", url)
    return next(finding for finding in await examine() if finding.part == "SQL")


@pytest.fixture(autouse=True)
def nothing_else_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXHAIL_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HEXHAIL_BROKER_URL", "127.0.0.1:1")


async def test_a_database_that_is_up_to_date_is_told_with_its_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    await (await open_database(url)).close()
    newest = migrate.newest_versions("sqlite", SQL_PACKAGES)
    finding = await finding_of(url, monkeypatch)
    assert finding.ok
    versions = ", ".join(f"{package} {version}" for package, version in sorted(newest.items()))
    assert finding.seen == f"0 messages, 0 to be published; schema {versions}"


async def test_a_database_of_before_is_told_and_not_brought_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "before.db") as connection:
        connection.executescript((UPGRADE / "tables.sqlite.sql").read_text() + (UPGRADE / "rows.sql").read_text())
        finding = await finding_of(f"sqlite:///{tmp_path}/before.db", monkeypatch)
        assert finding.ok
        assert finding.seen.startswith("schema dispatch 5, the next start makes it auth 1, dispatch ")
        assert connection.execute("SELECT MAX(version), COUNT(*) FROM schema_version").fetchone() == (5, 5)
        assert connection.execute("SELECT COUNT(*) FROM outbox").fetchone() == (20,)
    connection.close()


async def test_recorded_rounds_are_told_by_size_and_age_and_too_old_ones_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEXHAIL_RECORD_DIR", str(tmp_path))
    began_ns = time.time_ns() - 10 * 86_400 * 10**9
    (tmp_path / f"town-{began_ns}.rounds").write_bytes(bytes(2_500_000))
    seen = {}
    for days in ("30", "5"):
        monkeypatch.setenv("HEXHAIL_KEEP_ROUNDS_DAYS", days)
        seen[days] = next(finding for finding in await examine() if finding.part == "recorded rounds")
    assert seen["30"].seen == "1 files, 2.5 of 10,000 MB; the oldest is 10.0 days old of 30 days"
    assert (seen["30"].ok, seen["5"].ok) == (True, False)


async def test_a_database_of_a_newer_version_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/newer.db"
    async with await open_database(url) as database:
        await database.run(lambda: migrate.mark_applied("dispatch", 9999))
    finding = await finding_of(url, monkeypatch)
    assert not finding.ok
    assert "written by a newer version" in finding.seen


async def test_an_sqlite_file_that_can_not_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes a file as read-only whose header names a newer format for writing; root may write any other."""
    path = tmp_path / "read-only.db"
    await (await open_database(f"sqlite:///{path}")).close()
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")
    finding = await finding_of(f"sqlite:///{path}", monkeypatch)
    assert not finding.ok
    assert "readonly" in finding.seen
    assert "standby" in finding.remedy


async def test_a_database_of_a_newer_version_that_lives_with_this_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/newer.db"
    newest = migrate.newest_versions("sqlite", SQL_PACKAGES)["dispatch"]
    async with await open_database(url) as database:
        await database.run(lambda: migrate.mark_applied("dispatch", 9999, newest))
    finding = await finding_of(url, monkeypatch)
    assert finding.ok
    assert "dispatch 9999" in finding.seen
    assert "run beside a newer version" in finding.seen


@pytest.mark.servers
async def test_processes_that_may_open_more_connections_than_postgresql_has_are_told(
    postgres_url_of_own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEXHAIL_DATABASE_URL", postgres_url_of_own)

    async def finding() -> Finding:
        return next(found for found in await examine() if found.part == "SQL connections")

    async with await open_for_role(Settings(), "api"), await open_for_role(Settings(), "relay"):
        found = await finding()
        assert (found.ok, found.seen) == (True, "2 processes may open 15 of 97")
        monkeypatch.setenv("HEXHAIL_DATABASE_CONNECTIONS_API", "90")
        async with await open_for_role(Settings(), "api"):
            found = await finding()
    assert (found.ok, found.seen) == (False, "3 processes may open 105 of 97")
    assert "PgBouncer" in found.remedy


@pytest.mark.servers
@pytest.mark.parametrize("fault", ["replica", "full"])
async def test_a_redis_that_takes_no_writes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    valkey = Valkey(embedded.free_port(), tmp_path / "valkey")
    valkey.start()
    monkeypatch.setenv("HEXHAIL_REDIS_URL", f"redis://127.0.0.1:{valkey.port}/0")
    try:
        async with redis.asyncio.Redis(port=valkey.port) as client:
            assert (await redis_finding()).ok
            if fault == "replica":
                await client.replicaof("127.0.0.1", 1)
            else:
                await client.config_set("maxmemory", 1)
            finding = await redis_finding()
            assert not finding.ok
            assert finding.seen.startswith("answers, and refuses writes: ")
            assert "replica" in finding.remedy
    finally:
        valkey.kill()


async def redis_finding() -> Finding:
    return next(finding for finding in await examine() if finding.part == "Redis")
