"""Tracks which drivers connected to this process have a position that is not used for matching, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from location_ingest.model import NOT_NEWER, LastPings, Refusal, Standing
from location_ingest.rules import standing_of

log = structlog.get_logger(__name__)

#: How often a process looks, wall seconds.
LOOK_EVERY_S = 2.0
#: Looks for which a driver is remembered who sends requests rather than holding a stream: two minutes.
HEARD_LOOKS = 60

ReadLastPings = Callable[[Sequence[str]], Awaitable[dict[str, LastPings]]]
#: What a stream does when its driver's standing changes.
Tell = Callable[[Standing], None]


class PositionWatch:
    """Checks the positions of this process's drivers and tells their streams when their standing changes."""

    def __init__(self, read: ReadLastPings, now: Callable[[], float], stale_after_s: float) -> None:
        """`now` gives city seconds; a position older than ``stale_after_s`` does not count."""
        self._read = read
        self._now = now
        self._stale_after_s = stale_after_s
        self._streams: dict[str, list[Tell]] = {}
        #: Looks left for who sends requests, and the last ping that this process refused.
        self._heard: dict[str, int] = {}
        self._refused: dict[str, tuple[str, float]] = {}
        self._standing: dict[str, Standing] = {}

    def standing(self, driver_id: str) -> Standing | None:
        """The driver's standing as of the last look; None if it is not known."""
        return self._standing.get(driver_id)

    def note_pings(self, driver_id: str, refusals: Sequence[Refusal]) -> None:
        """Watch over a driver who has sent pings, of which these were refused at once."""
        self._heard[driver_id] = HEARD_LOOKS
        wrong = [refusal.reason for refusal in refusals if refusal.reason not in NOT_NEWER]
        if wrong:
            self._refused[driver_id] = wrong[-1], self._now()

    def listen(self, driver_id: str, tell: Tell) -> None:
        """Tell of changes, and at once of pings that are not believed, until `leave`."""
        self._streams.setdefault(driver_id, []).append(tell)
        standing = self._standing.get(driver_id)
        if standing is not None and not standing.counts and standing.reason is not None:
            tell(standing)

    def leave(self, driver_id: str, tell: Tell) -> None:
        """Tell no more."""
        self._streams[driver_id].remove(tell)
        if not self._streams[driver_id]:
            del self._streams[driver_id]

    async def run(self) -> None:
        """Check until cancelled; while Redis is away, say nothing."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log.warning("positions_not_read", error=repr(error), retry_s=LOOK_EVERY_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Read where the drivers stand, and tell those whose standing has changed."""
        self._heard = {driver_id: looks - 1 for driver_id, looks in self._heard.items() if looks > 1}
        watched = sorted({*self._streams, *self._heard})
        found, now_s = await self._read(watched), self._now()
        before, self._standing = self._standing, {}
        self._refused = {driver_id: self._refused[driver_id] for driver_id in watched if driver_id in self._refused}
        for driver_id in watched:
            last = self._with_refused_here(driver_id, found.get(driver_id, LastPings(None)))
            standing = self._standing[driver_id] = standing_of(last, now_s, self._stale_after_s)
            if _is_news(before.get(driver_id), standing):
                for tell in self._streams.get(driver_id, ()):
                    tell(standing)

    def _with_refused_here(self, driver_id: str, last: LastPings) -> LastPings:
        reason, at_s = self._refused.get(driver_id, ("", float("-inf")))
        return LastPings(last.seen_s, reason, at_s) if at_s > last.refused_s else last


def _is_news(before: Standing | None, now: Standing) -> bool:
    """Whether to tell a driver: the position stopped counting and why, or it counts again."""
    if now.counts:
        return before is not None and not before.counts and before.reason is not None
    if now.reason is None or (before is not None and (before.counts, before.reason) == (False, now.reason)):
        return False
    # A driver who reconnects after a silence is about to send a ping: the silence is not worth a message.
    return now.reason != "stale" or (before is not None and before.counts)
