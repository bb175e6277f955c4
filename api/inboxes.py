"""Reading the inboxes of many streams: a few questions to Redis for all of them, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Protocol

import structlog

from api.cursors import Gap, LogState, judge_open, judge_resumption

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

    async def look_at_log(self, positions: Collection[tuple[str, int]]) -> tuple[LogState, set[tuple[str, int]]]:
        """The state of the log, and those of these (inbox, position) at which the inbox has an event."""
        ...


class _Waiter:
    """A stream, and what it has."""

    __slots__ = ("after", "answer", "is_named", "must_be_judged")

    def __init__(self, after: int, *, is_named: bool) -> None:
        self.after = after
        #: Whether the client named the position, and nobody has looked whether it can be true.
        self.is_named = is_named
        #: Whether nothing may be handed over before somebody has looked once.
        self.must_be_judged = is_named and after > 0
        self.answer: asyncio.Future[Page | Gap] = asyncio.get_running_loop().create_future()

    def tell(self, answer: Page | Gap) -> None:
        """Answer, if nothing was answered yet."""
        if not self.answer.done():
            self.answer.set_result(answer)


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
        self._log: LogState | None = None
        #: How often the log was restored to an older state while this process ran.
        self.restorations = 0

    async def next_page(self, name: str, after: int, *, is_named: bool = False) -> Page | Gap:
        """Return what came after a position once there is any, or why nothing can be trusted to come after it.

        While Redis is away this takes longer, no more. ``is_named`` says that a client named the position.
        """
        waiter = _Waiter(after, is_named=is_named)
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
        look_s = loop.time()
        while True:
            if loop.time() >= look_s:
                self._to_look_at = dict.fromkeys(self._waiting)
                look_s = loop.time() + LOOK_AGAIN_S
                await self._look_at_log()
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

    async def _look_at_log(self) -> None:
        """Tell the streams whose position is none of the log's any more."""
        try:
            log_state, _ = await self._reader.look_at_log(())
        except Exception as error:
            log.warning("log_not_read", error=repr(error), retry_s=LOOK_AGAIN_S)
            return
        self._take_log(log_state)
        if log_state.newest is None:
            return
        for waiter in [waiter for waiters in self._waiting.values() for waiter in waiters]:
            gap = judge_open(waiter.after, None, log_state)
            if gap is not None:
                waiter.tell(gap)

    def _take_log(self, now: LogState) -> None:
        """Note the state of a log whose inboxes are complete; if it was restored, tell every stream that has events."""
        if now.newest is None:
            return
        before = self._log
        # Redis may have forgotten what it was; a restoration after that still shows.
        self._log = LogState(now.newest, now.restored or (before.restored if before else None))
        waiters = [waiter for waiters in self._waiting.values() for waiter in waiters]
        if before is None or judge_open(1, before, now) is not Gap.RESTORED:
            return
        self.restorations += 1
        log.warning("log_restored", streams=len(waiters))
        for waiter in waiters:
            if waiter.after and not waiter.is_named:
                waiter.tell(Gap.RESTORED)

    async def _judge_named(self, names: Iterable[str]) -> None:
        """Compare positions that clients named with what is kept. Raises as the reader does."""
        named = [
            (name, waiter)
            for name in names
            for waiter in self._waiting.get(name, ())
            if waiter.is_named and waiter.after and not waiter.answer.done()
        ]
        if not named:
            return
        state, kept = await self._reader.look_at_log({(name, waiter.after) for name, waiter in named})
        self._take_log(state)
        for name, waiter in named:
            waiter.must_be_judged = False
            gap = judge_resumption(waiter.after, state, is_kept=(name, waiter.after) in kept)
            if gap is not None:
                waiter.tell(gap)
            elif state.newest is not None:
                waiter.is_named = False

    async def _read(self, after: Mapping[str, int]) -> None:
        if not after:
            return
        try:
            await self._judge_named(after)
            pages = await self._reader.read_many(after, PAGE)
        # Nothing is lost: the inbox is filled again. Who is connected stays, so that not all come back at once.
        except Exception as error:
            log.warning("inboxes_not_read", inboxes=len(after), error=repr(error), retry_s=AWAY_S)
            self._grown |= dict.fromkeys(after)
            await asyncio.sleep(AWAY_S)
            return
        events = 0
        for name, page in pages.items():
            events += self._hand_over(name, page, after[name])
            if events >= EVENTS_A_TURN:
                events = 0
                await asyncio.sleep(0)

    def _hand_over(self, name: str, page: Page, read_after: int) -> int:
        """Give the page to the streams that wait for it; returns how many events they were given.

        A stream that came while the page was read may lack what was before it, or not be judged: its turn comes next.
        """
        given = 0
        for waiter in self._waiting.get(name, ()):
            if waiter.answer.done() or waiter.must_be_judged or waiter.after < read_after:
                continue
            own = [event for event in page if event[0] > waiter.after]
            if own:
                waiter.tell(own)
                given += len(own)
        return given


class InboxCursor:
    """Where one stream stands in its inbox."""

    def __init__(self, reads: InboxReads, name: str, last_seen: int) -> None:
        """``last_seen`` is the position that the client named; 0 for everything that is kept."""
        self._reads = reads
        self._name = name
        self._after = last_seen
        self._is_named = last_seen > 0
        self._restorations = reads.restorations

    async def next(self) -> Page | Gap:
        """Return the next events once there are any, or a gap: then the stream goes on with the oldest that is kept."""
        found: Page | Gap = Gap.RESTORED
        if self._restorations == self._reads.restorations or not self._after:
            found = await self._reads.next_page(self._name, self._after, is_named=self._is_named)
        self._is_named = False
        if isinstance(found, Gap):
            self._after, self._restorations = 0, self._reads.restorations
        else:
            self._after = found[-1][0]
        return found
