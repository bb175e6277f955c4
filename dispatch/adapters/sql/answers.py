"""Answers to requests that came with an idempotency key, beside those to requests for rides."""

from __future__ import annotations

import time

from backing.sql.database import Database
from backing.sql.scripts import Dialect, Script, Statement, one
from dispatch.adapters.sql import statements as sql
from dispatch.adapters.sql.scripts import find_answer
from kernel.idempotency import IdempotencyKey


class SqlKeptAnswers:
    """Keeps the first answer to each key, as text; whoever opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, idempotency: IdempotencyKey) -> str | None:
        """The answer given to this key before, None if it is new. Raises IdempotencyConflict."""
        return await self._database.run(lambda: find_answer(self._database.dialect, idempotency))

    async def keep(self, idempotency: IdempotencyKey, answer: str) -> str:
        """Keep the answer if the key is new; return the one that stands. Raises IdempotencyConflict."""
        return await self._database.run(lambda: _keep(self._database.dialect, idempotency, answer))

    async def forget(self, before_s: float, limit: int) -> int:
        """Delete up to ``limit`` answers kept before a time, wall seconds since 1970; return how many."""
        return len(await self._database.run(lambda: one(Statement(sql.FORGET_KEYS, (before_s, limit)))))

    async def oldest_s(self) -> float | None:
        """When the oldest answer was kept; None if there is none."""
        oldest_s: float | None = (await self._database.read(sql.OLDEST_KEY))[0][0]
        return oldest_s


def _keep(dialect: Dialect, idempotency: IdempotencyKey, answer: str) -> Script[str]:
    added = (idempotency.principal, idempotency.key, idempotency.body_sha256, answer, time.time())
    yield Statement(sql.ADD_KEY_IF_NEW, added)
    return (yield from find_answer(dialect, idempotency)) or answer
