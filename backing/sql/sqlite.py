"""SQLite: WAL, full sync, one writer thread that commits in groups.

A commit waits for the disk; scripts that arrive meanwhile share the next one. Each has a savepoint of its own, so
that one that fails undoes nothing of the others.
"""

from __future__ import annotations

import asyncio
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from backing.sql import migrate
from backing.sql.database import Database
from backing.sql.migrate import Packages
from backing.sql.scripts import Announce, Batch, Duplicate, Rows, Script, Step

T = TypeVar("T")

#: Scripts in one commit: bounds how long the first of them waits for the others.
GROUP_MAX = 64
#: How long to wait for another process's transaction; far longer than any of ours takes.
BUSY_TIMEOUT_S = 10.0
#: How long to wait for another process that brings a large file up to date.
MIGRATION_TIMEOUT_S = 600.0
#: Between tries where SQLite does not wait by itself.
BUSY_RETRY_S = 0.05
#: How a unique index refuses a row; other broken constraints are mistakes of ours.
_NOT_UNIQUE = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)

_Work = tuple[Callable[[], Script[Any]], "Future[Any]"]
#: What a script returned, or the error that it raised.
_Result = tuple[Any, Exception | None]


class SqliteDatabase(Database):
    """One SQLite file, shared by several processes."""

    dialect = "sqlite"

    def __init__(self, path: Path, packages: Packages) -> None:
        """Open the file and migrate the packages, none of them if ``packages`` is empty. Raises NewerDatabase."""
        self._path = path
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._is_closed = False
        if packages:
            with closing(self._connect(MIGRATION_TIMEOUT_S)) as connection:
                migrate_to_newest(connection, packages)
        self._reader = self._connect()
        self._reader_lock = threading.Lock()
        self._writer = threading.Thread(
            target=self._write_groups, args=(self._connect(),), name="sqlite-writer", daemon=True
        )
        self._writer.start()

    @classmethod
    async def open(cls, path: Path, packages: Packages) -> SqliteDatabase:
        """Open the file, bring its schema up to date and start the writer. Raises NewerDatabase."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return await asyncio.to_thread(cls, path, packages)

    async def close(self) -> None:
        """Finish what was handed in and close the file; what comes later is refused with RuntimeError."""
        self._is_closed = True
        self._work.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._close_reader)

    async def run(self, script: Callable[[], Script[T]]) -> T:
        """See `Database.run`. If the caller is cancelled, the script is done as a whole or not at all."""
        if self._is_closed:
            raise RuntimeError(f"the database {self._path} is closed")
        done: Future[T] = Future()
        self._work.put((script, done))
        return await asyncio.wrap_future(done)

    async def read(self, text: str, *parameters: Any) -> Rows:
        """See `Database.read`."""
        return await asyncio.to_thread(self._read_now, text, parameters)

    # -- the connections ---------------------------------------------------------------------------------------------

    def _connect(self, timeout_s: float | None = None) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=timeout_s or BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        _set_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _read_now(self, text: str, parameters: Sequence[Any]) -> list[Any]:
        with self._reader_lock:
            return self._reader.execute(text, parameters).fetchall()

    def _close_reader(self) -> None:
        with self._reader_lock:
            self._reader.close()

    # -- the writer thread -------------------------------------------------------------------------------------------

    def _write_groups(self, connection: sqlite3.Connection) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            _write_group(connection, group)
        connection.close()

    def _next_group(self) -> tuple[list[_Work], bool]:
        """Wait for work, then take what else is there; the flag is False when the database is being closed."""
        work = self._work.get()
        group: list[_Work] = []
        while work is not None:
            group.append(work)
            if len(group) == GROUP_MAX:
                return group, True
            try:
                work = self._work.get_nowait()
            except queue.Empty:
                return group, True
        return group, False


def migrate_to_newest(connection: sqlite3.Connection, packages: Packages) -> None:
    """Bring the schema up to date in one transaction. Raises NewerDatabase."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for file in play(connection, migrate.pending("sqlite", packages)):
            for statement in split(file.text):
                connection.execute(statement)
            play(connection, migrate.mark_applied(file.package, file.version, file.lives_with))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise


def split(text: str) -> Iterator[str]:
    """The statements of a file; semicolons in comments, strings and triggers end none."""
    statement = ""
    for part in re.split(r"(?<=;)", text):
        statement += part
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def play(connection: sqlite3.Connection, script: Script[T]) -> T:
    """Run a script's statements and send it the rows; returns what the script returns."""
    try:
        step = next(script)
        while True:
            try:
                rows = _execute(connection, step)
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorcode not in _NOT_UNIQUE:
                    raise
                step = script.throw(Duplicate(str(error)))
            else:
                step = script.send(rows)
    except StopIteration as finished:
        result: T = finished.value
        return result


def _execute(connection: sqlite3.Connection, step: Step) -> Rows:
    if isinstance(step, Announce):
        return ()  # nobody can listen to a file: other processes look
    if isinstance(step, Batch):
        return connection.executemany(step.text, step.parameters).fetchall()
    return connection.execute(step.text, step.parameters).fetchall()


def _write_group(connection: sqlite3.Connection, group: list[_Work]) -> None:
    """Commit the work of those who still wait, and tell each the result; an error of the commit is told to all."""
    group = [(script, done) for script, done in group if done.set_running_or_notify_cancel()]
    if not group:
        return
    try:
        results = _commit_together(connection, [script for script, _ in group])
    except Exception as error:
        results = [(None, error)] * len(group)
    for (_, done), (result, refusal) in zip(group, results, strict=True):
        if refusal is None:
            done.set_result(result)
        else:
            done.set_exception(refusal)


def _commit_together(connection: sqlite3.Connection, group: list[Callable[[], Script[Any]]]) -> list[_Result]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        results = [_in_savepoint(connection, script) for script in group]
        connection.execute("COMMIT")
    except Exception:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise
    return results


def _in_savepoint(connection: sqlite3.Connection, script: Callable[[], Script[Any]]) -> _Result:
    connection.execute("SAVEPOINT script")
    try:
        result = play(connection, script())
    except Exception as error:
        if not connection.in_transaction:  # SQLite itself rolled back all: the disk is full
            raise
        connection.execute("ROLLBACK TO script")
        connection.execute("RELEASE script")
        return None, error
    connection.execute("RELEASE script")
    return result, None


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL: the one step in which SQLite does not wait for others who open it just now."""
    give_up_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_s:
                raise
            time.sleep(BUSY_RETRY_S)
        else:
            return
