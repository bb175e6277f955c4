"""The stores under test, over real databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backing.outbox.outbox import SqlOutbox
from backing.sql.database import Database
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.service.rides import RideService
from tests.dispatch.people import PARAMS, Clock, MemoryLeases


@pytest.fixture
async def sqlite_store(sqlite_database: Database) -> SqlRideStore:
    return SqlRideStore(sqlite_database)


@pytest.fixture
async def postgres_store(postgres_database: Database) -> SqlRideStore:
    return SqlRideStore(postgres_database)


@pytest.fixture
async def store(database: Database) -> SqlRideStore:
    """The ride store over each of the two databases in turn."""
    return SqlRideStore(database)


@pytest.fixture
def outbox(database: Database) -> SqlOutbox:
    """The outbox that `store` writes into."""
    return SqlOutbox(database)


@pytest.fixture
def sqlite_outbox(sqlite_database: Database) -> SqlOutbox:
    """The outbox that `sqlite_store` writes into."""
    return SqlOutbox(sqlite_database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases() -> MemoryLeases:
    return MemoryLeases()


@pytest.fixture
def rides(store: SqlRideStore, leases: MemoryLeases, clock: Callable[[], float]) -> RideService:
    return RideService(store, leases, PARAMS, clock)
