"""Caches the result of a check for some time, so that frequent callers do not repeat it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

#: Wall seconds that an outcome counts.
KEEP_S = 1.0


class Remembered:
    """A check that runs once at a time, and anew only when the last outcome is ``KEEP_S`` old."""

    def __init__(self, check: Callable[[], Awaitable[Any]]) -> None:
        self._check = check
        self._lock = asyncio.Lock()
        self._error: Exception | None = None
        self._counts_until_s = -1.0

    async def __call__(self) -> None:
        """Raise what the check raised, or raises now."""
        async with self._lock:
            if time.monotonic() >= self._counts_until_s:
                try:
                    await self._check()
                    self._error = None
                except Exception as error:
                    self._error = error
                self._counts_until_s = time.monotonic() + KEEP_S
        if self._error is not None:
            raise self._error.with_traceback(None)

    async def refusal(self) -> str | None:
        """Return what the check raised, None if it raised nothing."""
        try:
            await self()
        except Exception as error:
            return str(error) or repr(error)
        return None
