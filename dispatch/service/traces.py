"""Writing down the grounds of rounds beside the rounds, never in their way."""

from __future__ import annotations

import asyncio

import structlog

from dispatch.matching.reasons import RideTrace, RoundTrace
from dispatch.ports import TraceLog

log = structlog.get_logger(__name__)

#: Rides whose grounds are written per round, those who have waited longest: about 2 kB and 0.2 ms each.
RIDES_TRACED_MAX = 500


class TraceWriter:
    """Writes one round's traces at a time; a round that ends while the one before is being written goes untraced."""

    def __init__(self, trace_log: TraceLog) -> None:
        self._trace_log = trace_log
        self._writing: asyncio.Task[None] | None = None

    def write(self, trace: RoundTrace) -> None:
        """Begin to write; returns at once."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(trace))

    async def finish(self) -> None:
        """Return when what was begun is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self, trace: RoundTrace) -> None:
        try:
            await self._trace_log.write(await asyncio.to_thread(_told, trace))
        except Exception:  # a trace is worth less than a round: the next one is written again
            log.exception("trace_not_written")


def _told(trace: RoundTrace) -> list[RideTrace]:
    return [trace.of(row) for row in range(min(len(trace.waiting), RIDES_TRACED_MAX))]
