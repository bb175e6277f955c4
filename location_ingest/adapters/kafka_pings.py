"""Writes pings and dead letters to Kafka topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from aiokafka import AIOKafkaProducer

from backing.kafka_security import PLAINTEXT, Security
from kernel.contracts.partitions import partition_of_driver
from location_ingest.adapters.ping_codec import encode_columns, encode_letter
from location_ingest.columns import PingColumns
from location_ingest.model import DeadLetter


def new_producer(
    bootstrap_servers: Sequence[str], *, request_timeout_s: float = 5.0, security: Security = PLAINTEXT
) -> AIOKafkaProducer:
    """Return a producer, to be started by the caller; a group is given up after `request_timeout_s` wall seconds.

    Without idempotence, which the embedded broker does not know: what a retry writes twice the guard drops.
    """
    return AIOKafkaProducer(
        bootstrap_servers=list(bootstrap_servers),
        **security.client_options(),
        acks="all",
        enable_idempotence=False,
        request_timeout_ms=int(request_timeout_s * 1e3),
        # A broker that came back is found within this; the default of 100 ms asks it without pause meanwhile.
        retry_backoff_ms=250,
    )


class KafkaPings:
    """A PingLog on one topic; `partitions_of` gives the partitions of a region, among which drivers are spread."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions_of: Callable[[str], Sequence[int]]) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions_of = partitions_of

    async def append(self, group: PingColumns) -> None:
        """Return when all in-sync replicas have the group; raises aiokafka's KafkaError.

        A part of it may be stored then: storing it again does no harm.
        """
        parts = by_partition(group, self._partitions_of(group.region_id))
        key = group.region_id.encode()
        sent = [
            await self._producer.send(self._topic, encode_columns(part), key=key, partition=partition)
            for partition, part in parts
        ]
        await asyncio.gather(*sent)


def by_partition(group: PingColumns, partitions: Sequence[int]) -> Iterator[tuple[int, PingColumns]]:
    """Split a group so that all pings of a driver are in the same partition, in their order."""
    if len(partitions) == 1:
        yield partitions[0], group
        return
    partition_of = np.array([partition_of_driver(driver_id, partitions) for driver_id in group.driver_ids])
    for partition in partitions:
        rows = np.flatnonzero(partition_of == partition)
        if rows.size:
            driver_ids = [group.driver_ids[row] for row in rows.tolist()]
            yield partition, PingColumns(group.region_id, group.received_s, driver_ids, group.values[rows])


class KafkaDeadLetters:
    """DeadLetters on one topic, each in the partition its message came from."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def append(self, letter: DeadLetter) -> None:
        """Return when all in-sync replicas have the letter; raises aiokafka's KafkaError."""
        await self._producer.send_and_wait(self._topic, encode_letter(letter), partition=letter.message.partition)
