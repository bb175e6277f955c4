"""Leases in Redis; one atomic function holds driver and ride together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis

from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys

#: Wall time after which the server clears a lease away that nobody released; far above any lease's own end.
CLEAR_AFTER_MS = 600_000


class RedisLeases:
    """`Leases` of one region."""

    def __init__(self, redis: Redis, region_id: str, newest_token: Callable[[], Awaitable[int]]) -> None:
        self._functions = RedisFunctions(redis, LuaLibrary.read("dispatch.adapters", "leases.lua"))
        self._region = region_id
        self._newest_token = newest_token

    async def take(self, pairs: Sequence[tuple[str, str]], now_s: float, ttl_s: float) -> list[int | None]:
        """See `Leases.take`."""
        keys = [redis_keys.fence(self._region)]
        for driver_id, ride_id in pairs:
            keys += self._keys(driver_id, ride_id)
        times: list[str | int | bytes] = [round(now_s * 1e3), round((now_s + ttl_s) * 1e3), CLEAR_AFTER_MS]
        tokens = await self._functions.call("hexhail_lease_take", keys, times)
        if tokens is None:  # Redis has lost the fence: SQL knows how far it was
            await self.restore(await self._newest_token())
            tokens = await self._functions.call("hexhail_lease_take", keys, times)
        return [token or None for token in tokens]

    async def release(self, driver_id: str, ride_id: str, token: int) -> None:
        """See `Leases.release`."""
        await self._functions.call("hexhail_lease_release", self._keys(driver_id, ride_id), [token])

    async def restore(self, newest_token: int) -> None:
        """See `Leases.restore`."""
        await self._functions.call("hexhail_lease_restore", [redis_keys.fence(self._region)], [newest_token])

    def _keys(self, driver_id: str, ride_id: str) -> list[str]:
        return [redis_keys.driver_lease(self._region, driver_id), redis_keys.ride_lease(self._region, ride_id)]
