"""Revocations in SQL, where they last, beside the copy in Redis that every process asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from api.auth.revocation_watch import RevocationStore
from api.auth.revocations import Revocation
from api.auth.tokens import Principal, Role
from backing.sql.database import Database
from backing.sql.scripts import Script, Statement, one

log = structlog.get_logger(__name__)

# Of two for one subject the later counts.
ADD = (
    "INSERT INTO revocations (name, revoked_s, until_s, by_whom, reason, token_id, role, subject)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    " ON CONFLICT (name) DO UPDATE SET revoked_s = excluded.revoked_s, until_s = excluded.until_s,"
    " by_whom = excluded.by_whom, reason = excluded.reason WHERE excluded.revoked_s > revocations.revoked_s"
)
FORGET = "DELETE FROM revocations WHERE until_s <= ?1"
STANDING = "SELECT revoked_s, until_s, by_whom, reason, token_id, role, subject FROM revocations WHERE until_s > ?1"


class SqlRevocations:
    """The revocations of an installation over a database that other stores may share; whoever opened it closes it."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        """``now`` gives wall seconds since 1970."""
        self._database = database
        self._now = now

    async def add(self, revocation: Revocation) -> None:
        """Keep one until it has ended, and forget those that have; return once it is durable."""
        principal = revocation.principal
        role, subject = (principal.role.value, principal.id) if principal is not None else (None, None)
        times, why = (revocation.revoked_s, revocation.until_s), (revocation.by, revocation.reason)
        row = (revocation.name, *times, *why, revocation.token_id, role, subject)

        def script() -> Script[None]:
            yield from one(Statement(FORGET, (self._now(),)))
            yield from one(Statement(ADD, row))

        await self._database.run(script)

    async def read(self) -> list[Revocation]:
        """Return all that have not ended."""
        return [_revocation_of(*row) for row in await self._database.read(STANDING, self._now())]


class LastingRevocations:
    """`RevocationStore` in two stores: what is added is in both, and the fast copy is filled from SQL."""

    def __init__(self, lasting: SqlRevocations, copy: RevocationStore) -> None:
        self._lasting = lasting
        self._copy = copy

    async def version(self) -> int:
        """See `RevocationStore.version`."""
        return await self._copy.version()

    async def read(self) -> list[Revocation]:
        """See `RevocationStore.read`."""
        return await self._copy.read()

    async def add(self, revocation: Revocation) -> None:
        """See `RevocationStore.add`. One that only one of the stores took is in force there, and the error says so."""
        both = self._lasting.add(revocation), self._copy.add(revocation)
        for outcome in await asyncio.gather(*both, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def refill(self) -> None:
        """Give the copy what it lacks: it may have lost its data while nobody ran. Raises as the stores do."""
        held = {one.name: one.revoked_s for one in await self._copy.read()}
        # The copy keeps whole milliseconds.
        missing = [one for one in await self._lasting.read() if held.get(one.name, 0.0) < one.revoked_s - 1e-3]
        for revocation in missing:
            await self._copy.add(revocation)
        if missing:
            log.warning("revocations_refilled", count=len(missing))


def _revocation_of(
    revoked_s: float, until_s: float, by: str, reason: str, token_id: str | None, role: str | None, subject: str | None
) -> Revocation:
    principal = Principal(Role(role), subject) if role is not None and subject is not None else None
    return Revocation(token_id, principal, revoked_s, until_s, by, reason)
