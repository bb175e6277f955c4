"""Runs periodic steps until the process is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from backing.readiness import Readiness
from backing.retry import Backoff, retry_until_stopped

log = structlog.get_logger(__name__)

#: Wall seconds before a failed step is taken again: a store that is away comes back, what was decided stands in SQL.
RETRY_S = 0.5
RETRY_S_MAX = 2.0


#: What to do again and again, and how many wall seconds later, asked after each time.
Step = tuple[Callable[[], Awaitable[Any]], Callable[[], float]]


class StopEvent:
    """Set once, by a signal."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Request the stop."""
        self._event.set()

    @property
    def should_stop(self) -> bool:
        """Whether it is set."""
        return self._event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it is set."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


async def repeat_until_stopped(readiness: Readiness, *steps: Step) -> None:
    """Take each step again and again until SIGTERM or SIGINT, as many wall seconds apart as is said after each.

    The process is ready from now on, and drains once it is told to stop.
    """
    stop = StopEvent()

    def end() -> None:
        readiness.drain()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    readiness.start()
    beating = asyncio.create_task(readiness.keep_beating())
    try:
        await asyncio.gather(*(repeat(step, every_s, stop) for step, every_s in steps))
    finally:
        beating.cancel()


async def repeat(step: Callable[[], Awaitable[Any]], every_s: Callable[[], float], stop: StopEvent) -> None:
    """Take a step each ``every_s()`` wall seconds until ``stop``; one that fails is logged and taken again.

    Raises RestartNeeded as the step does.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    while await retry_until_stopped(step, stop, Backoff(RETRY_S, RETRY_S_MAX), _log_failure):
        due = max(due + every_s(), loop.time())
        await stop.sleep(due - loop.time())


def _log_failure(error: Exception, retry_s: float) -> None:
    log.error("step_failed", retry_s=retry_s, exc_info=error)
