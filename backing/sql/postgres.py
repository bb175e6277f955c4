"""PostgreSQL over a pool of connections, for several hosts."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from backing.sql import migrate
from backing.sql.database import Database
from backing.sql.migrate import Packages
from backing.sql.scripts import Batch, Duplicate, Rows, Script, Statement

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

#: Connections of one process: more than PostgreSQL's cores gains nothing.
POOL_MAX = 16
#: Times that a transaction is tried when others took the place it wanted, or PostgreSQL ended it to break a deadlock.
TRIES_MAX = 5
#: Any number will do, as long as no other program on the database locks the same.
MIGRATION_LOCK = 7_301_953


class Collisions(NamedTuple):
    """asyncpg's errors for transactions that met another one."""

    not_unique: type[Exception]
    broken_off: tuple[type[Exception], ...]


class PostgresDatabase(Database):
    """A PostgreSQL database, shared by processes on several hosts."""

    dialect = "postgres"

    def __init__(self, pool: asyncpg.Pool, collisions: Collisions) -> None:
        self._pool = pool
        self._collisions = collisions

    @classmethod
    async def open(cls, url: str, packages: Packages) -> PostgresDatabase:
        """Connect and migrate the packages, none of them if ``packages`` is empty.

        Raises NewerDatabase, and what asyncpg raises if the server cannot be reached or refuses.
        """
        import asyncpg  # an extra: only those who use PostgreSQL need it

        # An acknowledged change is on disk, whatever the server's default is.
        durable = {"synchronous_commit": "on"}
        pool = await asyncpg.create_pool(url, min_size=1, max_size=POOL_MAX, server_settings=durable)
        try:
            if packages:
                await _migrate(pool, packages)
        except BaseException:
            await pool.close()
            raise
        broken_off = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
        return cls(pool, Collisions(asyncpg.UniqueViolationError, broken_off))

    async def close(self) -> None:
        """Wait for the transactions that run, and release the connections."""
        await self._pool.close()

    async def read(self, text: str, *parameters: Any) -> Rows:
        """See `Database.read`."""
        rows: Rows = await self._pool.fetch(_dollars(text), *parameters)
        return rows

    async def run(self, script: Callable[[], Script[T]]) -> T:
        """See `Database.run`.

        The script runs again if another transaction took the place it wanted, or the two held each other up. It then
        reads what the other has committed and decides on that. At the last try it is told of the duplicate.
        """
        for _ in range(TRIES_MAX - 1):
            try:
                async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
                    return await _play(connection, script())
            except (self._collisions.not_unique, *self._collisions.broken_off):
                continue
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            return await _play(connection, script(), self._collisions.not_unique)


async def _play(connection: asyncpg.Connection, script: Script[T], duplicate: type[Exception] | None = None) -> T:
    """Run a script's statements and send it the rows, or tell it of a duplicate; returns what the script returns."""
    try:
        step = next(script)
        while True:
            try:
                rows = await _execute(connection, step)
            except Exception as error:
                if duplicate is None or not isinstance(error, duplicate):
                    raise
                step = script.throw(Duplicate(str(error)))
            else:
                step = script.send(rows)
    except StopIteration as finished:
        result: T = finished.value
        return result


async def _execute(connection: asyncpg.Connection, step: Statement | Batch) -> Rows:
    if isinstance(step, Batch):
        await connection.executemany(_dollars(step.text), step.parameters)
        return ()
    rows: Rows = await connection.fetch(_dollars(step.text), *step.parameters)
    return rows


async def _migrate(pool: asyncpg.Pool, packages: Packages) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        for package, version, text in await _play(connection, migrate.pending("postgres", packages)):
            await connection.execute(text)
            await _play(connection, migrate.mark_applied(package, version))


@cache
def _dollars(text: str) -> str:
    """The text with parameters as PostgreSQL numbers them: `$1` for `?1`."""
    return re.sub(r"\?(\d+)", r"$\1", text)
