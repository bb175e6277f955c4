"""The outbox in SQL: read by the relay and by those who follow a stream."""

from __future__ import annotations

from dataclasses import dataclass

from backing.outbox import scripts
from backing.outbox import statements as sql
from backing.outbox.rows import OutboxRow
from backing.sql.database import Database
from backing.sql.scripts import Statement, one


@dataclass(frozen=True, slots=True)
class Backlog:
    """Committed messages that are not published yet."""

    waiting: int
    #: When the oldest of them happened, city seconds; None if none waits, or it does not say.
    oldest_s: float | None


class SqlOutbox:
    """The messages of all streams in the order of their positions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unpublished(self, limit: int) -> list[OutboxRow]:
        """The next rows to publish, in order of position."""
        if self._database.dialect == "postgres":
            await self._database.run(scripts.give_positions)
        return [scripts.read_row(row) for row in await self._database.read(sql.UNPUBLISHED, limit)]

    async def newest_rows(self, limit: int) -> list[OutboxRow]:
        """The last rows that have a position, published or not, in order: for building inboxes anew."""
        return [scripts.read_row(row) for row in await self._database.read(sql.NEWEST_ROWS, limit)]

    async def newest_published(self) -> int:
        """Position up to which everything is published."""
        return int((await self._database.read(sql.PUBLISHED))[0][0])

    async def mark_published(self, position: int) -> None:
        """Everything up to here has been acknowledged by those it went to."""
        await self._database.run(lambda: one(Statement(sql.MARK_PUBLISHED, (position,))))

    async def progress(self) -> tuple[int, int]:
        """How many messages were ever committed, and how many of them are published."""
        committed, published = (await self._database.read(sql.PROGRESS))[0]
        return committed, published

    async def backlog(self) -> Backlog:
        """What waits to be published."""
        committed, published = await self.progress()
        # Rows without a position, in PostgreSQL, are younger than those that have one.
        oldest = await self._database.read(sql.OLDEST_UNPUBLISHED) or await self._database.read(sql.OLDEST_UNNUMBERED)
        return Backlog(committed - published, scripts.at_s_of(oldest[0][0]) if oldest else None)

    async def since(self, stream: str, region_id: str, position: int, limit: int) -> list[tuple[int, str]]:
        """(position, payload) of the next messages of a stream in a region after a position, in order."""
        rows = await self._database.read(sql.SINCE, stream, region_id, position, limit)
        return [(at, payload) for at, payload in rows]

    async def forget(self, before_s: float, kept_rows: int, limit: int) -> int:
        """See `scripts.forget`."""
        return await self._database.run(lambda: scripts.forget(before_s, kept_rows, limit))

    async def oldest_s(self) -> float | None:
        """When the oldest message happened, city seconds; None if there is none, or it does not say."""
        rows = await self._database.read(sql.OLDEST_ROW)
        return scripts.at_s_of(rows[0][0]) if rows else None

    async def history(self, stream: str) -> list[str]:
        """The payload of every message of a stream that is kept; those of one key in their order."""
        return [payload for (payload,) in await self._database.read(sql.HISTORY, stream)]
