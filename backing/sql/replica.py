"""Reads of history from a streaming replica: as old as it says, and never of what has to be current."""

from __future__ import annotations

import time
from typing import NamedTuple

import structlog

from backing.sql.database import Database

log = structlog.get_logger(__name__)

#: A replica that is behind by more is not asked: people look at figures that are some seconds old, not minutes.
AGE_S_MAX = 30.0
#: Wall seconds for which a replica that did not answer is left alone.
LEFT_ALONE_S = 10.0
#: Wall seconds since the last change that the replica has; 0 where it has become the primary, NULL before any change.
_STATE = (
    "SELECT CASE WHEN pg_is_in_recovery()"
    " THEN EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 ELSE 0.0 END,"
    " (SELECT COUNT(*) FROM schema_version)"
)


class Source(NamedTuple):
    """A database to read history from, and how old what it shows may be."""

    database: Database
    #: Wall seconds; nothing older is missing. Where nothing is written it grows although nothing is missing.
    age_s: float


class HistorySource:
    """Chooses where history is read: at the replica while it answers and is fresh enough, else at the primary."""

    def __init__(
        self,
        primary: Database,
        replica: Database | None = None,
        age_s_max: float = AGE_S_MAX,
        migrations_min: int = 0,
    ) -> None:
        """A replica that has not replayed ``migrations_min`` files yet lacks tables or columns, and is not asked."""
        self._primary = primary
        self._replica = replica
        self._age_s_max = age_s_max
        self._migrations_min = migrations_min
        self._left_alone_until_s = float("-inf")

    async def choose(self) -> Source:
        """The source for the reads of one answer."""
        if self._replica is None or time.monotonic() < self._left_alone_until_s:
            return Source(self._primary, 0.0)
        try:
            age_s, migrations = (await self._replica.read(_STATE))[0]
        except Exception as error:  # away, or not even the table of migrations is there: the primary can answer
            log.warning("replica_left_alone", seconds=LEFT_ALONE_S, error=repr(error))
            self._left_alone_until_s = time.monotonic() + LEFT_ALONE_S
            return Source(self._primary, 0.0)
        if age_s is None or age_s > self._age_s_max or migrations < self._migrations_min:
            return Source(self._primary, 0.0)
        return Source(self._replica, max(0.0, age_s))
