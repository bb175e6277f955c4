"""The relay: what the outbox holds goes to the topic and the inboxes, in order, at least once."""

from __future__ import annotations

import asyncio

from dispatch.ports import EventLog, Inboxes, Outbox

#: Rows sent before they are marked: bounds what a crash sends twice.
BATCH_ROWS = 500
#: How far back inboxes are built anew after Redis has lost its data: far more than a client can be behind.
HISTORY_ROWS = 50_000


class RelayService:
    """Moves committed events on. Two relays at once do no harm: rows are told apart by their position."""

    def __init__(self, outbox: Outbox, event_log: EventLog, inboxes: Inboxes) -> None:
        self._outbox = outbox
        self._event_log = event_log
        self._inboxes = inboxes

    async def relay_once(self) -> int:
        """Send what is waiting, one batch of it; returns how many rows. Raises if a receiver does not acknowledge."""
        if await self._inboxes.is_lost():
            await self._rebuild()
        rows = await self._outbox.unpublished(BATCH_ROWS)
        if rows:
            await asyncio.gather(self._event_log.append(rows), self._inboxes.push(rows))
            await self._outbox.mark_published(rows[-1].position)
        return len(rows)

    async def _rebuild(self) -> None:
        newest = await self._outbox.newest_published()
        rows = await self._outbox.published_since(max(0, newest - HISTORY_ROWS), HISTORY_ROWS)
        await self._inboxes.rebuild(rows)
