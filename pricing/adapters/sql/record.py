"""The record of prices and of operators' orders, in SQL. Rows are added, and deleted when they are old."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from backing.sql.database import Database
from backing.sql.scripts import Batch, Script, Statement, one
from geo.cells import cells_to_strings
from pricing.errors import PricerSuperseded
from pricing.model.surge import FreezeOrder, RecordedPrice
from pricing.rules.price_changes import PriceChange, Reason

COLUMNS = (
    "at_s", "multiplier", "multiplier_before", "requests", "quotes", "idle_drivers", "supply", "target", "wanted",
    "bounds", "reason", "version",
)  # fmt: skip
# A row that is added again, because the answer got lost, changes nothing.
ADD_CHANGE = (
    f"INSERT INTO surge_changes (region_id, cell, {', '.join(COLUMNS)}, epoch)"  # noqa: S608 - the names above
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING"
)
SET_NEWEST = (
    "INSERT INTO surge_newest (region_id, cell, at_s, multiplier) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (region_id, cell) DO UPDATE SET at_s = excluded.at_s, multiplier = excluded.multiplier"
)
NEWEST = "SELECT cell, multiplier, at_s FROM surge_newest WHERE region_id = ?1"
# At least the wall clock: it also grows where the database was restored to an older state.
CLAIM = (
    "INSERT INTO surge_owners (region_id, epoch) VALUES (?1, ?2) ON CONFLICT (region_id) DO UPDATE"
    " SET epoch = CASE WHEN surge_owners.epoch < ?2 THEN ?2 ELSE surge_owners.epoch + 1 END RETURNING epoch"
)
# Changes nothing, and holds the row until the end of the transaction: nobody claims the region meanwhile.
HOLD = "UPDATE surge_owners SET epoch = epoch WHERE region_id = ?1 AND epoch = ?2 RETURNING epoch"
ADD_VERSION = "INSERT INTO surge_versions (version, params) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
ADD_ORDER = (
    "INSERT INTO surge_orders (region_id, at_s, is_frozen, reason, operator) VALUES (?1, ?2, ?3, ?4, ?5)"
    " ON CONFLICT DO NOTHING"
)
FORGET_CHANGES = (
    "DELETE FROM surge_changes WHERE (region_id, cell, at_s) IN"
    " (SELECT region_id, cell, at_s FROM surge_changes WHERE at_s < ?1 ORDER BY at_s LIMIT ?2) RETURNING 1"
)
OLDEST_CHANGE = "SELECT MIN(at_s) FROM surge_changes"
HISTORY = (
    f"SELECT {', '.join(COLUMNS)} FROM surge_changes"  # noqa: S608 - the names above
    " WHERE region_id = ?1 AND cell = ?2 AND at_s >= ?3 ORDER BY at_s DESC LIMIT ?4"
)
ORDERS = (
    "SELECT at_s, is_frozen, reason, operator FROM surge_orders WHERE region_id = ?1"
    " ORDER BY at_s DESC, operator DESC LIMIT ?2"
)


class SqlPriceRecord:
    """`PriceRecord` over a database that other stores may share; whoever opened it closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_version(self, version: str, params: str) -> None:
        """See `PriceRecord.add_version`."""
        await self._write(ADD_VERSION, [(version, params)])

    async def claim(self, region_id: str) -> int:
        """See `PriceRecord.claim`."""
        rows = await self._database.run(lambda: one(Statement(CLAIM, (region_id, int(time.time())))))
        return int(rows[0][0])

    async def newest_prices(self, region_id: str) -> dict[int, RecordedPrice]:
        """See `PriceRecord.newest_prices`."""
        found = await self._database.read(NEWEST, region_id)
        return {int(cell, 16): RecordedPrice(multiplier, at_s) for cell, multiplier, at_s in map(tuple, found)}

    async def add_changes(self, region_id: str, changes: Sequence[PriceChange], epoch: int) -> None:
        """See `PriceRecord.add_changes`."""
        names = cells_to_strings([change.cell for change in changes]) if changes else []
        rows, newest = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
        for name, change in zip(names, changes, strict=True):
            inputs = (getattr(change, column) for column in COLUMNS[:-2])
            rows.append((region_id, name, *inputs, str(change.reason), change.version, epoch))
            newest.append((region_id, name, change.at_s, change.multiplier))

        def script() -> Script[bool]:
            if not (yield Statement(HOLD, (region_id, epoch))):
                return False
            if rows:
                yield Batch(ADD_CHANGE, rows)
                yield Batch(SET_NEWEST, newest)
            return True

        if not await self._database.run(script):
            raise PricerSuperseded(region_id, epoch)

    async def forget(self, before_s: float, limit: int) -> int:
        """Delete up to ``limit`` changes from before a time, city seconds, the oldest first; return how many."""
        return len(await self._database.run(lambda: one(Statement(FORGET_CHANGES, (before_s, limit)))))

    async def oldest_s(self) -> float | None:
        """When the oldest change was, city seconds; None if there is none."""
        oldest_s: float | None = (await self._database.read(OLDEST_CHANGE))[0][0]
        return oldest_s

    async def history(self, region_id: str, cell: int, since_s: float, limit: int) -> list[PriceChange]:
        """See `PriceRecord.history`."""
        found = await self._database.read(HISTORY, region_id, format(cell, "x"), since_s, limit)
        return [_change(cell, dict(zip(COLUMNS, row, strict=True))) for row in map(tuple, found)]

    async def add_order(self, region_id: str, order: FreezeOrder) -> None:
        """See `PriceRecord.add_order`."""
        await self._write(ADD_ORDER, [(region_id, order.at_s, int(order.is_frozen), order.reason, order.operator)])

    async def orders(self, region_id: str, limit: int) -> list[FreezeOrder]:
        """See `PriceRecord.orders`."""
        found = await self._database.read(ORDERS, region_id, limit)
        return [FreezeOrder(at_s, bool(is_frozen), reason, by) for at_s, is_frozen, reason, by in map(tuple, found)]

    async def _write(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement for each row, in one transaction; return once it is durable."""
        await self._database.run(lambda: one(Batch(text, rows)))


def _change(cell: int, columns: dict[str, Any]) -> PriceChange:
    return PriceChange(cell=cell, **columns | {"reason": Reason(columns["reason"])})
