"""Opens the SQL database of a process by its URL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from backing.sql.database import Database
from backing.sql.migrate import NewerDatabase, Packages
from hexhail.runtime.connections import DependencyMissing

#: Packages with tables in the order of migration: dispatch moves events of older versions into the outbox.
SQL_PACKAGES: Packages = {
    "outbox": "backing.outbox",
    "dispatch": "dispatch.adapters.sql",
    "pricing": "pricing.adapters.sql",
}


async def open_database(database_url: str, packages: Packages = SQL_PACKAGES) -> Database:
    """Open the database of a URL and migrate the tables of the packages; without packages, migrate nothing.

    Raises DependencyMissing, or ValueError for a URL that is neither SQLite nor PostgreSQL.
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
