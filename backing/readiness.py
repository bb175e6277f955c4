"""Whether this process can do its work: set by its role and by the signal to stop, read by its health page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum

#: Wall seconds between two beats of an event loop that runs.
BEAT_EVERY_S = 1.0
#: Wall seconds without a beat after which a loop counts as stuck: a full collection or a large new map takes a few.
STUCK_AFTER_S = 60.0


class Stage(StrEnum):
    """What a process is at."""

    STARTING = "starting"
    READY = "ready"
    #: It was told to stop: it finishes what it has and should be given nothing new.
    DRAINING = "draining"


class Readiness:
    """The stage of a process, and whether its event loop still turns.

    It says nothing about servers that all processes share: one of them that is slow would make every process unready
    at once.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` gives monotonic seconds."""
        self._now = now
        self._stage = Stage.STARTING
        self._beat_s: float | None = None

    @property
    def stage(self) -> Stage:
        """What the process is at."""
        return self._stage

    @property
    def is_ready(self) -> bool:
        """Whether it should be given work."""
        return self._stage is Stage.READY

    def start(self) -> None:
        """It has connected, read its city and loaded its kernels; without effect once it was told to stop."""
        if self._stage is Stage.STARTING:
            self._stage = Stage.READY

    def drain(self) -> None:
        """It was told to stop."""
        self._stage = Stage.DRAINING

    def beat(self) -> None:
        """The event loop turns."""
        self._beat_s = self._now()

    @property
    def stuck_s(self) -> float:
        """Seconds since the last beat if these are too many, else 0; also 0 before the first one."""
        silent_s = 0.0 if self._beat_s is None else self._now() - self._beat_s
        return silent_s if silent_s > STUCK_AFTER_S else 0.0

    async def keep_beating(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_EVERY_S)
