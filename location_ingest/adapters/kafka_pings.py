"""Writes pings and dead letters to Kafka topics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer

from location_ingest.adapters.ping_codec import encode_columns, encode_letter
from location_ingest.columns import PingColumns
from location_ingest.model import DeadLetter


def new_producer(bootstrap_servers: Sequence[str], *, request_timeout_s: float = 5.0) -> AIOKafkaProducer:
    """Return a producer, to be started by the caller; a group is given up after `request_timeout_s` wall seconds.

    Without idempotence, which the embedded broker does not know: what a retry writes twice the guard drops.
    """
    return AIOKafkaProducer(
        bootstrap_servers=list(bootstrap_servers),
        acks="all",
        enable_idempotence=False,
        request_timeout_ms=int(request_timeout_s * 1e3),
        # A broker that came back is found within this; the default of 100 ms asks it without pause meanwhile.
        retry_backoff_ms=250,
    )


class KafkaPings:
    """A PingLog on one topic; `partition_of` gives the partition of a region."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition_of: Callable[[str], int]) -> None:
        self._producer = producer
        self._topic = topic
        self._partition_of = partition_of

    async def append(self, group: PingColumns) -> None:
        """Return when all in-sync replicas have the group; raises aiokafka's KafkaError."""
        await self._producer.send_and_wait(
            self._topic,
            encode_columns(group),
            key=group.region_id.encode(),
            partition=self._partition_of(group.region_id),
        )


class KafkaDeadLetters:
    """DeadLetters on one topic, each in the partition its message came from."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def append(self, letter: DeadLetter) -> None:
        """Return when all in-sync replicas have the letter; raises aiokafka's KafkaError."""
        await self._producer.send_and_wait(self._topic, encode_letter(letter), partition=letter.message.partition)
