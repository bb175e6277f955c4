"""The topics of the outbox's streams in Kafka."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from backing.outbox.rows import OutboxRow
from backing.outbox.set_aside import SetAside


class KafkaTopics:
    """`Topics` over a Kafka producer that waits for all replicas.

    ``topic_of`` names the topic of each stream, ``partition_of`` the partition of a region in each of them. A row that
    no topic can take, because its stream has none or the broker finds it too large, is set aside: it stays in SQL as
    long as published rows do, is named in the log and counted, and those after it go on.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic_of: Mapping[str, str],
        partition_of: Callable[[str], int],
        set_aside: SetAside | None = None,
    ) -> None:
        self._producer = producer
        self._topic_of = topic_of
        self._partition_of = partition_of
        self._set_aside = set_aside or SetAside()

    async def append(self, rows: Sequence[OutboxRow]) -> None:
        """See `Topics.append`.

        Nothing is sent after a group that was not acknowledged: its readers would take the later rows, and then drop
        the earlier ones, sent again, as repetitions.
        """
        by_partition: dict[tuple[str, int], deque[OutboxRow]] = {}
        for row in rows:
            topic = self._topic_of.get(row.stream)
            if topic is None:
                self._set_aside.row(row, f"the stream {row.stream!r} has no topic: is a newer version at work?")
                continue
            by_partition.setdefault((topic, self._partition_of(row.region_id)), deque()).append(row)
        for (topic, partition), waiting in by_partition.items():
            while waiting:
                group, rows_in_it = self._next_group(waiting)
                try:
                    await (await self._producer.send_batch(group, topic, partition=partition))
                except MessageSizeTooLargeError:
                    await self._append_each(rows_in_it, topic, partition)

    async def _append_each(self, rows: Sequence[OutboxRow], topic: str, partition: int) -> None:
        """Send the rows of a group that was too large one by one, but for those that are too large alone."""
        for row in rows:
            group, _ = self._next_group(deque([row]))
            try:
                await (await self._producer.send_batch(group, topic, partition=partition))
            except MessageSizeTooLargeError as error:
                self._set_aside.row(row, f"{len(row.payload)} characters: {error}")

    def _next_group(self, waiting: deque[OutboxRow]) -> tuple[BatchBuilder, list[OutboxRow]]:
        """As many of the waiting rows as one request holds, at least one."""
        group, taken = self._producer.create_batch(), list[OutboxRow]()
        while waiting:
            row = waiting[0]
            if group.append(timestamp=None, key=row.region_id.encode(), value=row.payload.encode()) is None:
                break
            taken.append(waiting.popleft())
        group.close()
        return group, taken
