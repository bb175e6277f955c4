"""The list of who may drive in a region, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from backing.sql.database import Database
from backing.sql.scripts import Batch, Script, Statement, one
from dispatch.ports import ListedDriver

# A driver may drive who is listed, or whose region has no list.
MAY_DRIVE = (
    "SELECT NOT EXISTS (SELECT 1 FROM driver_lists WHERE region_id = ?1)"
    " OR EXISTS (SELECT 1 FROM listed_drivers WHERE region_id = ?1 AND driver_id = ?2)"
)
BEGIN_LIST = "INSERT INTO driver_lists (region_id, begun_s, operator) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
END_LIST = "DELETE FROM driver_lists WHERE region_id = ?1"
ADD_DRIVER = (
    "INSERT INTO listed_drivers (region_id, driver_id, added_s, operator) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT DO NOTHING"
)
REMOVE_DRIVER = "DELETE FROM listed_drivers WHERE region_id = ?1 AND driver_id = ?2"
REMOVE_ALL = "DELETE FROM listed_drivers WHERE region_id = ?1"
IS_BEGUN = "SELECT 1 FROM driver_lists WHERE region_id = ?1"
LISTED = (
    "SELECT driver_id, added_s, operator FROM listed_drivers WHERE region_id = ?1 AND driver_id > ?2"
    " ORDER BY driver_id LIMIT ?3"
)


class SqlDriverList:
    """`DriverList` of one region over a database that other stores may share; whoever opened it closes it."""

    def __init__(self, database: Database, region_id: str) -> None:
        self._database = database
        self._region_id = region_id

    async def may_drive(self, driver_id: str) -> bool:
        """See `MayDrive`."""
        rows = await self._database.read(MAY_DRIVE, self._region_id, driver_id)
        return bool(rows[0][0])

    async def end(self) -> None:
        """See `DriverList.end`."""
        await self._run(Statement(END_LIST, (self._region_id,)), Statement(REMOVE_ALL, (self._region_id,)))

    async def add(self, driver_ids: Sequence[str], operator: str, at_s: float) -> None:
        """See `DriverList.add`."""
        rows = [(self._region_id, driver_id, at_s, operator) for driver_id in driver_ids]
        await self._run(Statement(BEGIN_LIST, (self._region_id, at_s, operator)), Batch(ADD_DRIVER, rows))

    async def remove(self, driver_id: str) -> None:
        """See `DriverList.remove`."""
        await self._run(Statement(REMOVE_DRIVER, (self._region_id, driver_id)))

    async def is_begun(self) -> bool:
        """See `DriverList.is_begun`."""
        return bool(await self._database.read(IS_BEGUN, self._region_id))

    async def read(self, after: str, limit: int) -> list[ListedDriver]:
        """See `DriverList.read`."""
        rows = await self._database.read(LISTED, self._region_id, after, limit)
        return [ListedDriver(*row) for row in map(tuple, rows)]

    async def _run(self, *steps: Statement | Batch) -> None:
        """Run the statements in one transaction; return once it is durable."""

        def script() -> Script[None]:
            for step in steps:
                yield from one(step)

        await self._database.run(script)
