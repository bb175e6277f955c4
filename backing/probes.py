"""Whether the stores take writes: each probe writes something of no meaning and takes it away again.

A store that answers reads may refuse writes: a Redis that has become a replica or is full, a database on a full disk or
set to read only, a broker with too few replicas in sync. The probes look whether the store answers before they write:
one that does not makes them raise what its client raises, one that refuses makes them raise WritesRefused.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from backing.sql.database import Database
from backing.sql.scripts import Script, Statement

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

#: A probe that its process could not take away any more is gone after this.
REDIS_PROBE_MS = 5_000
#: A broker with too few replicas in sync makes aiokafka try again until its request timeout: wall seconds until then.
BROKER_PROBE_S = 1.5


class WritesRefused(Exception):
    """A store answers, and does not take writes; the message is the store's own word, without addresses."""


async def probe_redis(redis: Redis, key: str) -> None:
    """Write a key and delete it. Raises WritesRefused by a replica, a full server, one that cannot save."""
    await redis.ping()
    try:
        await redis.set(key, b"", px=REDIS_PROBE_MS)
        await redis.delete(key)
    except ResponseError as error:
        raise WritesRefused(str(error)) from error


async def probe_sql(database: Database) -> None:
    """Write a row and delete it in one transaction, which is committed. Raises WritesRefused."""
    await database.read("SELECT COUNT(*) FROM write_probes")
    try:
        await database.run(_write_and_delete)
    except Exception as error:  # SQLite's and asyncpg's errors have no root but this
        raise WritesRefused(str(error)) from error


def _write_and_delete() -> Script[None]:
    probe_id = uuid.uuid4().hex
    yield Statement("INSERT INTO write_probes (id) VALUES (?1)", (probe_id,))
    yield Statement("DELETE FROM write_probes WHERE id = ?1", (probe_id,))


async def probe_broker(
    producer: AIOKafkaProducer, topic: str, partition: int, needed: Sequence[tuple[str, int]] = ()
) -> None:
    """Write an empty message to a topic that nobody reads, as all in-sync replicas must have it.

    ``needed`` are topics and partitions that must have a leader besides. Raises WritesRefused, and RuntimeError if no
    broker answers.
    """
    if not await producer.client.force_metadata_update():
        raise RuntimeError("no broker answers")
    from aiokafka.errors import KafkaError
    from aiokafka.structs import TopicPartition

    cluster = await producer.client.fetch_all_metadata()
    leaderless = [
        f"{name} {number}"
        for name, number in needed
        if cluster.leader_for_partition(TopicPartition(name, number)) in (None, -1)
    ]
    if leaderless:
        raise WritesRefused(f"no broker leads {', '.join(leaderless)} (topic and partition)")
    try:
        async with asyncio.timeout(BROKER_PROBE_S):
            await producer.send_and_wait(topic, b"", partition=partition)
    except TimeoutError as error:
        why = f"no message was acknowledged within {BROKER_PROBE_S} s; too few replicas of {topic} may be in sync"
        raise WritesRefused(why) from error
    except KafkaError as error:
        raise WritesRefused(f"{topic}: {type(error).__name__}") from error
