"""The relay: what the outbox holds goes to the topic and the inboxes, in order, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from dispatch.ports import EventLog, Inboxes, Outbox

#: Rows sent before they are marked: bounds what a crash sends twice.
BATCH_ROWS = 500
#: How far back inboxes are built anew after Redis has lost its data: far more than a client can be behind.
HISTORY_ROWS = 50_000


class RelayService:
    """Moves committed events on.

    Two relays at once, or one that was paused, do no harm: each sends from the oldest unpublished row in order, and
    the receivers know a row again, the inboxes by its position, the readers of the topic by its ride and sequence.
    """

    def __init__(self, outbox: Outbox, event_log: EventLog, inboxes: Inboxes) -> None:
        self._outbox = outbox
        self._event_log = event_log
        self._inboxes = inboxes

    async def relay_once(self) -> int:
        """Send what is waiting, one batch of it; returns how many rows. Raises if a receiver does not acknowledge."""
        # SQL first: another relay may move both on in between.
        published = await self._outbox.newest_published()
        complete_to = await self._inboxes.newest()
        if complete_to is None or complete_to < published:
            await self._inboxes.rebuild(lambda: self._outbox.newest_rows(HISTORY_ROWS))
        rows = await self._outbox.unpublished(BATCH_ROWS)
        if rows:
            await _both(self._event_log.append(rows), self._inboxes.push(rows))
            await self._outbox.mark_published(rows[-1].position)
        return len(rows)


async def _both(*sendings: Awaitable[None]) -> None:
    """Wait for both even if one fails, so that nothing of this batch is still on its way when the next one starts."""
    for result in await asyncio.gather(*sendings, return_exceptions=True):
        if result is not None:
            raise result
