"""What rounds and commands ask of SQL takes as long as the city is large, not as long as it has been running."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backing.outbox import statements as outbox
from dispatch.adapters.sql import statements as rides
from hexhail.runtime.database import open_database

#: What an operator asks for now and then may take its time.
NOW_AND_THEN = {"HISTORY", "COUNT_RIDES", "LATEST_TRIPS"}
#: SQLite does not know them.
OF_POSTGRES = {"LOCK_POSITIONS", "LOCK_RIDER", "SETTLE"}
TABLES = ("rides", "r", "c", "offers", "o", "shifts", "s", "outbox_rows")
STATEMENTS = {
    name: text
    for name, text in (vars(rides) | vars(outbox)).items()
    if isinstance(text, str) and text.startswith(("SELECT", "UPDATE")) and name not in NOW_AND_THEN | OF_POSTGRES
}


@pytest.fixture
async def empty_file(tmp_path: Path) -> AsyncIterator[Any]:
    await (await open_database(f"sqlite:///{tmp_path}/rides.db")).close()
    connection = sqlite3.connect(tmp_path / "rides.db")
    yield connection
    connection.close()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_rows_are_read_but_those_asked_for(empty_file: Any, name: str) -> None:
    parameters = (None,) * len(set(re.findall(r"\?\d+", STATEMENTS[name])))
    for row in empty_file.execute(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", parameters):
        step = row[3]
        assert "rides_by_time" not in step, "reads every ride that the region ever had"
        assert step not in {f"SCAN {table}" for table in TABLES}
