"""How long tests wait for what must happen: until it has happened, and for long enough on a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Wall seconds until a test gives up. No test expects a speed: a machine that is busy with eight other things passes.
PATIENCE_S = 90.0


async def eventually(question: Callable[[], Awaitable[T | None]], every_s: float = 0.02) -> T:
    """Return the first true answer to a question; TimeoutError where there is none within `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not (answer := await question()):
            await asyncio.sleep(every_s)
    return answer


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; TimeoutError where it does not within `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)
