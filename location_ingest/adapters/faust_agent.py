"""The ingestion worker on Faust: processes batches from the topic with retries, and exits when it is stuck.

Faust acknowledges a batch when the agent's body ends, also by an exception or cancellation, which would silently lose
the batch. So this module acknowledges a batch itself, after it is stored. The application must be built with
`stream_wait_empty=False`, since its stop would wait forever for unacknowledged messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from backing.retry import Backoff, retry_until_stopped
from location_ingest.metrics import IngestMetrics
from location_ingest.model import RawMessage
from location_ingest.service import IngestService

if TYPE_CHECKING:
    import faust

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AgentParams:
    """Parameters of the worker. Durations are in wall seconds: they concern servers, not the city."""

    #: Messages per batch, and the wait for them. Faust's stop hangs on longer waits; 0.05 s is invisible on a map.
    batch_messages_max: int = 500
    batch_wait_s: float = 0.05
    #: Wait after a failed batch, doubled each time up to the second value, to spare a restarting server.
    retry_wait_s: float = 0.1
    retry_wait_s_max: float = 2.0
    #: Interval at which stale drivers are removed and the consumer lag is measured.
    sweep_every_s: float = 5.0
    watch_every_s: float = 2.0
    #: Longer than a rebalance (some 35 s at worst, when several workers die one after the other).
    stuck_after_s: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


class WorkerStuck(Exception):
    """The worker has lag but makes no progress; the process must be restarted."""


@dataclass(slots=True)
class Watchdog:
    """Decides whether a worker is stuck; pure: the caller passes time and measurements."""

    stuck_after_s: float
    _processed: int = -1
    _quiet_since_s: float | None = None

    def is_stuck(self, now_s: float, lag: int | None, processed: int) -> bool:
        """Decide by the consumer lag in messages (None: unknown) and the messages processed so far.

        A worker without progress whose lag is unknown counts as lagging.
        """
        if processed != self._processed or lag == 0:
            self._processed, self._quiet_since_s = processed, None
            return False
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s
        return now_s - self._quiet_since_s >= self.stuck_after_s


def attach(
    app: faust.App,
    topic_name: str,
    service: IngestService,
    *,
    now_s: Callable[[], float],
    metrics: IngestMetrics,
    params: AgentParams | None = None,
) -> None:
    """Give the application its agent on the topic, the sweep and the watchdog. `now_s` is the city's clock."""
    # Load kernels now: after the worker joins its group, this would block heartbeats.
    service.prepare()
    worker = _Worker(app, service, now_s, metrics, params or AgentParams())
    topic = app.topic(topic_name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    # Concurrency 1: with more, acknowledgements come out of order, and Faust then commits one message too many.
    app.agent(topic, concurrency=1, name="location_ingest.pings")(worker.take_batches)
    app.task()(worker.sweep_stale)
    app.task()(worker.watch)


class _Worker:
    def __init__(
        self,
        app: faust.App,
        service: IngestService,
        now_s: Callable[[], float],
        metrics: IngestMetrics,
        params: AgentParams,
    ) -> None:
        self._app = app
        self._service = service
        self._now_s = now_s
        self._metrics = metrics
        self._params = params
        self._processed = 0

    async def take_batches(self, stream: Any) -> None:
        async for events in stream.noack_take(self._params.batch_messages_max, within=self._params.batch_wait_s):
            messages = [RawMessage(e.message.partition, e.message.offset, e.message.value or b"") for e in events]
            if not await self._process_until_done(messages):
                return
            for event in events:
                await stream.ack(event)
            self._processed += len(events)
            oldest_s = min(event.message.timestamp or time.time() for event in events)
            self._metrics.log_to_cell_s.observe(max(0.0, time.time() - oldest_s))

    async def _process_until_done(self, messages: list[RawMessage]) -> bool:
        """Return True when all is stored, False if the worker is to stop before that."""

        # A stored batch may be processed again: cells store each position once.
        async def process() -> None:
            self._observe_edge_to_cell(await self._service.process(messages, self._now_s()))

        def log_failure(error: Exception, retry_s: float) -> None:
            self._metrics.batch_failures.inc()
            log.warning("batch_failed", messages=len(messages), retry_s=retry_s, error=str(error) or repr(error))

        backoff = Backoff(self._params.retry_wait_s, self._params.retry_wait_s_max)
        return await retry_until_stopped(process, self._app, backoff, log_failure)

    def _observe_edge_to_cell(self, received_s: Sequence[float]) -> None:
        now_s = self._now_s()
        for at_s in received_s:
            self._metrics.edge_to_cell_s.observe(max(0.0, now_s - at_s))

    async def sweep_stale(self) -> None:
        while not self._app.should_stop:
            await self._app.sleep(self._params.sweep_every_s)
            try:
                await self._service.sweep(self._now_s())
            # The next sweep does it.
            except Exception as error:
                log.warning("sweep_failed", error=str(error) or repr(error))

    async def watch(self) -> None:
        watchdog = Watchdog(self._params.stuck_after_s)
        while not self._app.should_stop:
            await self._app.sleep(self._params.watch_every_s)
            lag = await self._lag()
            self._metrics.log_lag.set(-1 if lag is None else lag)
            if watchdog.is_stuck(time.monotonic(), lag, self._processed):
                await self._app.crash(WorkerStuck(f"nothing processed for {self._params.stuck_after_s} s, lag {lag}"))

    async def _lag(self) -> int | None:
        """Return the messages not yet fetched and those not yet processed, summed; None if the broker is silent."""
        consumer = self._app.consumer
        if self._app.rebalancing:
            return None
        try:
            async with asyncio.timeout(self._params.watch_every_s):
                assigned = consumer.assignment()
                ends = await consumer.highwaters(*assigned)
                positions = [(end, await consumer.position(tp)) for tp, end in ends.items()]
        # Broker, thread or connection is dead: the lag is unknown.
        except Exception:
            return None
        unfetched = sum(max(0, end - (position or 0)) for end, position in positions)
        return int(unfetched) + len(consumer.unacked)
