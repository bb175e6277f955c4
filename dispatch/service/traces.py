"""Writes the traces of rounds in the background, so that rounds never wait for them."""

from __future__ import annotations

import asyncio

import structlog

from dispatch.matching.reasons import RideTrace, RoundTrace
from dispatch.ports import TraceLog

log = structlog.get_logger(__name__)

#: Rides traced per round, those that have waited longest: about 2 kB and 0.2 ms each.
RIDES_TRACED_MAX = 500


class TraceWriter:
    """Writes the traces of one round at a time; a round that ends during a write is not traced."""

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
            await self._trace_log.write(await asyncio.to_thread(_ride_traces, trace))
        except Exception:  # a lost trace does no harm: the next round is traced again
            log.exception("trace_not_written")


def _ride_traces(trace: RoundTrace) -> list[RideTrace]:
    return [trace.of(row) for row in range(min(len(trace.waiting), RIDES_TRACED_MAX))]
