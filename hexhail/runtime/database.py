"""The SQL database of a process, opened by its URL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from backing.sql.database import Database
from backing.sql.migrate import NewerDatabase, Packages
from hexhail.runtime.connections import DependencyMissing

#: Every package with tables, in the order in which they are migrated: dispatch moves its old events into the outbox.
SQL_PACKAGES: Packages = {
    "outbox": "backing.outbox",
    "dispatch": "dispatch.adapters.sql",
    "pricing": "pricing.adapters.sql",
}


async def open_database(database_url: str, packages: Packages = SQL_PACKAGES) -> Database:
    """The database of a URL, the tables of the packages up to date; with no packages, as it is found.

    Raises DependencyMissing, or ValueError for a URL of neither kind.
    """
    url = urlsplit(database_url)
    try:
        if url.scheme == "sqlite":
            return await _open_sqlite(Path(database_url.removeprefix("sqlite:///")), packages)
        if url.scheme in ("postgres", "postgresql"):
            return await _open_postgres(database_url, packages)
    except NewerDatabase as error:
        raise DependencyMissing(f"{_without_password(database_url)}: {error}") from error
    raise ValueError(f"HEXHAIL_DATABASE_URL must begin with sqlite:/// or postgresql://, not {url.scheme!r}")


async def _open_sqlite(path: Path, packages: Packages) -> Database:
    from backing.sql.sqlite import SqliteDatabase

    try:
        return await SqliteDatabase.open(path, packages)
    except (sqlite3.Error, OSError) as error:
        raise DependencyMissing(
            f"SQLite cannot open {path} ({error}). It must be a database in a writable folder, on a disk with room, "
            "and no other program may keep it locked; or set HEXHAIL_DATABASE_URL."
        ) from error


async def _open_postgres(database_url: str, packages: Packages) -> Database:
    try:
        import asyncpg
    except ImportError as error:
        raise DependencyMissing("PostgreSQL needs its driver: pip install 'hexhail[postgres]'.") from error
    from backing.sql.postgres import PostgresDatabase

    try:
        return await PostgresDatabase.open(database_url, packages)
    except (OSError, asyncpg.PostgresError) as error:
        raise DependencyMissing(
            f"PostgreSQL does not open {_without_password(database_url)} ({error}). "
            "Start it there and create the database, or set HEXHAIL_DATABASE_URL."
        ) from error


def _without_password(database_url: str) -> str:
    url = urlsplit(database_url)
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
