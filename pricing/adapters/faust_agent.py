"""Runs the pricer on Faust: feeds it batches of its two topics until each is counted, and ticks it.

Faust acknowledges a batch when the body of an agent ends, also by an exception or a cancellation, and so loses it
silently. Here a batch is acknowledged by hand after it is counted. The application must be built with
`stream_wait_empty=False`: otherwise its stop waits for ever for batches that are never acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from backing.retry import Backoff, RestartNeeded, retry_until_stopped
from pricing.adapters.event_codec import decode_quote, decode_ride
from pricing.model.messages import QuoteAsked, RideEvent
from pricing.service.advice import AdviceService
from pricing.service.surge import PricingService

if TYPE_CHECKING:
    import faust

# A batch is one call of the counting function: 2,500 arguments, and 50 ms at most until the first of it is counted.
BATCH_MAX = 500
BATCH_WITHIN_S = 0.05
# Wall seconds between attempts while a store is away: soon enough to catch up at once, rare enough not to hammer it.
RETRY_S_MIN = 0.1
RETRY_S_MAX = 2.0
#: Wall seconds between two questions of who stands by whether the region is its own now.
STAND_BY_S = 1.0

log = structlog.get_logger(__name__)

T = TypeVar("T")
Decode = Callable[[bytes | None], T | None]
Process = Callable[[Sequence[T | None], float], Awaitable[None]]
#: Whether this process is to set the prices of the region, and to advise its drivers. May raise RestartNeeded.
Owns = Callable[[], Awaitable[bool]]


class Pricing:
    """The pricing of one region by a service that can be replaced by one on another map.

    What a service remembers is in the stores, so that the next one goes on from there; it begins when the one before
    is done with what it does.
    """

    def __init__(self, service: PricingService) -> None:
        self._service = service
        self.region_id = service.region_id
        self._in_step = asyncio.Lock()

    @property
    def tick_s(self) -> float:
        """City seconds between two ticks."""
        return self._service.tick_s

    async def replace(self, service: PricingService) -> None:
        """Price by this service from now on. Returns when the one before has ended its step."""
        async with self._in_step:
            self._service = service

    async def process_rides(self, messages: Sequence[RideEvent | None], now_s: float) -> None:
        """See `PricingService.process_rides`."""
        await self._service.process_rides(messages, now_s)

    async def process_quotes(self, messages: Sequence[QuoteAsked | None], now_s: float) -> None:
        """See `PricingService.process_quotes`."""
        await self._service.process_quotes(messages, now_s)

    async def tick(self, now_s: float) -> None:
        """See `PricingService.tick`."""
        async with self._in_step:
            await self._service.tick(now_s)

    def stand_by(self) -> None:
        """See `PricingService.stand_by`."""
        self._service.stand_by()


class Advising:
    """The advice of one region by a service that can be replaced by one on another map."""

    def __init__(self, service: AdviceService) -> None:
        self.service = service
        self.region_id = service.region_id

    async def plan_once(self, now_s: float) -> None:
        """See `AdviceService.plan_once`."""
        await self.service.plan_once(now_s)


async def _always() -> bool:
    return True


def attach(
    app: faust.App,
    rides_topic: str,
    quotes_topic: str,
    service: PricingService | Pricing,
    *,
    now_s: Callable[[], float],
    wall_duration_s: Callable[[float], float],
    owns: Owns = _always,
) -> tuple[Any, Any]:
    """Have ``app`` feed ``service`` from the topics, and tick it each `service.tick_s` of city time; return the agents.

    Every process counts messages, and only the one that owns the region ticks. ``now_s`` is the city's clock,
    ``wall_duration_s`` turns a stretch of city time into wall seconds.
    """
    worker = _Worker(app, service, now_s, wall_duration_s, owns)
    app.task()(worker.tick_until_stopped)

    def agent(topic_name: str, name: str, take_batches: Callable[[Any], Awaitable[None]]) -> Any:
        topic = app.topic(topic_name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        # More than one at a time would acknowledge out of order, where Faust commits one message too many.
        return app.agent(topic, concurrency=1, name=f"pricing.{name}.{service.region_id}")(take_batches)

    return agent(rides_topic, "rides", worker.take_rides), agent(quotes_topic, "quotes", worker.take_quotes)


def attach_advice(
    app: faust.App,
    service: AdviceService | Advising,
    *,
    every_s: float,
    now_s: Callable[[], float],
    wall_duration_s: Callable[[float], float],
    owns: Owns = _always,
) -> None:
    """Have ``app`` plan advice each ``every_s`` of city time; a plan that fails is logged and the next one is tried."""

    async def plan_until_stopped() -> None:
        while not app.should_stop:
            await app.sleep(wall_duration_s(every_s))
            try:
                if await owns():
                    await service.plan_once(now_s())
            except Exception as error:
                log.warning("advice_failed", region=service.region_id, error=repr(error))

    app.task()(plan_until_stopped)


class _Worker:
    def __init__(
        self,
        app: Any,
        service: PricingService | Pricing,
        now_s: Callable[[], float],
        wall_duration_s: Callable[[float], float],
        owns: Owns,
    ) -> None:
        self._app = app
        self._owns = owns
        self._service = service
        self._now_s = now_s
        self._wall_duration_s = wall_duration_s

    async def take_rides(self, stream: Any) -> None:
        await self._take_batches(stream, decode_ride, self._service.process_rides)

    async def take_quotes(self, stream: Any) -> None:
        await self._take_batches(stream, decode_quote, self._service.process_quotes)

    async def _take_batches(self, stream: Any, decode: Decode[T], process: Process[T]) -> None:
        async for events in stream.noack_take(BATCH_MAX, within=BATCH_WITHIN_S):
            if not await self._process_until_done(process, [decode(event.message.value) for event in events]):
                return
            for event in events:
                await stream.ack(event)

    async def _process_until_done(self, process: Process[T], messages: list[T | None]) -> bool:
        """Return True when all are counted, False if the worker is to stop before that."""

        def log_failure(error: Exception, retry_s: float) -> None:
            log.warning("batch_failed", messages=len(messages), retry_s=retry_s, error=repr(error))

        backoff = Backoff(RETRY_S_MIN, RETRY_S_MAX)
        return await retry_until_stopped(lambda: process(messages, self._now_s()), self._app, backoff, log_failure)

    async def tick_until_stopped(self) -> None:
        while not self._app.should_stop:
            wait_s = self._wall_duration_s(self._service.tick_s)
            try:
                if await self._owns():
                    await self._service.tick(self._now_s())
                else:
                    self._service.stand_by()
                    wait_s = min(wait_s, STAND_BY_S)
            except RestartNeeded as error:
                await self._app.crash(error)
                return
            except Exception as error:
                log.warning("tick_failed", error=repr(error))
            await self._app.sleep(wait_s)
