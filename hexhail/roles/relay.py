"""The relay role: publishes committed messages to the topics of their streams and to inboxes."""

from __future__ import annotations

import asyncio

from backing.faust_worker import use_uvloop
from backing.readiness import Readiness
from hexhail.runtime.connections import connect_producer, connect_redis, ensure_topics, region_partitions
from hexhail.runtime.database import open_for_role
from hexhail.runtime.repeating import repeat_until_stopped
from hexhail.runtime.retention import Pruner, deletions, kinds_of
from hexhail.runtime.schema_watch import LOOK_EVERY_S as SCHEMA_EVERY_S
from hexhail.runtime.schema_watch import check_schema
from hexhail.runtime.settings import Settings
from kernel.contracts.topics import STREAM_TOPICS


def run_relay(settings: Settings, readiness: Readiness) -> None:
    """Publish committed messages to the topics of their streams and to the inboxes."""
    use_uvloop()
    asyncio.run(_relay(settings, readiness))


async def _relay(settings: Settings, readiness: Readiness) -> None:
    from prometheus_client import REGISTRY, Counter

    from backing.inboxes.redis_inboxes import RedisInboxes
    from backing.outbox.backlog import LOOK_EVERY_S, BacklogMetrics
    from backing.outbox.kafka_topics import KafkaTopics
    from backing.outbox.outbox import SqlOutbox
    from backing.outbox.relay import POLL_S, Relay, WokenRelay
    from backing.outbox.scripts import CHANNEL
    from backing.outbox.set_aside import SetAside

    redis = await connect_redis(settings)
    database = await open_for_role(settings, "relay")
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    set_aside = SetAside(
        Counter(
            "hexhail_relay_set_aside_total",
            "Messages that a topic or an inbox could not take; SQL keeps them like others, the log names them.",
            ["receiver"],
        )
    )
    topics = KafkaTopics(
        producer,
        STREAM_TOPICS,
        region_partitions(settings).home,
        set_aside,
    )
    outbox = SqlOutbox(database)
    relay = Relay(outbox, topics, RedisInboxes(redis, set_aside))
    backlog = BacklogMetrics(outbox, settings.clock().now_s, REGISTRY)
    news, pruner = database.listen(CHANNEL), Pruner(kinds_of(settings, database), deletions(REGISTRY))
    step = relay.relay_once if news is None else WokenRelay(relay, news).step
    try:
        await repeat_until_stopped(
            readiness,
            (step, lambda: POLL_S),
            (pruner.step, lambda: pruner.wait_s),
            (backlog.look, lambda: LOOK_EVERY_S),
            (lambda: check_schema(database), lambda: SCHEMA_EVERY_S),
        )
    finally:
        await producer.stop()
        await database.close()
        await redis.aclose()
