"""Counts of riders' recent activity and abuse flags, in Redis."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys
from workflows.limits import Count, Counted, Flag, FlagKind

#: Flags that are kept, the newest ones.
FLAGS_KEPT = 1_000
#: Wall milliseconds for which the same flag is not raised again.
QUIET_MS = 300_000


class RedisPersonCounts:
    """`PersonCounts` of one region."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis: Any = redis
        self._functions = RedisFunctions(redis, LuaLibrary.read("api.abuse", "counts.lua"))
        self._region = region_id

    async def add(self, what: Counted, subject: str, thing: str, now_s: float, window_s: float, at_most: int) -> Count:
        """See `PersonCounts.add`."""
        key = redis_keys.counted(self._region, what, subject)
        arguments = (thing, round(now_s * 1e3), round(window_s * 1e3), at_most)
        is_added, count, room_ms = await self._functions.call("hexhail_counts_add", [key], arguments)
        return Count(int(count), int(room_ms) / 1e3, bool(is_added))

    async def read(
        self, what: Counted, subject: str, now_s: float, window_s: float, at_most: int, until_s: float | None = None
    ) -> Count:
        """See `PersonCounts.read`."""
        key = redis_keys.counted(self._region, what, subject)
        until_ms = round((now_s if until_s is None else until_s) * 1e3)
        arguments = (round(now_s * 1e3), round(window_s * 1e3), at_most, until_ms)
        count, room_ms = await self._functions.call("hexhail_counts_read", [key], arguments)
        return Count(int(count), int(room_ms) / 1e3)

    async def forget(self, what: Counted, subject: str, thing: str) -> None:
        """See `PersonCounts.forget`."""
        await self._redis.zrem(redis_keys.counted(self._region, what, subject), thing)

    async def flag(self, flag: Flag) -> None:
        """See `PersonCounts.flag`."""
        quiet = redis_keys.flag_quiet(self._region, flag.kind, flag.subject)
        if not await self._redis.set(quiet, b"", px=QUIET_MS, nx=True):
            return
        fields = {
            "kind": flag.kind,
            "subject": flag.subject,
            "at_ms": round(flag.at_s * 1e3),
            "count": flag.count,
            "window_ms": round(flag.window_s * 1e3),
        }
        await self._redis.xadd(redis_keys.flags(self._region), fields, maxlen=FLAGS_KEPT)


async def read_flags(redis: Redis, region_id: str, limit: int) -> list[Flag]:
    """The last flags, the newest first."""
    entries: Any = await redis.xrevrange(redis_keys.flags(region_id), count=limit)
    return [
        Flag(
            FlagKind(held[b"kind"].decode()),
            held[b"subject"].decode(),
            int(held[b"at_ms"]) / 1e3,
            int(held[b"count"]),
            int(held[b"window_ms"]) / 1e3,
        )
        for _, held in entries
        if held[b"kind"].decode() in set(FlagKind)  # of a newer version, while it is rolled out
    ]
