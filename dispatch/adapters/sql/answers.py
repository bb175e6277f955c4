"""Answers to requests that came with an idempotency key, beside those to requests for rides."""

from __future__ import annotations

from backing.sql.database import Database
from backing.sql.scripts import Script, Statement
from dispatch.adapters.sql import statements as sql
from dispatch.errors import IdempotencyConflict
from kernel.idempotency import IdempotencyKey


class SqlKeptAnswers:
    """Keeps the first answer to each key, as text; whoever opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, idempotency: IdempotencyKey) -> str | None:
        """The answer given to this key before, None if it is new. Raises IdempotencyConflict."""
        return await self._database.run(lambda: _find(idempotency))

    async def keep(self, idempotency: IdempotencyKey, answer: str) -> str:
        """Keep the answer if the key is new; return the one that stands. Raises IdempotencyConflict."""
        return await self._database.run(lambda: _keep(idempotency, answer))


def _find(idempotency: IdempotencyKey) -> Script[str | None]:
    rows = yield Statement(sql.FIND_KEY, (idempotency.principal, idempotency.key))
    if not rows:
        return None
    body_sha256, answer = rows[0]
    if body_sha256 != idempotency.body_sha256:
        raise IdempotencyConflict(idempotency.key)
    return str(answer)


def _keep(idempotency: IdempotencyKey, answer: str) -> Script[str]:
    added = (idempotency.principal, idempotency.key, idempotency.body_sha256, answer)
    yield Statement(sql.ADD_KEY_IF_NEW, added)
    return (yield from _find(idempotency)) or answer
