"""Revocations in Redis: a hash that all API processes share, each entry with its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis

from api.auth.revocations import Revocation
from api.auth.tokens import Principal, Role
from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys

log = structlog.get_logger(__name__)

_KEYS = (redis_keys.REVOKED, redis_keys.REVOKED_UNTIL, redis_keys.REVOKED_VERSION)


class _Entry(msgspec.Struct):
    """A revocation as JSON."""

    revoked_ms: int
    until_ms: int
    by: str
    reason: str
    token_id: str | None = None
    role: str | None = None
    subject: str | None = None


class RedisRevocations:
    """`RevocationStore` in Redis."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.time) -> None:
        """``now`` gives wall seconds since 1970."""
        self._redis = redis
        self._functions = RedisFunctions(redis, LuaLibrary.read("api.auth", "revocations.lua"))
        self._now = now

    async def version(self) -> int:
        """See `RevocationStore.version`."""
        return int(await self._redis.get(redis_keys.REVOKED_VERSION) or 0)

    async def read(self) -> list[Revocation]:
        """See `RevocationStore.read`."""
        held: Any = await self._redis.hgetall(redis_keys.REVOKED)
        found = (_revocation_of(name, value) for name, value in held.items())
        return [one for one in found if one is not None and one.until_s > self._now()]

    async def add(self, revocation: Revocation) -> None:
        """See `RevocationStore.add`."""
        entry = _entry_of(revocation)
        arguments: list[Any] = [revocation.name, entry.revoked_ms, entry.until_ms, msgspec.json.encode(entry)]
        await self._functions.call("hexhail_revoke", _KEYS, [*arguments, round(self._now() * 1e3)])

    async def refill(self) -> None:
        """Nothing: what Redis has lost is kept elsewhere, see `LastingRevocations`."""


def _entry_of(revocation: Revocation) -> _Entry:
    principal = revocation.principal
    return _Entry(
        revoked_ms=round(revocation.revoked_s * 1e3),
        until_ms=round(revocation.until_s * 1e3),
        by=revocation.by,
        reason=revocation.reason,
        token_id=revocation.token_id,
        role=principal.role.value if principal else None,
        subject=principal.id if principal else None,
    )


def _revocation_of(name: bytes, value: bytes) -> Revocation | None:
    """The revocation of an entry; None for one that is not understood, which refuses nobody."""
    try:
        entry = msgspec.json.decode(value, type=_Entry)
        principal = None
        if entry.role is not None and entry.subject is not None:
            principal = Principal(Role(entry.role), entry.subject)
        return Revocation(
            entry.token_id, principal, entry.revoked_ms / 1e3, entry.until_ms / 1e3, entry.by, entry.reason
        )
    except (msgspec.DecodeError, ValueError) as error:
        log.error("revocation_not_understood", name=name, error=repr(error))  # noqa: TRY400 - one line says it
        return None
