"""Advice to idle drivers, in Redis or Valkey: written by the pricer, read by the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys
from pricing.model.advice import DriverAdvice

_decode = msgspec.json.Decoder(DriverAdvice).decode


class RedisAdvice:
    """Meets the port `AdviceBoard` for one region, and reads for the API."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis: Any = redis
        self._functions = RedisFunctions(redis, LuaLibrary.read("pricing.adapters", "advice.lua"))
        self._key = redis_keys.advice(region_id)
        self._planned_key = redis_keys.advice_planned(region_id)

    async def read(self) -> dict[str, DriverAdvice]:
        """Return all of it, expired advice too."""
        return {name.decode(): _decode(value) for name, value in (await self._redis.hgetall(self._key)).items()}

    async def find(self, driver_ids: Iterable[str]) -> dict[str, DriverAdvice]:
        """Return the advice of those of these drivers who have any."""
        wanted = list(driver_ids)
        if not wanted:
            return {}
        found = await self._redis.hmget(self._key, wanted)
        return {name: _decode(value) for name, value in zip(wanted, found, strict=True) if value is not None}

    async def planned_ms(self) -> int | None:
        """Return when the last plan was made, city time in milliseconds; None if there was none."""
        value = await self._redis.get(self._planned_key)
        return None if value is None else int(value)

    async def replace(self, advice: Mapping[str, DriverAdvice], planned_s: float) -> None:
        """Put this advice in the place of all that stood; a reader sees one plan or the other."""
        arguments: list[str | int | bytes] = [round(planned_s * 1e3)]
        for driver_id, one in advice.items():
            arguments += (driver_id, msgspec.json.encode(one))
        await self._functions.call("hexhail_advice_replace", (self._key, self._planned_key), arguments)
