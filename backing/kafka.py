"""Kafka: broker addresses, and topics that are made before they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backing.kafka_security import PLAINTEXT, Security
from backing.retry import RestartNeeded

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient

_TOPIC_EXISTS = 36
#: Replicas of a topic if nobody says: with three, one broker may die while another is being replaced.
_REPLICATION = 3
#: How long, and how far apart at first, brokers are asked for a topic that one of them has just made; wall seconds.
_TOPIC_S_MAX = 5.0
_TOPIC_WAIT_S = 0.1


class TopicsRefused(Exception):
    """Topics cannot be had as they are asked for; the message says which and what to do."""


class TopicsDiffer(TopicsRefused):
    """A topic exists with fewer partitions than asked for; the message names it."""


class TopicUnknown(TopicsRefused):
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


@dataclass(frozen=True, slots=True)
class Copies:
    """How many brokers hold each message, and how many of them must have it before it is acknowledged."""

    #: None: three, or as many as there are brokers.
    replication: int | None = None
    #: None: all but one, so that one broker may be away; at least one.
    min_insync: int | None = None

    def __post_init__(self) -> None:
        for name, count in (("replication", self.replication), ("min_insync", self.min_insync)):
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, not {count}")
        if self.replication is not None and (self.min_insync or 1) > self.replication:
            raise ValueError(f"of {self.replication} replicas {self.min_insync} cannot be in sync")

    def for_brokers(self, brokers: int) -> tuple[int, int]:
        """Return replication and minimum in sync for a cluster of so many. Raises TopicsRefused for too few."""
        replication = min(_REPLICATION, brokers) if self.replication is None else self.replication
        if replication > brokers:
            raise TopicsRefused(
                f"{replication} replicas of a topic need as many brokers, and {brokers} are there: "
                "start the others, or lower HEXHAIL_TOPIC_REPLICATION"
            )
        min_insync = max(1, replication - 1) if self.min_insync is None else self.min_insync
        return replication, min(min_insync, replication)


@dataclass(frozen=True, slots=True)
class TopicState:
    """What brokers say of a topic."""

    name: str
    partitions: int
    #: The fewest replicas that a partition has, on brokers that are there or not.
    replication: int
    min_insync: int
    #: Partitions that take no messages now: without a leader, or with fewer replicas in sync than the minimum.
    refusing: tuple[int, ...]

    def shortfall(self, replication: int, min_insync: int) -> str:
        """Return what it has less of than is asked for; empty for nothing."""
        found = []
        if self.replication < replication:
            found.append(f"{self.replication} replicas, not {replication}")
        if self.min_insync < min_insync:
            found.append(f"min.insync.replicas {self.min_insync}, not {min_insync}")
        return f"topic {self.name} has {' and '.join(found)}" if found else ""


async def create_topics(
    broker_url: str,
    names: Sequence[str],
    partitions: int,
    copies: Copies | None = None,
    security: Security = PLAINTEXT,
) -> list[str]:
    """Create the topics that do not exist yet; return what those that exist have less of than is asked for.

    Raises TopicsDiffer if one exists with fewer partitions, TopicUnknown if one is not known in time, TopicsRefused if
    there are too few brokers, and aiokafka's KafkaError if the broker is away or refuses.
    """
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import for_code

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(broker_url), **security.client_options())
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        replication, min_insync = (copies or Copies()).for_brokers(brokers)
        # A topic of one replica has no such minimum; the embedded broker knows no setting of topics.
        configs = {"min.insync.replicas": str(min_insync)} if min_insync > 1 else {}
        answer = await admin.create_topics([NewTopic(name, partitions, replication, None, configs) for name in names])
        for name, code, *_ in answer.topic_errors:
            if code not in (0, _TOPIC_EXISTS):
                raise for_code(code)(f"topic {name} could not be created")
        states = await _states(admin, names, with_minimum=min_insync > 1)
    finally:
        await admin.close()
    for state in states:
        if state.partitions < partitions:
            raise TopicsDiffer(f"topic {state.name} has {state.partitions} partitions, not {partitions}")
    return [shortfall for state in states if (shortfall := state.shortfall(replication, min_insync))]


async def read_topics(
    broker_url: str, names: Sequence[str], security: Security = PLAINTEXT
) -> tuple[int, list[TopicState]]:
    """Return how many brokers there are, and the state of the topics. Raises TopicUnknown and KafkaError."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(broker_url), **security.client_options())
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        return brokers, await _states(admin, names, with_minimum=brokers > 1)
    finally:
        await admin.close()


async def _states(admin: AIOKafkaAdminClient, names: Sequence[str], *, with_minimum: bool) -> list[TopicState]:
    described = await _described(admin, names)
    minimum_of = await _minimum_insync(admin, names) if with_minimum else {}
    states = []
    for name in names:
        found, minimum = described[name], minimum_of.get(name, 1)
        fewest = min(len(partition["replicas"]) for partition in found)
        refusing = [
            partition["partition"]
            for partition in found
            if partition["leader"] < 0 or len(partition["isr"]) < min(minimum, len(partition["replicas"]))
        ]
        states.append(TopicState(name, len(found), fewest, minimum, tuple(sorted(refusing))))
    return states


async def _minimum_insync(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    asked = [ConfigResource(ConfigResourceType.TOPIC, name, {"min.insync.replicas": ""}) for name in names]
    minimum_of = {}
    for answer in await admin.describe_configs(asked):
        for _, _, _, name, entries in answer.resources:
            for key, value, *_ in entries:
                if key == "min.insync.replicas":
                    minimum_of[name] = int(value)
    return minimum_of


async def _described(admin: AIOKafkaAdminClient, names: Sequence[str]) -> Mapping[str, list[dict[str, Any]]]:
    """Ask until every topic has a partition: Apache Kafka answers before its brokers have heard of a new one.

    Raises TopicUnknown if they do not hear of it in time.
    """
    import stamina  # as aiokafka: commands that need no broker start without it

    @stamina.retry(
        on=TopicUnknown, attempts=None, timeout=_TOPIC_S_MAX, wait_initial=_TOPIC_WAIT_S, wait_jitter=_TOPIC_WAIT_S
    )
    async def ask() -> dict[str, list[dict[str, Any]]]:
        described = await admin.describe_topics(list(names))
        partitions_of = {topic["topic"]: topic["partitions"] for topic in described}
        for name in names:
            if not partitions_of.get(name):
                raise TopicUnknown(f"topic {name} was created, and the brokers do not know it yet")
        return partitions_of

    return await ask()
