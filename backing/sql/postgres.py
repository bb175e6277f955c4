"""PostgreSQL over a pool of connections, for several hosts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from backing.sql import hosts, migrate
from backing.sql.announcing import Announcer, Listening
from backing.sql.database import Database, News
from backing.sql.failures import CommitUnknown, DatabaseUnavailable, is_outage, said
from backing.sql.migrate import Packages
from backing.sql.scripts import Announce, Batch, Duplicate, Rows, Script, Statement, Step

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

#: Times that a transaction is tried when others took the place it wanted, or PostgreSQL ended it to break a deadlock.
TRIES_MAX = 5
#: Any number will do, as long as no other program on the database locks the same.
MIGRATION_LOCK = 7_301_953
#: SQLSTATE of a row that a unique index refuses, and of transactions that met another one and are to be repeated.
NOT_UNIQUE = "23505"
BROKEN_OFF = ("40001", "40P01")
READ_ONLY = "25006"
#: How long a process waits for another one that brings a large database up to date, and for each file of its own.
MIGRATION_TIMEOUT_S = 600.0
#: Wall seconds that a connection whose statement was given up may take to be usable again before it is dropped.
RELEASE_TIMEOUT_S = 2.0
#: Wall seconds for what still runs when the database is closed; a host that is cut off would never end it.
CLOSE_TIMEOUT_S = 10.0
#: What asyncpg itself keeps of prepared statements in a connection.
STATEMENTS_KEPT = 100


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """How a process uses PostgreSQL."""

    #: Connections at most, at least 1; what comes when all are in use waits.
    connections_max: int = 8
    #: Whether the address leads to a pooler that gives each transaction another connection, such as PgBouncer in
    #: transaction mode: nothing is then set for a session, and nobody listens over it.
    is_pooled: bool = False
    #: Prepared statements that a connection keeps, 0 for none; None for asyncpg's default, or none over a pooler.
    statements_kept: int | None = None
    #: Wall seconds that a statement, or waiting for a connection, may take; None for any time.
    timeout_s: float | None = None
    #: Name of the process in `pg_stat_activity`.
    name: str = "hexhail"
    #: An address past the pooler, to listen at.
    direct_url: str | None = None

    @property
    def pool(self) -> dict[str, Any]:
        """The arguments of asyncpg's pool."""
        kept = self.statements_kept
        if kept is None:
            kept = 0 if self.is_pooled else STATEMENTS_KEPT
        # An acknowledged change is on disk, whatever the server's default is.
        session = {} if self.is_pooled else {"synchronous_commit": "on", "application_name": self.name}
        return {
            "min_size": 0,
            "max_size": self.connections_max,
            "statement_cache_size": kept,
            "command_timeout": self.timeout_s,
            "server_settings": session,
        }


DEFAULT_OPTIONS = PostgresOptions()


class PostgresDatabase(Database):
    """A PostgreSQL database, shared by processes on several hosts."""

    dialect = "postgres"

    def __init__(self, url: str, pool: asyncpg.Pool, options: PostgresOptions) -> None:
        self._url = url
        self._pool = pool
        self._options = options
        self._announcer = Announcer(self._notify)
        self._listening: list[Listening] = []

    @classmethod
    async def open(cls, url: str, packages: Packages, options: PostgresOptions = DEFAULT_OPTIONS) -> PostgresDatabase:
        """Connect and migrate the packages, none of them if ``packages`` is empty.

        Raises NewerDatabase, DatabaseUnavailable, and what asyncpg raises if the server refuses.
        """
        database = await cls.prepare(url, options)
        try:
            await database.migrate(packages)
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    async def prepare(cls, url: str, options: PostgresOptions = DEFAULT_OPTIONS) -> PostgresDatabase:
        """A database that connects when it is first used, so that its server may be away."""
        import asyncpg  # an extra: only those who use PostgreSQL need it

        # Nothing of ours is set for a session: between two uses of a connection there is nothing to reset.
        pool = await asyncpg.create_pool(url, connect=hosts.connect, reset=_leave, **options.pool)
        return cls(url, pool, options)

    async def close(self) -> None:
        """Wait for the transactions that run, and release the connections."""
        for listening in self._listening:
            await listening.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._announcer.close()
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def migrate(self, packages: Packages) -> None:
        """Connect, and bring the packages up to date in one transaction. Raises as `open` does."""
        await self.read("SELECT 1")
        if not packages:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit TO on")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK, timeout=MIGRATION_TIMEOUT_S)
            playing = _Played(tells_duplicate=False)
            for file in await playing.play(connection, migrate.pending("postgres", packages)):
                await connection.execute(file.text, timeout=MIGRATION_TIMEOUT_S)
                await playing.play(connection, migrate.mark_applied(file.package, file.version, file.lives_with))

    def listen(self, channel: str) -> News | None:
        """See `Database.listen`: over a connection of its own, at the direct address if there is a pooler."""
        url = self._options.direct_url or (None if self._options.is_pooled else self._url)
        if url is None:
            return None
        self._listening.append(Listening(url, channel, self._options.name))
        return self._listening[-1]

    async def read(self, text: str, *parameters: Any) -> Rows:
        """See `Database.read`."""
        try:
            async with self._connection() as connection:
                rows: Rows = await connection.fetch(_dollars(text), *parameters)
        except Exception as error:
            if is_outage(error):
                raise DatabaseUnavailable(said(error)) from error
            raise
        return rows

    async def run(self, script: Callable[[], Script[T]]) -> T:
        """See `Database.run`.

        The script runs again if another transaction took the place it wanted, or the two held each other up. It then
        reads what the other has committed and decides on that. At the last try it is told of the duplicate. A server
        that is away is not tried again: whoever calls knows better how long to wait.
        """
        for _ in range(TRIES_MAX - 1):
            try:
                return await self._try(script, tells_duplicate=False)
            except Exception as error:
                if not _is_state(error, NOT_UNIQUE, *BROKEN_OFF):
                    raise
        return await self._try(script, tells_duplicate=True)

    async def _try(self, script: Callable[[], Script[T]], *, tells_duplicate: bool) -> T:
        """Run the script in a transaction once. Raises DatabaseUnavailable, CommitUnknown, and what the script does."""
        played, commit = _Played(tells_duplicate=tells_duplicate), "not sent"
        try:
            async with self._connection() as connection:
                transaction = connection.transaction(isolation="read_committed")
                await transaction.start()
                try:
                    if self._options.is_pooled:  # who had the connection before may have set it otherwise
                        await connection.execute("SET LOCAL synchronous_commit TO on")
                    result = await played.play(connection, script())
                except BaseException:
                    with suppress(Exception):  # a connection that is lost is rolled back by the server
                        await transaction.rollback()
                    raise
                commit = "sent"
                await transaction.commit()
                commit = "acknowledged"
        except Exception as error:
            if commit != "acknowledged":
                await self._raise_outage(error, is_commit_sent=commit == "sent")
                raise
        self._announcer.announce(played.channels)
        return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await self._pool.acquire(timeout=self._options.timeout_s)
        try:
            yield connection
        finally:
            await self._pool.release(connection, timeout=RELEASE_TIMEOUT_S)

    async def _raise_outage(self, error: Exception, *, is_commit_sent: bool) -> None:
        if not is_outage(error):
            return
        if _is_state(error, READ_ONLY):  # a primary no more: the next connection asks the hosts anew
            await self._pool.expire_connections()
        raise (CommitUnknown if is_commit_sent else DatabaseUnavailable)(said(error)) from error

    async def _notify(self, channel: str) -> None:
        await self._pool.execute("SELECT pg_notify($1, '')", channel)


class _Played:
    """A script that is run over a connection, and the channels that it announces on."""

    def __init__(self, *, tells_duplicate: bool) -> None:
        self.channels: set[str] = set()
        self._tells_duplicate = tells_duplicate

    async def play(self, connection: asyncpg.Connection, script: Script[T]) -> T:
        """Run a script's statements and send it the rows, or tell it of a duplicate; returns its result."""
        try:
            step = next(script)
            while True:
                try:
                    rows = await self._execute(connection, step)
                except Exception as error:
                    if not self._tells_duplicate or not _is_state(error, NOT_UNIQUE):
                        raise
                    step = script.throw(Duplicate(str(error)))
                else:
                    step = script.send(rows)
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def _execute(self, connection: asyncpg.Connection, step: Step) -> Rows:
        if isinstance(step, Announce):
            self.channels.add(step.channel)
            return ()
        if isinstance(step, Batch):
            await connection.executemany(_dollars(step.text), step.parameters)
            return ()
        assert isinstance(step, Statement)
        rows: Rows = await connection.fetch(_dollars(step.text), *step.parameters)
        return rows


def _is_state(error: BaseException, *states: str) -> bool:
    """Whether the server gave one of these SQLSTATEs as the reason."""
    return getattr(error, "sqlstate", None) in states


async def _leave(connection: asyncpg.Connection) -> None:
    """Leave a connection as it is when it goes back to the pool; asyncpg has ended a transaction that was left open."""


@cache
def _dollars(text: str) -> str:
    """The text with parameters as PostgreSQL numbers them: `$1` for `?1`."""
    return re.sub(r"\?(\d+)", r"$\1", text)
