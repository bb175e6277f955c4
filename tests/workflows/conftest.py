"""The workflows under test, over each of the two databases in turn."""

from __future__ import annotations

import pytest

from backing.sql.database import Database
from dispatch.adapters.sql.store import SqlRideStore
from tests.workflows.town import Town


@pytest.fixture
def town(database: Database) -> Town:
    return Town(SqlRideStore(database))
