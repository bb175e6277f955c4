"""Numbered SQL files, applied in order, each once."""

from __future__ import annotations

import re
from importlib.resources import files

from dispatch.adapters.sql.scripts import Dialect

CREATE_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)"
APPLIED = "SELECT version FROM schema_version ORDER BY version"
MARK_APPLIED = "INSERT INTO schema_version (version) VALUES (?1)"
_NAME = re.compile(r"(\d{4})_\w+\.(sqlite|postgres)\.sql")


def migrations(dialect: Dialect) -> list[tuple[int, str]]:
    """(version, SQL text) of a dialect's migrations in order."""
    found = []
    for entry in files("dispatch.adapters.sql").joinpath("migrations").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match and match[2] == dialect:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def check_not_newer(applied: list[int], dialect: Dialect) -> None:
    """Raise RuntimeError if the database was written by a newer hexhail than this one."""
    newest = migrations(dialect)[-1][0]
    if applied and applied[-1] > newest:
        raise RuntimeError(
            f"the database has schema {applied[-1]}, this hexhail knows {newest}: it was written by a newer version. "
            "Run that version, or restore a backup."
        )
