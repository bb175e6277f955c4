"""Quotes told to the topic quotes.asked: never waited for, and let go where the broker does not keep up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pricing.adapters.event_codec import encode_quote
from pricing.metrics import QuoteMetrics
from pricing.model.quotes import Quote

#: Quotes under way at once: seconds of a busy city; beyond it the broker is away, and a rider must not wait for it.
UNDER_WAY_MAX = 2_000


class KafkaQuotes:
    """Tells of quotes without the rider noticing; one that is lost costs a fraction of a request's worth of demand."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, partition_of: Callable[[str], int], metrics: QuoteMetrics
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partition_of = partition_of
        self._metrics = metrics
        self._under_way: set[asyncio.Task[None]] = set()

    def announce(self, quote: Quote) -> None:
        """Send the quote on its way; returns at once."""
        if len(self._under_way) >= UNDER_WAY_MAX:
            self._metrics.quotes_announced.labels(quote.region_id, "dropped").inc()
            return
        task = asyncio.create_task(self._send(quote))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, quote: Quote) -> None:
        key, partition = quote.region_id.encode(), self._partition_of(quote.region_id)
        try:
            sent = await self._producer.send(self._topic, encode_quote(quote), key=key, partition=partition)
            await sent
        except (KafkaError, OSError):
            self._metrics.quotes_announced.labels(quote.region_id, "lost").inc()
        else:
            self._metrics.quotes_announced.labels(quote.region_id, "sent").inc()

    async def close(self) -> None:
        """Give up what is still under way."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
