"""The record of prices and of operators' orders, in the database of the rides: SQLite or PostgreSQL.

Rows are only ever added. One statement each serves both servers; parameters are written ?1, ?2, …
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo.cells import cells_to_strings
from pricing.model.surge import FreezeOrder
from pricing.rules.price_changes import PriceChange, Reason

if TYPE_CHECKING:
    import asyncpg

#: How long to wait for another process's transaction; far longer than any of ours takes.
BUSY_TIMEOUT_S = 10.0
#: Any number will do, as long as no other program on the database locks the same.
SCHEMA_LOCK = 7_301_955

CREATE = (
    """CREATE TABLE IF NOT EXISTS surge_changes (
  region TEXT NOT NULL, cell TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL,
  multiplier DOUBLE PRECISION NOT NULL, multiplier_before DOUBLE PRECISION NOT NULL,
  requests DOUBLE PRECISION NOT NULL, quotes DOUBLE PRECISION NOT NULL,
  idle_drivers DOUBLE PRECISION NOT NULL, supply DOUBLE PRECISION NOT NULL,
  target DOUBLE PRECISION NOT NULL, wanted DOUBLE PRECISION NOT NULL,
  bounds INTEGER NOT NULL, reason TEXT NOT NULL, version TEXT NOT NULL,
  PRIMARY KEY (region, cell, at_s))""",
    """CREATE TABLE IF NOT EXISTS surge_versions (version TEXT PRIMARY KEY, params TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS surge_orders (
  region TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL, is_frozen INTEGER NOT NULL,
  reason TEXT NOT NULL, operator TEXT NOT NULL,
  PRIMARY KEY (region, at_s, operator))""",
)
# Doing it again after an answer that got lost adds nothing.
ADD_CHANGE = (
    "INSERT INTO surge_changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    " ON CONFLICT DO NOTHING"
)
ADD_VERSION = "INSERT INTO surge_versions VALUES (?1, ?2) ON CONFLICT DO NOTHING"
ADD_ORDER = "INSERT INTO surge_orders VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
COLUMNS = (
    "at_s", "multiplier", "multiplier_before", "requests", "quotes", "idle_drivers", "supply", "target", "wanted",
    "bounds", "reason", "version",
)  # fmt: skip
HISTORY = (
    f"SELECT {', '.join(COLUMNS)} FROM surge_changes"  # noqa: S608 - the names above
    " WHERE region = ?1 AND cell = ?2 AND at_s >= ?3 ORDER BY at_s DESC LIMIT ?4"
)
ORDERS = (
    "SELECT at_s, is_frozen, reason, operator FROM surge_orders WHERE region = ?1"
    " ORDER BY at_s DESC, operator DESC LIMIT ?2"
)


class SqlRecord(ABC):
    """Meets the port `PriceRecord`; a server adds how rows are written and read."""

    @abstractmethod
    async def _write(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement for each row, in one transaction; return once it is durable."""

    @abstractmethod
    async def _read(self, text: str, *parameters: Any) -> Sequence[Any]:
        """Rows as last committed."""

    @abstractmethod
    async def close(self) -> None:
        """Let the database go."""

    async def add_version(self, version: str, params: str) -> None:
        """See `PriceRecord.add_version`."""
        await self._write(ADD_VERSION, [(version, params)])

    async def add_changes(self, region_id: str, changes: Sequence[PriceChange]) -> None:
        """See `PriceRecord.add_changes`."""
        names = cells_to_strings([change.cell for change in changes]) if changes else []
        rows = [
            (
                region_id, name, one.at_s, one.multiplier, one.multiplier_before, one.requests, one.quotes,
                one.idle_drivers, one.supply, one.target, one.wanted, one.bounds, str(one.reason), one.version,
            )
            for name, one in zip(names, changes, strict=True)
        ]  # fmt: skip
        await self._write(ADD_CHANGE, rows)

    async def history(self, region_id: str, cell: int, since_s: float, limit: int) -> list[PriceChange]:
        """See `PriceRecord.history`."""
        found = await self._read(HISTORY, region_id, format(cell, "x"), since_s, limit)
        return [_change(cell, dict(zip(COLUMNS, row, strict=True))) for row in map(tuple, found)]

    async def add_order(self, region_id: str, order: FreezeOrder) -> None:
        """See `PriceRecord.add_order`."""
        await self._write(ADD_ORDER, [(region_id, order.at_s, int(order.is_frozen), order.reason, order.operator)])

    async def orders(self, region_id: str, limit: int) -> list[FreezeOrder]:
        """See `PriceRecord.orders`."""
        found = await self._read(ORDERS, region_id, limit)
        return [FreezeOrder(at_s, bool(is_frozen), reason, by) for at_s, is_frozen, reason, by in map(tuple, found)]


class SqliteRecord(SqlRecord):
    """The record in the SQLite file of the rides."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._connection.execute("PRAGMA synchronous = FULL")
        for text in CREATE:
            self._connection.execute(text)

    async def _write(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        await asyncio.to_thread(self._write_now, text, rows)

    def _write_now(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._lock, closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.executemany(text, rows)
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    cursor.execute("ROLLBACK")
                raise

    async def _read(self, text: str, *parameters: Any) -> Sequence[Any]:
        return await asyncio.to_thread(self._read_now, text, parameters)

    def _read_now(self, text: str, parameters: Sequence[Any]) -> list[Any]:
        with self._lock:
            return self._connection.execute(text, parameters).fetchall()

    async def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class PostgresRecord(SqlRecord):
    """The record in PostgreSQL, over a small pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str) -> PostgresRecord:
        """Connect and make the tables. Raises what asyncpg raises if the server cannot be reached."""
        import asyncpg  # an extra: only those who use PostgreSQL need it

        durable = {"synchronous_commit": "on"}
        pool = await asyncpg.create_pool(url, min_size=1, max_size=2, server_settings=durable)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            for text in CREATE:
                await connection.execute(text)
        return cls(pool)

    async def _write(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.executemany(_dollars(text), rows)

    async def _read(self, text: str, *parameters: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._pool.fetch(_dollars(text), *parameters)
        return rows

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()


def _change(cell: int, columns: dict[str, Any]) -> PriceChange:
    return PriceChange(cell=cell, **columns | {"reason": Reason(columns["reason"])})


def _dollars(text: str) -> str:
    return re.sub(r"\?(\d+)", r"$\1", text)
