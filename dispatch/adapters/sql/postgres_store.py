"""PostgreSQL beneath the ride store, for several hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dispatch.adapters.sql import migrate, scripts
from dispatch.adapters.sql.scripts import Duplicate, Script
from dispatch.adapters.sql.store import SqlStore
from dispatch.ports import OutboxRow

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

#: Connections of one process: more than PostgreSQL's cores gains nothing.
POOL_MAX = 16
#: Times that a transaction is tried when others took the place it wanted, or PostgreSQL ended it to break a deadlock.
TRIES_MAX = 5
#: Any number will do, as long as no other program on the database locks the same.
MIGRATION_LOCK = 7_301_953
RELAY_LOCK = 7_301_954


class Collisions(NamedTuple):
    """asyncpg's errors for transactions that met another one."""

    not_unique: type[Exception]
    broken_off: tuple[type[Exception], ...]


class PostgresStore(SqlStore):
    """`RideStore` and `Outbox` over a pool of connections."""

    _dialect = "postgres"

    def __init__(self, pool: asyncpg.Pool, collisions: Collisions) -> None:
        self._pool = pool
        self._collisions = collisions

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        """Connect and bring the schema up to date. Raises what asyncpg raises if the server cannot be reached."""
        import asyncpg  # an extra: only those who use PostgreSQL need it

        # An acknowledged change is on disk, whatever the server's default is.
        durable = {"synchronous_commit": "on"}
        pool = await asyncpg.create_pool(url, min_size=1, max_size=POOL_MAX, server_settings=durable)
        try:
            await _migrate(pool)
        except BaseException:
            await pool.close()
            raise
        broken_off = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
        return cls(pool, Collisions(asyncpg.UniqueViolationError, broken_off))

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()

    async def unpublished(self, limit: int) -> list[OutboxRow]:
        """See `Outbox.unpublished`.

        Identity values are given before the commit, so a smaller one can appear after a greater: positions are given
        here, to what is committed, by one relay at a time.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", RELAY_LOCK)
            await _play(connection, scripts.give_positions())
        return await super().unpublished(limit)

    # -- the connections ---------------------------------------------------------------------------------------------

    async def _read(self, text: str, *parameters: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._pool.fetch(_dollars(text), *parameters)
        return rows

    async def _run(self, script: Callable[[], Script[T]]) -> T:
        """Run a script in a transaction; again if another one took the place it wanted, or the two held each other up.

        The next time it reads what the other has committed and decides on that; if the place is taken to the last, the
        script says what that means.
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
    """Run a script's statements and send it the rows, or tell it of a duplicate."""
    try:
        statement = next(script)
        while True:
            try:
                rows = await connection.fetch(_dollars(statement.text), *statement.parameters)
            except Exception as error:
                if duplicate is None or not isinstance(error, duplicate):
                    raise
                statement = script.throw(Duplicate(str(error)))
            else:
                statement = script.send(rows)
    except StopIteration as finished:
        result: T = finished.value
        return result


async def _migrate(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        await connection.execute(migrate.CREATE_VERSIONS)
        applied = [row[0] for row in await connection.fetch(migrate.APPLIED)]
        migrate.check_not_newer(applied, "postgres")
        for version, text in migrate.migrations("postgres"):
            if version not in applied:
                await connection.execute(text)
                await connection.execute(_dollars(migrate.MARK_APPLIED), version)


@cache
def _dollars(text: str) -> str:
    return re.sub(r"\?(\d+)", r"$\1", text)
