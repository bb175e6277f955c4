"""The relay: committed events to the topic and the inboxes."""

from __future__ import annotations

import asyncio

from backing.faust_worker import use_uvloop
from backing.kafka import partition_of
from hexhail.runtime.connections import connect_producer, connect_redis, ensure_topics
from hexhail.runtime.database import open_database
from hexhail.runtime.repeating import repeat_until_stopped
from hexhail.runtime.settings import Settings
from kernel.contracts.topics import RIDE_EVENTS_TOPIC

#: How often the relay looks for news when there are none: what an event waits at most, and a percent of a core.
RELAY_IDLE_S = 0.02


def run_relay(settings: Settings) -> None:
    """Committed events to the topic and the inboxes."""
    use_uvloop()
    asyncio.run(_relay(settings))


async def _relay(settings: Settings) -> None:
    from dispatch.adapters.kafka_events import KafkaEventLog
    from dispatch.adapters.redis_inboxes import RedisInboxes
    from dispatch.adapters.sql.store import SqlRideStore
    from dispatch.service.relay import RelayService

    redis = await connect_redis(settings)
    database = await open_database(settings.database_url)
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    event_log = KafkaEventLog(
        producer, RIDE_EVENTS_TOPIC, lambda region_id: partition_of(region_id, settings.topic_partitions)
    )
    service = RelayService(SqlRideStore(database), event_log, RedisInboxes(redis))
    try:
        await repeat_until_stopped((service.relay_once, lambda: RELAY_IDLE_S))
    finally:
        await producer.stop()
        await database.close()
        await redis.aclose()
