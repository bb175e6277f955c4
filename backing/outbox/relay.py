"""The relay: committed messages go to the topic of their stream and to their inboxes, in order, at least once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from backing.outbox.rows import OutboxRow
from backing.sql.database import News

log = structlog.get_logger(__name__)

#: Rows sent before they are marked: bounds what a crash sends twice.
BATCH_ROWS = 500
#: How far back inboxes are built anew after Redis has lost its data: far more than a client can be behind.
HISTORY_ROWS = 50_000
#: Wall seconds between two looks, while nothing happens, whether Redis still has the inboxes.
LOOK_EVERY_S = 0.5
#: Poll interval where nobody announces what is committed: the longest delay of a message; costs a percent of a core.
POLL_S = 0.02
#: Wall seconds between two looks where commits are announced: the delay of a message whose announcement got lost.
LOOK_BESIDES_S = 1.0


class Outbox(Protocol):
    """Committed messages in order, until they are published: `SqlOutbox`."""

    async def unpublished(self, limit: int) -> list[OutboxRow]:
        """See `SqlOutbox.unpublished`."""
        ...

    async def newest_rows(self, limit: int) -> list[OutboxRow]:
        """See `SqlOutbox.newest_rows`."""
        ...

    async def newest_published(self) -> int:
        """See `SqlOutbox.newest_published`."""
        ...

    async def mark_published(self, position: int) -> None:
        """See `SqlOutbox.mark_published`."""
        ...

    async def progress(self) -> tuple[int, int]:
        """See `SqlOutbox.progress`."""
        ...


class Topics(Protocol):
    """The topics of the streams."""

    async def append(self, rows: Sequence[OutboxRow]) -> None:
        """Return once all rows are acknowledged, in order within a stream and region."""
        ...


class Inboxes(Protocol):
    """The ordered messages to each rider and driver."""

    async def push(self, rows: Sequence[OutboxRow]) -> None:
        """Append all of them or none; a row that is there already is left as it is."""
        ...

    async def newest(self) -> int | None:
        """Position up to which the inboxes are complete, None if nobody knows: never built, or lost."""
        ...

    async def rebuild(self, read: Callable[[], Awaitable[Sequence[OutboxRow]]]) -> None:
        """Begin the inboxes anew with the rows that `read` gives; what was pushed after the last of them stays."""
        ...

    async def clear(self) -> None:
        """Delete all inboxes; until they are rebuilt nobody knows up to which position they are complete."""
        ...


class Relay:
    """Publishes the outbox.

    Two relays at once, or one that was paused, do no harm: each sends from the oldest unpublished row in order, and
    the receivers know a row again, the inboxes by its position, the readers of a topic by its key and sequence.
    """

    def __init__(self, outbox: Outbox, topics: Topics, inboxes: Inboxes) -> None:
        self._outbox = outbox
        self._topics = topics
        self._inboxes = inboxes
        self._next_look_s = float("-inf")

    async def relay_once(self) -> int:
        """Send what is waiting, one batch of it; returns how many rows. Raises if a receiver does not acknowledge."""
        rows = await self._outbox.unpublished(BATCH_ROWS)
        if rows:
            # Positions have no gaps: everything before the first of these rows is published.
            await self._complete_inboxes(rows[0].position - 1)
            await _both(self._topics.append(rows), self._inboxes.push(rows))
            await self._outbox.mark_published(rows[-1].position)
        elif time.monotonic() >= self._next_look_s:
            await self._complete_inboxes(await self._outbox.newest_published())
        return len(rows)

    async def _complete_inboxes(self, published: int) -> None:
        """Build the inboxes anew if they lack what is published; known before they are read, for they may grow."""
        complete_to = await self._inboxes.newest()
        if complete_to is not None and complete_to > published:
            committed, _ = await self._outbox.progress()
            if complete_to > committed:  # known before the commits: they cannot be of this database as it is
                log.warning("inboxes_of_another_database", complete_to=complete_to, committed=committed)
                await self._inboxes.clear()
                complete_to = None
        if complete_to is None or complete_to < published:
            await self._inboxes.rebuild(lambda: self._outbox.newest_rows(HISTORY_ROWS))
            self._next_look_s = float("-inf")  # Redis may have forgotten again meanwhile
        else:
            self._next_look_s = time.monotonic() + LOOK_EVERY_S


class WokenRelay:
    """Relays when something was committed, and looks by the clock besides: an announcement may get lost."""

    def __init__(self, relay: Relay, news: News) -> None:
        self._relay = relay
        self._news = news
        self._may_be_more = True

    async def step(self) -> None:
        """Wait for news unless the last step left or found something, and relay a batch. Raises as `Relay` does."""
        if not self._may_be_more:
            await self._news.wait(LOOK_BESIDES_S if self._news.is_heard else POLL_S)
        self._may_be_more = True
        self._may_be_more = await self._relay.relay_once() > 0


async def _both(*sendings: Awaitable[None]) -> None:
    """Wait for both even if one fails, so that nothing of this batch is still on its way when the next one starts."""
    for result in await asyncio.gather(*sendings, return_exceptions=True):
        if result is not None:
            raise result
