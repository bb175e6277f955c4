"""Reading the inboxes of many streams: a few questions to Redis for all of them, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

Page = list[tuple[int, bytes]]

#: Events read of one inbox at once; bounds what one phone holds of the server's memory.
PAGE = 50
#: Inboxes asked for in one question: some hundred bytes of it each, and nothing of the answer if they are empty.
INBOXES_AT_ONCE = 250
#: So many events are handed to streams before others get a turn: 2 ms of frames. A ping on its way to the broker needs
#: some ten turns of the loop.
EVENTS_A_TURN = 20
#: News can be lost with a Redis connection; every inbox is looked at this often in any case.
LOOK_AGAIN_S = 5.0
#: While Redis is away, inboxes are tried again after so long.
AWAY_S = 1.0


class InboxReader(Protocol):
    """The ordered messages to riders and drivers."""

    async def read_many(self, after: Mapping[str, int], limit: int) -> Mapping[str, Page]:
        """(position, JSON event) after a position, in order, of those inboxes that have any; at most `limit` each."""
        ...


class _Waiter:
    """A stream, and what it has."""

    __slots__ = ("after", "answer")

    def __init__(self, after: int) -> None:
        self.after = after
        self.answer: asyncio.Future[Page] = asyncio.get_running_loop().create_future()


class InboxReads:
    """Reads for all streams of the process in one task (`run`).

    A stream waits for its next page without polling: its inbox is looked at when it comes, when news tell that it has
    grown, and each `LOOK_AGAIN_S`. A stream that ends while it waits leaves Redis alone: to cancel redis-py in the
    middle of a command costs the connection, and under Python 3.11 can lose the cancellation.
    """

    def __init__(self, reader: InboxReader) -> None:
        self._reader = reader
        self._waiting: dict[str, list[_Waiter]] = {}
        # Sets in the order of their coming.
        self._grown: dict[str, None] = {}
        self._to_look_at: dict[str, None] = {}
        self._wake = asyncio.Event()

    async def next_page(self, name: str, after: int) -> Page:
        """Return what came after a position once there is any. While Redis is away this takes longer, no more."""
        waiter = _Waiter(after)
        self._waiting.setdefault(name, []).append(waiter)
        self.ring([name])
        try:
            return await waiter.answer
        finally:
            waiters = self._waiting[name]
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[name]

    def ring(self, names: Iterable[str]) -> None:
        """These inboxes have grown."""
        for name in names:
            if name in self._waiting:
                self._grown[name] = None
        if self._grown:
            self._wake.set()

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        look_s = loop.time() + LOOK_AGAIN_S
        while True:
            if loop.time() >= look_s:
                self._to_look_at = dict.fromkeys(self._waiting)
                look_s = loop.time() + LOOK_AGAIN_S
            if not (self._grown or self._to_look_at):
                self._wake.clear()
                # A timer that sets the event: `wait_for` would cost a task each time.
                timer = loop.call_at(look_s, self._wake.set)
                await self._wake.wait()
                timer.cancel()
                continue
            await self._read(self._take_due())

    def _take_due(self) -> dict[str, int]:
        """Take the next inboxes to read, those with news first; by name, the position after which to read."""
        due: dict[str, int] = {}
        for names in (self._grown, self._to_look_at):
            for name in list(islice(names, INBOXES_AT_ONCE - len(due))):
                del names[name]
                if name in self._waiting:
                    # Two phones of one person may stand at different places: the one behind is read on first.
                    due[name] = min(waiter.after for waiter in self._waiting[name])
        return due

    async def _read(self, after: Mapping[str, int]) -> None:
        if not after:
            return
        try:
            pages = await self._reader.read_many(after, PAGE)
        # Nothing is lost: the inbox is filled again. Who is connected stays, so that not all come back at once.
        except Exception as error:
            log.warning("inboxes_not_read", inboxes=len(after), error=repr(error), retry_s=AWAY_S)
            self._grown |= dict.fromkeys(after)
            await asyncio.sleep(AWAY_S)
            return
        events = 0
        for name, page in pages.items():
            events += self._hand_over(name, page)
            if events >= EVENTS_A_TURN:
                events = 0
                await asyncio.sleep(0)

    def _hand_over(self, name: str, page: Page) -> int:
        """Give the page to the streams that wait for it; returns how many events they were given."""
        given = 0
        for waiter in self._waiting.get(name, ()):
            own = [event for event in page if event[0] > waiter.after]
            if own and not waiter.answer.done():
                waiter.answer.set_result(own)
                given += len(own)
        return given
