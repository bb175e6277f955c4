"""Announcements between processes that share a PostgreSQL: told after the commit, heard over a connection of their own.

NOTIFY inside a transaction makes the commits of all such transactions wait for each other, flush and replica included.
Told in transactions of their own, which write nothing to the log, announcements cost commits nothing, and many changes
share one. What is lost by that, if a process dies in between, is found by those who listen when they look by the clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from backing.retry import Backoff
from backing.sql import hosts
from backing.sql.database import News

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger(__name__)

#: Wall seconds between two tries to listen again after the connection was lost.
AGAIN_S = 0.2
AGAIN_S_MAX = 2.0
#: Wall seconds between two questions whether the connection still answers: a lost host closes nothing.
ASK_EVERY_S = 10.0
ANSWER_TIMEOUT_S = 3.0


class Announcer:
    """Tells channels, one after the other; what is announced while one is told is told once more afterwards."""

    def __init__(self, tell: Callable[[str], Awaitable[None]]) -> None:
        self._tell = tell
        self._waiting: set[str] = set()
        self._telling: asyncio.Task[None] | None = None

    def announce(self, channels: Iterable[str]) -> None:
        """Tell the channels soon; never waits and never fails."""
        self._waiting.update(channels)
        if self._waiting and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell_all())

    async def _tell_all(self) -> None:
        while self._waiting:
            channels, self._waiting = self._waiting, set()
            for channel in sorted(channels):
                with suppress(Exception):  # a hint: those who listen look by the clock besides
                    await self._tell(channel)

    async def close(self) -> None:
        """Finish what is being told."""
        if self._telling is not None:
            await self._telling


class Listening(News):
    """Listens to a channel, and listens again at the primary of the moment after the connection was lost."""

    def __init__(self, url: str, channel: str, name: str) -> None:
        self._url = url
        self._channel = channel
        self._name = name
        self._is_heard = False
        self._heard = asyncio.Event()
        self._task = asyncio.create_task(self._listen_always())

    @property
    def is_heard(self) -> bool:
        """See `News.is_heard`."""
        return self._is_heard

    async def wait(self, longest_s: float) -> None:
        """See `News.wait`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._heard.wait()
        self._heard.clear()

    async def close(self) -> None:
        """Stop to listen."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _listen_always(self) -> None:
        backoff = Backoff(AGAIN_S, AGAIN_S_MAX, random.Random())
        while True:
            try:
                await self._listen(backoff)
            except Exception as error:  # whatever a server that goes away makes its client raise
                wait_s = backoff.next_s()
                log.warning("not_listening", channel=self._channel, retry_s=wait_s, error=repr(error))
            finally:
                self._is_heard = False
            await asyncio.sleep(wait_s)

    async def _listen(self, backoff: Backoff) -> None:
        """Listen until the connection is lost; raises what it was lost by."""
        connection = await hosts.connect(self._url, server_settings={"application_name": self._name})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await connection.add_listener(self._channel, self._hear)
            backoff.reset()
            self._is_heard = True
            self._heard.set()  # what was announced before was not heard
            await _until_lost(connection)
        finally:
            connection.terminate()

    def _hear(self, *_: object) -> None:
        self._heard.set()


async def _until_lost(connection: asyncpg.Connection) -> None:
    """Ask now and then whether the connection answers; raises when it does not, or is closed."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda *_: lost.set())
    while not lost.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_EVERY_S):
                await lost.wait()
        await connection.execute("SELECT 1", timeout=ANSWER_TIMEOUT_S)
