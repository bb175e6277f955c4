"""The topics of the outbox's streams in Kafka."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from backing.outbox.rows import OutboxRow


class KafkaTopics:
    """`Topics` over a Kafka producer that waits for all replicas.

    ``topic_of`` names the topic of each stream, ``partition_of`` the partition of a region in each of them.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topic_of: Mapping[str, str], partition_of: Callable[[str], int]
    ) -> None:
        self._producer = producer
        self._topic_of = topic_of
        self._partition_of = partition_of

    async def append(self, rows: Sequence[OutboxRow]) -> None:
        """See `Topics.append`.

        Nothing is sent after a group that was not acknowledged: its readers would take the later rows, and then drop
        the earlier ones, sent again, as repetitions.
        """
        by_partition: dict[tuple[str, int], deque[OutboxRow]] = {}
        for row in rows:
            address = self._topic_of[row.stream], self._partition_of(row.region_id)
            by_partition.setdefault(address, deque()).append(row)
        for (topic, partition), waiting in by_partition.items():
            while waiting:
                group = self._next_group(waiting)
                await (await self._producer.send_batch(group, topic, partition=partition))

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
