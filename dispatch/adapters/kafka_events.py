"""The topic of ride events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from dispatch.ports import OutboxRow


class KafkaEventLog:
    """`EventLog` over a Kafka producer that waits for all replicas."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition_of: Callable[[str], int]) -> None:
        self._producer = producer
        self._topic = topic
        self._partition_of = partition_of

    async def append(self, rows: Sequence[OutboxRow]) -> None:
        """See `EventLog.append`.

        Nothing is sent after a group that was not acknowledged: its readers would take the later rows, and then drop
        the earlier ones, sent again, as repetitions.
        """
        by_partition: dict[int, list[OutboxRow]] = {}
        for row in rows:
            by_partition.setdefault(self._partition_of(row.region_id), []).append(row)
        for partition, own_rows in by_partition.items():
            waiting = deque(own_rows)
            while waiting:
                group = self._next_group(waiting)
                await (await self._producer.send_batch(group, self._topic, partition=partition))

    def _next_group(self, waiting: deque[OutboxRow]) -> BatchBuilder:
        """As many of the waiting rows as one request holds, at least one."""
        group = self._producer.create_batch()
        while waiting:
            row = waiting[0]
            if group.append(timestamp=None, key=row.region_id.encode(), value=row.payload.encode()) is None:
                break
            waiting.popleft()
        group.close()
        return group
