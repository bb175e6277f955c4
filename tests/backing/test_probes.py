"""What a probe says of a store that is well, and of one that takes no writes."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from backing.kafka import create_topics
from backing.probes import WritesRefused, probe_broker, probe_redis, probe_sql
from backing.sql.database import Database
from backing.sql.scripts import Statement, one
from location_ingest.adapters.kafka_pings import new_producer

pytestmark = pytest.mark.servers


async def test_a_probe_leaves_nothing_behind(database: Database, empty_redis: Redis) -> None:
    await probe_sql(database)
    assert [tuple(row) for row in await database.read("SELECT COUNT(*) FROM write_probes")] == [(0,)]
    await probe_redis(empty_redis, "{manhattan}:probe")
    assert await empty_redis.keys("*") == []


async def test_postgresql_that_is_set_to_read_only_refuses_the_probe(
    postgres_database: Any, postgres_url_of_own: str
) -> None:
    from backing.sql.postgres import PostgresDatabase

    name = (await postgres_database.read("SELECT current_database()"))[0][0]
    await postgres_database.run(
        lambda: one(Statement(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    )
    async with await PostgresDatabase.open(postgres_url_of_own, {}) as standby:
        with pytest.raises(WritesRefused, match="read-only transaction"):
            await probe_sql(standby)


async def test_sqlite_on_a_full_disk_says_so(sqlite_database: Database) -> None:
    """SQLite itself ends the transaction then; the next statement's "no such savepoint" hid the reason before."""
    pages = (await sqlite_database.run(lambda: one(Statement("PRAGMA page_count"))))[0][0]
    await sqlite_database.run(lambda: one(Statement(f"PRAGMA max_page_count = {pages}")))
    large = Statement("INSERT INTO write_probes VALUES (hex(randomblob(100000)))")
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        await sqlite_database.run(lambda: one(large))
    await probe_sql(sqlite_database)  # a row that has room is taken


async def test_a_broker_that_takes_messages_passes_the_probe(broker_port: int) -> None:
    url = f"127.0.0.1:{broker_port}"
    await create_topics(url, ["write.probes.test"], 1)
    producer = new_producer([url])
    await producer.start()
    try:
        await probe_broker(producer, "write.probes.test", 0)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=url)
    await consumer.start()
    written = TopicPartition("write.probes.test", 0)
    assert await consumer.end_offsets([written]) == {written: 1}
    await consumer.stop()


async def test_a_broker_that_refuses_messages_fails_the_probe(apache_kafka_port: int) -> None:
    """One node cannot be below its minimum of replicas; it refuses what is larger than the topic allows."""
    url = f"127.0.0.1:{apache_kafka_port}"
    admin = AIOKafkaAdminClient(bootstrap_servers=[url])
    await admin.start()
    await admin.create_topics([NewTopic("write.probes.narrow", 1, 1, topic_configs={"max.message.bytes": "1"})])
    await admin.close()
    producer = new_producer([url], request_timeout_s=3.0)
    await producer.start()
    try:
        with pytest.raises(WritesRefused, match="MessageSizeTooLarge"):
            await probe_broker(producer, "write.probes.narrow", 0)
    finally:
        await producer.stop()
