"""Demand and which messages were counted, in Redis or Valkey; one call counts a batch as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from redis.asyncio import Redis

from backing.left_out import LeftOut
from backing.redis.functions import LuaLibrary, RedisFunctions
from geo.cells import cells_to_strings
from kernel.contracts import redis_keys
from pricing.commands import Restore
from pricing.ports import KeyedSignal
from pricing.rules.surge import decay_factor

# City time. A ride without an event for two days is over, and nothing is redelivered after so long.
RIDES_SEEN_LIFE_S = 2 * 86400.0
# A quote delivered so late again would hardly count any more.
QUOTES_SEEN_LIFE_S = 3600.0


class RedisSignals:
    """Meets the port `CountedSignals` for one region."""

    def __init__(self, redis: Redis, region_id: str, surge_cells: npt.NDArray[np.uint64], half_life_s: float) -> None:
        """Demand halves in ``half_life_s``; ``surge_cells`` (c,) are the region's, in the order of cell indices."""
        self._functions = RedisFunctions(redis, LuaLibrary.read("pricing.adapters", "signals.lua"))
        self._region_id = region_id
        self._cell_names = cells_to_strings(surge_cells)
        self._half_life_s = half_life_s
        self._left_out = LeftOut("demand")

    async def count_rides(self, events: Sequence[KeyedSignal]) -> list[int]:
        """See `CountedSignals.count_rides`. Safe to repeat."""
        counted = redis_keys.rides_counted, redis_keys.rides_counted_at, redis_keys.requests
        return await self._take(counted, redis_keys.RIDE_EVENTS_CONSUMED, RIDES_SEEN_LIFE_S, events)

    async def count_quotes(self, events: Sequence[KeyedSignal]) -> list[int]:
        """See `CountedSignals.count_quotes`. Safe to repeat."""
        counted = redis_keys.quotes_counted, redis_keys.quotes_counted_at, redis_keys.quotes
        return await self._take(counted, redis_keys.QUOTES_CONSUMED, QUOTES_SEEN_LIFE_S, events)

    async def read(self, now_s: float) -> Restore:
        """See `CountedSignals.read`; cells that are no longer priced are left out."""
        keys = redis_keys.requests(self._region_id), redis_keys.quotes(self._region_id)
        requests, quotes = (
            dict(zip(flat[::2], flat[1::2], strict=True))
            for flat in await self._functions.call("hexhail_signals_read", keys, ())
        )
        return Restore(self._counts(requests, now_s), self._counts(quotes, now_s), now_s)

    async def _take(
        self, counted: Sequence[Callable[[str], str]], total: str, life_s: float, events: Sequence[KeyedSignal]
    ) -> list[int]:
        keys = [key(self._region_id) for key in (redis_keys.totals, *counted)]
        arguments: list[str | int | bytes] = [total, round(life_s * 1e3), round(self._half_life_s * 1e3)]
        for event in events:
            cell = "" if event.signal is None else self._cell_names[event.signal.cell_index]
            arguments += (event.ident, event.sequence, round(event.at_s * 1e3), cell, event.wish)
        return [int(place) for place in await self._functions.call("hexhail_signals_take", keys, arguments)]

    def _counts(self, held: Mapping[bytes, bytes], now_s: float) -> npt.NDArray[np.float64]:
        counts = np.zeros(len(self._cell_names))
        left_out = dict[str, str]()
        index_of = {name.encode(): index for index, name in enumerate(self._cell_names)}
        for name, value in held.items():
            count, _, counted_ms = value.partition(b"|")
            if name in index_of:
                try:
                    age_s = now_s - int(counted_ms) / 1e3
                    counts[index_of[name]] = float(count) * decay_factor(age_s, self._half_life_s)
                except ValueError:  # no count: it begins anew, and the others go on
                    left_out[name.decode()] = f"{value!r} is no count"
        self._left_out.tell(self._region_id, left_out)
        return counts
