"""Surge multipliers and the count of consumed events, in Redis or Valkey."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pricing.adapters import keys
from pricing.model import BASE_MULTIPLIER, SurgeParams, SurgePrice
from pricing.ports import ConsumedEvent
from pricing.rules.surge import aged_multiplier

LIBRARY = Path(__file__).with_name("prices.lua")
COUNT_CONSUMED = "hexhail_prices_count_consumed"
# A ride without an event for two days of city time is over, and nothing is redelivered after so long.
SEEN_LIFE_S = 2 * 86400.0


class RedisPrices:
    """Meets the ports `SurgePrices` and `ConsumedEvents` for one region."""

    def __init__(self, redis: Redis, region_id: str, params: SurgeParams) -> None:
        self._redis: Any = redis
        self._region_id = region_id
        self._params = params

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        """Return the multiplier of a cell as it counts at ``now_s``."""
        return (await self.read_many([cell], now_s))[0]

    async def read_many(self, cells: Iterable[int], now_s: float) -> list[SurgePrice]:
        """Return the multipliers of the cells, in their order, as they count at ``now_s``."""
        wanted = list(cells)
        if not wanted:
            return []
        stored = await self._redis.hmget(keys.surge(self._region_id), [format(cell, "x") for cell in wanted])
        return [self._price(cell, value, now_s) for cell, value in zip(wanted, stored, strict=True)]

    async def write(self, multiplier_of: Mapping[int, float], now_s: float) -> None:
        """Set or renew the multipliers of these cells in one command."""
        updated_ms = round(now_s * 1e3)
        mapping = {format(cell, "x"): f"{multiplier!r}|{updated_ms}" for cell, multiplier in multiplier_of.items()}
        await self._redis.hset(keys.surge(self._region_id), mapping=mapping)

    async def count(self, events: Sequence[ConsumedEvent]) -> int:
        """Count each (ride_id, sequence) once; return how many of these were new. Safe to repeat."""
        arguments: list[str | int] = [round(SEEN_LIFE_S * 1e3)]
        for event in events:
            arguments += (event.ride_id, event.sequence, round(event.at_s * 1e3))
        names = [key(self._region_id) for key in (keys.totals, keys.seen, keys.seen_at)]
        return int(await self._call(COUNT_CONSUMED, names, arguments))

    async def _call(self, function: str, names: list[str], arguments: list[str | int]) -> Any:
        """Call a function of the library, which is loaded first where the server does not know it (any more)."""
        try:
            return await self._redis.fcall(function, len(names), *names, *arguments)
        except ResponseError as error:
            if "function not found" not in str(error).lower():
                raise
        await self.load()
        return await self._redis.fcall(function, len(names), *names, *arguments)

    async def load(self) -> None:
        """Load this version of the function library, in place of any other."""
        await self._redis.function_load(LIBRARY.read_text(encoding="utf-8"), replace=True)

    def _price(self, cell: int, value: bytes | str | None, now_s: float) -> SurgePrice:
        if value is None:
            return SurgePrice(cell, BASE_MULTIPLIER, None)
        multiplier, _, updated_ms = (value.decode() if isinstance(value, bytes) else value).partition("|")
        updated_s = int(updated_ms) / 1e3
        return SurgePrice(cell, aged_multiplier(float(multiplier), now_s - updated_s, self._params), updated_s)
