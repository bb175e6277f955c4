"""Reading the inboxes of many streams."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

Page = list[tuple[int, bytes]]

#: Events read at once; bounds what one phone holds of the server's memory.
PAGE = 100
#: Reads in flight: each takes a connection to Redis, and these keep it busy.
READS_AT_ONCE = 32


class InboxReader(Protocol):
    """The ordered messages to a rider or driver."""

    async def read(self, name: str, after: int, limit: int) -> Page:
        """(position, JSON event) after a position, in order."""
        ...


class InboxReads:
    """Reads for all streams of the process in one task, a bounded number at a time.

    A stream that ends while it waits leaves Redis alone: to cancel redis-py in the middle of a command costs the
    connection, and under Python 3.11 can lose the cancellation.
    """

    def __init__(self, reader: InboxReader) -> None:
        self._reader = reader
        self._wanted: deque[tuple[str, int, asyncio.Future[Page]]] = deque()
        self._reading: asyncio.Task[None] | None = None

    async def read(self, name: str, after: int) -> Page:
        """The next page of an inbox after a position. Raises what the reader raises."""
        answer: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self._wanted.append((name, after, answer))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_wanted())
        return await answer

    async def _read_wanted(self) -> None:
        while self._wanted:
            batch = [self._wanted.popleft() for _ in range(min(READS_AT_ONCE, len(self._wanted)))]
            await asyncio.gather(*(self._answer(*wanted) for wanted in batch))

    async def _answer(self, name: str, after: int, answer: asyncio.Future[Page]) -> None:
        if answer.done():  # the stream has ended meanwhile
            return
        try:
            page = await self._reader.read(name, after, PAGE)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(page)
