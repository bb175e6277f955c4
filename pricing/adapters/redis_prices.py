"""Surge multipliers, in Redis or Valkey."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from backing.left_out import LeftOut
from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys
from pricing.errors import PricerSuperseded
from pricing.model.surge import BASE_MULTIPLIER, SurgeParams, SurgePrice
from pricing.rules.surge import aged_multiplier

#: A field beside the cells, so that prices and the freeze are read in one command.
FROZEN = "frozen"


class RedisPrices:
    """Meets the port `SurgePrices` for one region."""

    def __init__(self, redis: Redis, region_id: str, params: SurgeParams) -> None:
        self._redis: Any = redis
        self._functions = RedisFunctions(redis, LuaLibrary.read("pricing.adapters", "prices.lua"))
        self._region_id = region_id
        self._params = params
        self._left_out = LeftOut("price")

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        """Return the multiplier of a cell as it counts at ``now_s``."""
        return (await self.read_many([cell], now_s))[0]

    async def read_many(self, cells: Iterable[int], now_s: float) -> list[SurgePrice]:
        """Return the multipliers of the cells, in their order, as they count at ``now_s``."""
        wanted = list(cells)
        if not wanted:
            return []
        fields = [FROZEN, *(format(cell, "x") for cell in wanted)]
        frozen, *stored = await self._redis.hmget(redis_keys.surge(self._region_id), fields)
        if frozen is not None:
            stored = [None] * len(wanted)
        return [self._price(cell, value, now_s) for cell, value in zip(wanted, stored, strict=True)]

    async def write(self, multiplier_of: Mapping[int, float], now_s: float, epoch: int) -> None:
        """Set or renew the multipliers of these cells in one call. Raises PricerSuperseded."""
        updated_ms, arguments = round(now_s * 1e3), list[str | int]()
        for cell, multiplier in multiplier_of.items():
            arguments += (format(cell, "x"), f"{multiplier!r}|{updated_ms}")
        await self._call("hexhail_prices_put", epoch, *arguments)

    async def _call(self, function: str, epoch: int, *arguments: str | int) -> None:
        if not await self._functions.call(function, (redis_keys.surge(self._region_id),), (epoch, *arguments)):
            raise PricerSuperseded(self._region_id, epoch)

    async def set_frozen(self, *, is_frozen: bool, epoch: int | None = None) -> None:
        """Have every cell read as 1.0 from now on; or no longer. Raises PricerSuperseded."""
        if epoch is not None:
            await self._call("hexhail_prices_freeze", epoch, int(is_frozen))
        elif is_frozen:
            await self._redis.hset(redis_keys.surge(self._region_id), FROZEN, "1")
        else:
            await self._redis.hdel(redis_keys.surge(self._region_id), FROZEN)

    def _price(self, cell: int, value: bytes | str | None, now_s: float) -> SurgePrice:
        if value is None:
            return SurgePrice(cell, BASE_MULTIPLIER, None)
        written, _, updated_ms = (value.decode(errors="replace") if isinstance(value, bytes) else value).partition("|")
        try:
            multiplier, updated_s = float(written), int(updated_ms) / 1e3
        except ValueError:
            multiplier, updated_s = math.nan, math.nan
        if not math.isfinite(multiplier):  # the base price there, and the others as they are
            self._left_out.tell(self._region_id, {format(cell, "x"): f"{value!r} is no price"})
            return SurgePrice(cell, BASE_MULTIPLIER, None)
        return SurgePrice(cell, aged_multiplier(multiplier, now_s - updated_s, self._params), updated_s)
