"""The topic of ride events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer

from dispatch.ports import OutboxRow


class KafkaEventLog:
    """`EventLog` over a Kafka producer that waits for all replicas."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition_of: Callable[[str], int]) -> None:
        self._producer = producer
        self._topic = topic
        self._partition_of = partition_of

    async def append(self, rows: Sequence[OutboxRow]) -> None:
        """See `EventLog.append`."""
        acknowledgements = [
            await self._producer.send(
                self._topic,
                value=row.payload.encode(),
                key=row.region.encode(),
                partition=self._partition_of(row.region),
            )
            for row in rows
        ]
        await asyncio.gather(*acknowledgements)
