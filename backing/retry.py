"""Trying again: waits that grow, and a call that is repeated until it succeeds or the process is to stop.

For loops that must heed a stop between two tries. Where cancellation ends the loop, `stamina` does the same.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class RestartNeeded(Exception):
    """This process cannot mend itself by trying again: it must end, so that its supervisor starts another.

    The message says what died.
    """


class Backoff:
    """Wall seconds to wait before another try: doubling from ``first_s`` to ``longest_s``."""

    def __init__(self, first_s: float, longest_s: float, jitter: random.Random | None = None) -> None:
        """With ``jitter`` each wait is shortened by up to a half, so that many who wait do not come back at once.

        Raises ValueError unless 0 < first_s <= longest_s.
        """
        if not 0.0 < first_s <= longest_s:
            raise ValueError(f"waits must grow from above 0, not from {first_s} to {longest_s} s")
        self._first_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter
        self._next_s = first_s

    def reset(self) -> None:
        """Begin with the shortest wait again: it worked."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Return how long to wait now."""
        wait_s, self._next_s = self._next_s, min(2.0 * self._next_s, self._longest_s)
        return wait_s if self._jitter is None else wait_s * self._jitter.uniform(0.5, 1.0)


class Stop(Protocol):
    """Whether the process is to stop; a Faust application is one."""

    @property
    def should_stop(self) -> bool:
        """Whether it is to stop now."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait, but no longer than until it is to stop."""
        ...


async def retry_until_stopped(
    attempt: Callable[[], Awaitable[Any]],
    stop: Stop,
    backoff: Backoff,
    on_failure: Callable[[Exception, float], None],
) -> bool:
    """Call ``attempt`` until it raises nothing; return False if the process is to stop before that.

    ``on_failure`` is told each error and the wall seconds to the next try. Raises RestartNeeded as ``attempt`` does.
    """
    while not stop.should_stop:
        try:
            await attempt()
        except RestartNeeded:
            raise
        except Exception as error:  # whatever a server that goes away makes its client raise
            wait_s = backoff.next_s()
            on_failure(error, wait_s)
        else:
            return True
        await stop.sleep(wait_s)
    return False
