"""Opens the SQL database of a process by its URL."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from backing.sql.database import Database
from backing.sql.failures import DatabaseUnavailable
from backing.sql.hosts import address_of
from backing.sql.migrate import NewerDatabase, Packages, newest_versions
from backing.sql.postgres import PostgresDatabase, PostgresOptions
from backing.sql.replica import HistorySource
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.settings import Settings

#: Packages with tables in the order of migration: dispatch moves events of older versions into the outbox.
SQL_PACKAGES: Packages = {
    "outbox": "backing.outbox",
    "dispatch": "dispatch.adapters.sql",
    "pricing": "pricing.adapters.sql",
    "auth": "api.auth.sql",
}

#: Connections of an API process to the replica: operators are few.
REPLICA_MAX = 4
#: PostgreSQL cuts a longer application_name.
_NAME_CHARS_MAX = 63


async def open_database(
    database_url: str, packages: Packages = SQL_PACKAGES, options: PostgresOptions | None = None
) -> Database:
    """Open the database of a URL and migrate the tables of the packages; without packages, migrate nothing.

    ``options`` are for PostgreSQL alone. Raises DependencyMissing, or ValueError for a URL that is neither SQLite nor
    PostgreSQL.
    """
    scheme = urlsplit(database_url).scheme
    try:
        if scheme == "sqlite":
            return await _open_sqlite(Path(database_url.removeprefix("sqlite:///")), packages)
        if is_postgres(database_url):
            return await _open_postgres(database_url, packages, options or PostgresOptions())
    except NewerDatabase as error:
        raise DependencyMissing(f"{address_of(database_url)}: {error}") from error
    raise ValueError(f"HEXHAIL_DATABASE_URL must begin with sqlite:/// or postgresql://, not {scheme!r}")


async def open_for_role(settings: Settings, role: str, packages: Packages = SQL_PACKAGES) -> Database:
    """Open the database of the settings for a process of a role, as `open_database` does."""
    return await open_database(settings.database_url, packages, options_of(settings, role))


async def open_history(settings: Settings, primary: Database, stack: AsyncExitStack) -> HistorySource:
    """Where history is read: the replica of the settings, which may be away, or ``primary``; the stack closes it."""
    url = settings.database_replica_url
    if url is None:
        return HistorySource(primary)
    if not (is_postgres(url) and is_postgres(settings.database_url)):
        raise ValueError("HEXHAIL_DATABASE_REPLICA_URL and HEXHAIL_DATABASE_URL must both be of PostgreSQL")
    replica = await PostgresDatabase.prepare(url, replace(options_of(settings, "api"), connections_max=REPLICA_MAX))
    await stack.enter_async_context(replica)
    files = sum(newest_versions("postgres", SQL_PACKAGES).values())
    return HistorySource(primary, replica, settings.database_replica_age_s_max, files)


def is_postgres(database_url: str) -> bool:
    """Whether a URL is of PostgreSQL."""
    return urlsplit(database_url).scheme in ("postgres", "postgresql")


def options_of(settings: Settings, role: str) -> PostgresOptions:
    """How a process of a role uses PostgreSQL; only the API serves many people at once."""
    most = settings.database_connections_api if role == "api" else settings.database_connections_role
    return PostgresOptions(
        connections_max=most,
        is_pooled=settings.database_pooler,
        statements_kept=settings.database_statements_kept,
        timeout_s=settings.database_timeout_s or None,
        # One more listens.
        name=ProcessName(role, most + (role == "relay"), f"{socket.gethostname()}:{os.getpid()}").text,
        direct_url=settings.database_direct_url,
    )


@dataclass(frozen=True, slots=True)
class ProcessName:
    """The name that a process has in `pg_stat_activity`, from which others learn how many connections it may open."""

    role: str
    connections_max: int
    place: str

    @property
    def text(self) -> str:
        """`hexhail <role> <most connections> <host>:<process>`; of a long host's name the end, which tells more."""
        beginning = f"hexhail {self.role} {self.connections_max} "
        return beginning + self.place[-(_NAME_CHARS_MAX - len(beginning)) :]

    @classmethod
    def parse(cls, text: str) -> ProcessName | None:
        """What a name says; None for one that is not of hexhail."""
        parts = text.split(" ", 3)
        if len(parts) != 4 or parts[0] != "hexhail" or not parts[2].isdecimal():
            return None
        return cls(parts[1], int(parts[2]), parts[3])


async def _open_sqlite(path: Path, packages: Packages) -> Database:
    from backing.sql.sqlite import SqliteDatabase

    try:
        return await SqliteDatabase.open(path, packages)
    except (sqlite3.Error, OSError) as error:
        raise DependencyMissing(
            f"SQLite cannot open {path} ({error}). It must be a database in a writable folder, on a disk with room, "
            "and no other program may keep it locked; or set HEXHAIL_DATABASE_URL."
        ) from error


async def _open_postgres(database_url: str, packages: Packages, options: PostgresOptions) -> Database:
    try:
        import asyncpg
    except ImportError as error:
        raise DependencyMissing(
            "PostgreSQL needs its driver: pip install 'hexhail[postgres]', or install requirements/server.txt instead "
            "of requirements/runtime.txt."
        ) from error
    try:
        return await PostgresDatabase.open(database_url, packages, options)
    except (DatabaseUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise DependencyMissing(_not_opened(database_url, error)) from error


def _not_opened(database_url: str, error: Exception) -> str:
    refusal = error.__cause__ if isinstance(error, DatabaseUnavailable) else error
    what = f"PostgreSQL does not open {address_of(database_url)} ({refusal or error!r})."
    if "," not in urlsplit(database_url).netloc:
        return f"{what} Start it there and create the database, or set HEXHAIL_DATABASE_URL."
    return (
        f"{what} None of these hosts takes writes and connections: start the primary on one of them, promote a "
        "replica, and create the database; or set HEXHAIL_DATABASE_URL."
    )
