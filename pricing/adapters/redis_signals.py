"""Demand, busy drivers and the memory of what was counted, in Redis or Valkey: one call takes a batch in as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from geo.cells import cells_to_strings
from pricing.adapters import keys
from pricing.commands import CountQuote, CountRequest, MarkDriverBusy, MarkDriverFree, Restore
from pricing.ports import Heard
from pricing.rules.surge import decay_factor

LIBRARY = Path(__file__).with_name("signals.lua")
TAKE = "hexhail_signals_take"
# A ride without an event for two days of city time is over, and nothing is redelivered after so long.
RIDES_SEEN_LIFE_S = 2 * 86400.0
# A quote delivered so late again would hardly count any more.
QUOTES_SEEN_LIFE_S = 3600.0


class RedisSignals:
    """Meets the port `CountedSignals` for one region."""

    def __init__(self, redis: Redis, region_id: str, surge_cells: npt.NDArray[np.uint64], half_life_s: float) -> None:
        """Demand halves in ``half_life_s``; ``surge_cells`` (c,) are the region's, in the order of cell indices."""
        self._redis: Any = redis
        self._region_id = region_id
        self._cell_names = cells_to_strings(surge_cells)
        self._half_life_s = half_life_s

    async def count_rides(self, events: Sequence[Heard]) -> list[int]:
        """See `CountedSignals.count_rides`. Safe to repeat."""
        wanted = (keys.totals, keys.seen, keys.seen_at, keys.requests, keys.busy)
        return await self._take([key(self._region_id) for key in wanted], "ride_events", RIDES_SEEN_LIFE_S, events)

    async def count_quotes(self, events: Sequence[Heard]) -> list[int]:
        """See `CountedSignals.count_quotes`. Safe to repeat."""
        wanted = (keys.totals, keys.quotes_seen, keys.quotes_seen_at, keys.quotes, keys.busy)
        return await self._take([key(self._region_id) for key in wanted], "quotes", QUOTES_SEEN_LIFE_S, events)

    async def read(self, now_s: float) -> Restore:
        """See `CountedSignals.read`; cells that are no longer priced are left out."""
        pipeline = self._redis.pipeline(transaction=True)
        for key in (keys.requests, keys.quotes, keys.busy):
            pipeline.hgetall(key(self._region_id))
        requests, quotes, busy = await pipeline.execute()
        return Restore(self._counts(requests, now_s), self._counts(quotes, now_s), now_s, _busy(busy))

    async def _take(self, names: list[str], total: str, life_s: float, events: Sequence[Heard]) -> list[int]:
        arguments: list[str | int] = [f"{total}_consumed", round(life_s * 1e3), round(self._half_life_s * 1e3)]
        for event in events:
            arguments += (event.ident, event.sequence, round(event.at_s * 1e3), *self._described(event))
        return [int(place) for place in await self._call(names, arguments)]

    def _described(self, event: Heard) -> tuple[str, str]:
        match event.signal:
            case CountRequest(cell_index=index) | CountQuote(cell_index=index):
                return "count", self._cell_names[index]
            case MarkDriverBusy(driver_id=driver_id):
                return "busy", driver_id
            case MarkDriverFree():
                return "free", ""
        return "none", ""

    def _counts(self, held: Mapping[bytes, bytes], now_s: float) -> npt.NDArray[np.float64]:
        counts = np.zeros(len(self._cell_names))
        index_of = {name.encode(): index for index, name in enumerate(self._cell_names)}
        for name, value in held.items():
            count, _, counted_ms = value.partition(b"|")
            if name in index_of:
                age_s = now_s - int(counted_ms) / 1e3
                counts[index_of[name]] = float(count) * decay_factor(age_s, self._half_life_s)
        return counts

    async def _call(self, names: list[str], arguments: list[str | int]) -> Any:
        """Call the function, which is loaded first where the server does not know it (any more)."""
        try:
            return await self._redis.fcall(TAKE, len(names), *names, *arguments)
        except ResponseError as error:
            if "function not found" not in str(error).lower():
                raise
        await self._redis.function_load(LIBRARY.read_text(encoding="utf-8"), replace=True)
        return await self._redis.fcall(TAKE, len(names), *names, *arguments)


def _busy(held: Mapping[bytes, bytes]) -> dict[str, tuple[str, float]]:
    """Rides -> (driver, since when), of `<since_ms>|<driver_id>`."""
    busy = {}
    for ride_id, value in held.items():
        since_ms, _, driver_id = value.decode().partition("|")
        busy[ride_id.decode()] = (driver_id, int(since_ms) / 1e3)
    return busy
