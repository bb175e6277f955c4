"""Connects to the servers; errors name the server and the remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import structlog

from backing.kafka import TopicsRefused, bootstrap_servers, create_topics
from hexhail.runtime.findings import REPLICAS_REMEDY
from hexhail.runtime.settings import Settings
from kernel.contracts.partitions import RegionPartitions
from kernel.contracts.topics import ALL_TOPICS, OWNERS_TOPIC

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from backing.ownership import KafkaOwnership

log = structlog.get_logger(__name__)


class DependencyMissing(Exception):
    """A server or database that a role needs cannot be used; the message says which one and what to do."""


async def connect_redis(settings: Settings) -> Redis:
    """A Redis client whose server has answered; a cluster and sentinels by their URL. Raises DependencyMissing."""
    from backing.redis.address import parse_address
    from backing.redis.opening import RedisUnusable, open_redis

    try:
        return await open_redis(parse_address(settings.redis_url))
    except ValueError as error:
        raise DependencyMissing(f"HEXHAIL_REDIS_URL is no address: {error}") from error
    except RedisUnusable as error:
        raise DependencyMissing(f"{error}. Start it there, or set HEXHAIL_REDIS_URL.") from error


async def connect_producer(settings: Settings) -> AIOKafkaProducer:
    """A Kafka producer that waits for all replicas. Raises DependencyMissing."""
    from aiokafka.errors import KafkaError

    from location_ingest.adapters.kafka_pings import new_producer

    try:
        producer = new_producer(bootstrap_servers(settings.broker_url), security=settings.security())
    except (ValueError, OSError) as error:
        raise DependencyMissing(_security_wrong(error)) from error
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        await producer.stop()
        raise _broker_missing(settings, error) from error
    return producer


def region_partitions(settings: Settings) -> RegionPartitions:
    """Return the partitions of the regions of all cities. Raises DependencyMissing."""
    from geo.city import load_region  # commands that reach no broker start without numpy

    try:
        region_ids = [load_region(folder).region_id for folder in settings.city_folders]
        return RegionPartitions(region_ids, settings.topic_partitions, settings.region_partitions)
    except (ValueError, OSError) as error:
        raise DependencyMissing(str(error)) from error


@asynccontextmanager
async def joined_owners(settings: Settings, group: str) -> AsyncIterator[KafkaOwnership]:
    """Membership among those who share out the regions; left at the end. Raises DependencyMissing.

    The members of each group share out all regions anew.
    """
    from backing.ownership import KafkaOwnership

    await ensure_topics(settings)
    partitions = region_partitions(settings)
    ownership = KafkaOwnership(
        bootstrap_servers(settings.broker_url),
        group,
        OWNERS_TOPIC,
        partitions.home,
        settings.broker_session_timeout_s,
        settings.security(),
        partitions.table,
    )
    async with reaching_broker(settings, ownership):
        yield ownership


class _Member(Protocol):
    """A member of a consumer group."""

    async def start(self) -> None:
        """Join."""

    async def stop(self) -> None:
        """Leave."""


@asynccontextmanager
async def reaching_broker(settings: Settings, member: _Member) -> AsyncIterator[None]:
    """Have a member join its group, and leave at the end. Raises DependencyMissing."""
    from aiokafka.errors import KafkaError

    try:
        await member.start()
    except (KafkaError, OSError) as error:
        await member.stop()
        raise _broker_missing(settings, error) from error
    try:
        yield
    finally:
        await member.stop()


def _broker_missing(settings: Settings, error: Exception) -> DependencyMissing:
    remedy = "Start it there, or set HEXHAIL_BROKER_URL."
    if settings.broker_security != "PLAINTEXT":
        # Brokers close the connection of whom they refuse: aiokafka cannot tell that from a broker that is away.
        remedy += (
            f" Or it refuses {settings.broker_security}: are HEXHAIL_BROKER_SECURITY, _SASL_MECHANISM, _USERNAME, "
            "_PASSWORD, _CA_FILE and _CERT_FILE right?"
        )
    return DependencyMissing(
        f"The Kafka broker does not answer at {settings.broker_url} ({type(error).__name__}). {remedy}"
    )


def _security_wrong(error: Exception) -> str:
    return f"The broker's security cannot be used ({error}). See the settings HEXHAIL_BROKER_…."


async def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing, and warn of those that exist with fewer replicas than asked for.

    Raises DependencyMissing.
    """
    from aiokafka.errors import KafkaError

    try:
        security = settings.security()
        security.tls_context()
    except (ValueError, OSError) as error:
        raise DependencyMissing(_security_wrong(error)) from error
    try:
        copies = settings.copies()
    except ValueError as error:
        raise DependencyMissing(f"HEXHAIL_TOPIC_REPLICATION and HEXHAIL_TOPIC_MIN_INSYNC: {error}.") from error
    try:
        shortfalls = await create_topics(settings.broker_url, ALL_TOPICS, settings.topic_partitions, copies, security)
    except TopicsRefused as error:
        raise DependencyMissing(f"{error}.") from error
    except (KafkaError, OSError) as error:
        raise _broker_missing(settings, error) from error
    for shortfall in shortfalls:
        log.warning("topic_below_settings", detail=shortfall, remedy=REPLICAS_REMEDY)
