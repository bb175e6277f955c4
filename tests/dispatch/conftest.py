"""The stores under test, over real databases."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dispatch.adapters.sql.postgres_store import PostgresStore
from dispatch.adapters.sql.sqlite_store import SqliteStore
from dispatch.service.rides import RideService
from tests.dispatch.people import PARAMS, Clock, MemoryLeases


@asynccontextmanager
async def _new_database(postgres_url: str) -> AsyncIterator[str]:
    """The address of a database without tables."""
    import asyncpg

    name = f"rides_{uuid.uuid4().hex}"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"CREATE DATABASE {name}")
    base, _, query = postgres_url.partition("?")
    yield f"{base.rpartition('/')[0]}/{name}?{query}"
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "rides.db")
    yield store
    await store.close()


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[str]:
    async with _new_database(postgres_url) as url:
        yield url


@pytest.fixture
async def postgres_store(postgres_database: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(postgres_database)
    yield store
    await store.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """A `RideStore` and `Outbox` without rides, over each of the two databases in turn."""
    if request.param == "sqlite":
        opened = await SqliteStore.open(tmp_path / "rides.db")
        yield opened
        await opened.close()
        return
    async with _new_database(request.getfixturevalue("postgres_url")) as url:
        server = await PostgresStore.open(url)
        yield server
        await server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases() -> MemoryLeases:
    return MemoryLeases()


@pytest.fixture
def rides(store: Any, leases: MemoryLeases, clock: Callable[[], float]) -> RideService:
    return RideService(store, leases, PARAMS, clock)
