"""The ride store in PostgreSQL, for several hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dispatch.adapters.sql import migrate, scripts
from dispatch.adapters.sql import statements as sql
from dispatch.adapters.sql.scripts import Duplicate, Script
from dispatch.model import Ride, Shift
from dispatch.ports import Decide, IdempotencyKey, OutboxRow, Outcome, Scope

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


class PostgresStore:
    """`RideStore` and `Outbox` over a pool of connections."""

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

    # -- RideStore ---------------------------------------------------------------------------------------------------

    async def transact(self, scope: Scope, decide: Decide, idempotency: IdempotencyKey | None = None) -> Outcome:
        """See `RideStore.transact`."""
        return await self._run(lambda: scripts.transact("postgres", scope, decide, idempotency))

    async def replay(self, idempotency: IdempotencyKey) -> Outcome | None:
        """See `RideStore.replay`."""
        return await self._run(lambda: scripts.replay(idempotency))

    async def find_ride(self, ride_id: str) -> Ride | None:
        """See `RideStore.find_ride`."""
        rows = await self._read(sql.FIND_RIDE, ride_id)
        return scripts.read_ride(rows[0][0]) if rows else None

    async def open_rides(self, region: str) -> list[Ride]:
        """See `RideStore.open_rides`."""
        return [scripts.read_ride(body) for (body,) in await self._read(sql.OPEN_RIDES, region)]

    async def live_rides(self, region: str) -> list[Ride]:
        """See `RideStore.live_rides`."""
        return [scripts.read_ride(body) for (body,) in await self._read(sql.LIVE_RIDES, region)]

    async def latest_trips(self, region: str, limit: int) -> list[Ride]:
        """Rides that have been picked up, the newest requests first."""
        return [scripts.read_ride(body) for (body,) in await self._read(sql.LATEST_TRIPS, region, limit)]

    async def free_drivers(self) -> dict[str, int]:
        """See `RideStore.free_drivers`."""
        return dict(await self._read(sql.FREE_DRIVERS))

    async def set_shift(self, shift: Shift) -> None:
        """See `RideStore.set_shift`."""
        await self._run(lambda: scripts.set_shift("postgres", shift))

    async def outbox_progress(self) -> tuple[int, int]:
        """See `RideStore.outbox_progress`."""
        committed, published = (await self._read(sql.PROGRESS))[0]
        return committed, published

    async def newest_token(self, region: str) -> int:
        """See `RideStore.newest_token`."""
        return int((await self._read(sql.NEWEST_FENCE, region))[0][0])

    # -- Outbox ------------------------------------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[OutboxRow]:
        """See `Outbox.unpublished`.

        Identity values are given before the commit, so a smaller one can appear after a greater: positions are given
        here, to what is committed, by one relay at a time.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", RELAY_LOCK)
            await _play(connection, scripts.give_positions())
        return [scripts.read_outbox_row(row) for row in await self._read(sql.UNPUBLISHED, limit)]

    async def newest_rows(self, limit: int) -> list[OutboxRow]:
        """See `Outbox.newest_rows`."""
        return [scripts.read_outbox_row(row) for row in await self._read(sql.NEWEST_ROWS, limit)]

    async def newest_published(self) -> int:
        """See `Outbox.newest_published`."""
        return int((await self._read(sql.PUBLISHED))[0][0])

    async def mark_published(self, position: int) -> None:
        """See `Outbox.mark_published`."""
        await self._pool.execute(_dollars(sql.MARK_PUBLISHED), position)

    async def history(self) -> list[str]:
        """Every event ever, as JSON; those of one ride in their order."""
        return [payload for (payload,) in await self._read(sql.HISTORY)]

    async def count_rides(self) -> dict[str, int]:
        """Rides by state."""
        return dict(await self._read(sql.COUNT_RIDES))

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
