"""Kafka: broker addresses, the partition of a region, and topics that are made before they are used."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backing.retry import RestartNeeded

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient

_TOPIC_EXISTS = 36
#: How long, and how far apart at first, brokers are asked for a topic that one of them has just made; wall seconds.
_TOPIC_S_MAX = 5.0
_TOPIC_WAIT_S = 0.1


class TopicsDiffer(Exception):
    """A topic exists with fewer partitions than asked for; the message names it."""


class TopicUnknown(Exception):
    """A topic was created and brokers do not know it; the message names it."""


def bootstrap_servers(broker_url: str) -> list[str]:
    """Return `host:port` of each broker in a URL such as `kafka://one:9092;kafka://two:9092`; the scheme may lack.

    Raises ValueError if there is none.
    """
    parts = broker_url.replace(",", ";").split(";")
    servers = [part.strip().removeprefix("kafka://").rstrip("/") for part in parts]
    if not all(servers):
        raise ValueError(f"{broker_url!r} names no broker: expected something like kafka://localhost:9092")
    return servers


def partition_of(region_id: str, partitions: int) -> int:
    """Return the partition, 0 to partitions - 1, in which everything of a region travels; the same on every machine."""
    return zlib.crc32(region_id.encode()) % partitions


def require_coordination(consumer: AIOKafkaConsumer) -> None:
    """Raise RestartNeeded if a subscribed consumer has stopped to take part in its group, which it never mends itself.

    aiokafka does its share of the group protocol in one task. When an error that it does not expect ends this task,
    every later call raises a KafkaError like those that pass, the group gives the partitions away, and nobody joins
    again.
    """
    task = consumer._coordinator._coordination_task  # noqa: SLF001 - test_ownership.py holds the name
    if not task.done():
        return
    cause = None if task.cancelled() else task.exception()
    raise RestartNeeded(
        f"The task that coordinates this process's share of Kafka partitions has ended ({cause or 'cancelled'}). "
        "It does not come back: the process must be started again."
    ) from cause


async def create_topics(broker_url: str, names: Sequence[str], partitions: int) -> None:
    """Create the topics that do not exist yet.

    Raises TopicsDiffer if one exists with fewer partitions, TopicUnknown if one is not known in time, and aiokafka's
    KafkaError if the broker is away or refuses.
    """
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import for_code

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(broker_url))
    try:
        await admin.start()
        answer = await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        for name, code, *_ in answer.topic_errors:
            if code not in (0, _TOPIC_EXISTS):
                raise for_code(code)(f"topic {name} could not be created")
        for name, count in (await _partition_counts(admin, names)).items():
            if count < partitions:
                raise TopicsDiffer(f"topic {name} has {count} partitions, not {partitions}")
    finally:
        await admin.close()


async def _partition_counts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Ask until every topic has a partition: Apache Kafka answers before its brokers have heard of a new one.

    Raises TopicUnknown if they do not hear of it in time.
    """
    import stamina  # as aiokafka: commands that need no broker start without it

    @stamina.retry(
        on=TopicUnknown, attempts=None, timeout=_TOPIC_S_MAX, wait_initial=_TOPIC_WAIT_S, wait_jitter=_TOPIC_WAIT_S
    )
    async def ask() -> dict[str, int]:
        described = await admin.describe_topics(list(names))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
        for name in names:
            if not counts.get(name):
                raise TopicUnknown(f"topic {name} was created, and the brokers do not know it yet")
        return counts

    return await ask()
