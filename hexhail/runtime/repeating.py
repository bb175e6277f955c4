"""Steps that a process takes again and again until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger(__name__)

#: Wall wait after something failed that should work again by itself.
RETRY_S = 0.5


async def repeat_until_stopped(*steps: tuple[Callable[[], Awaitable[Any]], Callable[[], float]]) -> None:
    """Take each step again and again until SIGTERM or SIGINT, as many wall seconds apart as is said after each."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await asyncio.gather(*(_repeat(step, every_s, stop) for step, every_s in steps))


async def _repeat(step: Callable[[], Awaitable[Any]], every_s: Callable[[], float], stop: asyncio.Event) -> None:
    """Take a step each `every_s()` wall seconds until `stop`; one that fails is logged and tried again."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not stop.is_set():
        try:
            await step()
            wait_s = every_s()
        except Exception:  # a store that is away comes back; what was decided stands in SQL
            log.exception("step_failed", retry_s=RETRY_S)
            wait_s = max(every_s(), RETRY_S)
        due = max(due + wait_s, loop.time())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await stop.wait()
