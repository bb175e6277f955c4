"""Writes drivers into their cells in Redis or Valkey, by one server-side function for each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from redis.asyncio import Redis

from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys
from location_ingest.columns import PositionColumns
from location_ingest.kernels import index_entries
from location_ingest.model import Reason

#: Drivers in one call that sweeps or removes: as many as in one that puts.
_CALL_DRIVERS_MAX = 1_000
#: Of `<cell>|<t_ms>`, as `index_entries` writes it.
_ENTRY_BYTES = 29
_pack = msgspec.msgpack.Encoder().encode


class RedisCells:
    """Cells on one Redis. The client must give bytes back, and bound its waits (`socket_timeout`, `retry`)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._functions = RedisFunctions(redis, LuaLibrary.read("location_ingest.adapters", "cells.lua"))

    async def put(self, region_id: str, positions: PositionColumns, rejected: Mapping[Reason, int]) -> int:
        """Store what is newer and count; returns how many were newer. Raises redis-py's errors, and what it leaks."""
        packed = positions.packed
        records = np.empty((len(positions), _ENTRY_BYTES + packed.itemsize), np.uint8)
        records[:, :_ENTRY_BYTES] = index_entries(positions.cell, packed["t_ms"])
        records[:, _ENTRY_BYTES:] = packed.view(np.uint8).reshape(len(positions), packed.itemsize)
        earlier = np.column_stack([positions.earlier_place, positions.earlier_t_ms]).ravel().tolist()
        prefix, driver_ids = redis_keys.cell_prefix(region_id), _pack(positions.driver_ids)
        arguments: list[str | int | bytes] = [prefix, driver_ids, records.tobytes(), _pack(earlier)]
        for reason, count in sorted(rejected.items()):
            arguments += (reason.value, count)
        keys = redis_keys.driver_index(region_id), redis_keys.totals(region_id)
        return int(await self._functions.call("hexhail_cells_put", keys, arguments))

    async def read(self, region_id: str, cells: Sequence[str]) -> dict[str, bytes]:
        """Return the packed position of every driver in the cells, by driver."""
        prefix = redis_keys.cell_prefix(region_id)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for cell in cells:
                pipeline.hgetall(prefix + cell)
            found = await pipeline.execute()
        return {driver_id.decode(): packed for drivers in found for driver_id, packed in drivers.items()}

    async def last_times_s(self, region_id: str, driver_ids: Sequence[str]) -> dict[str, float]:
        """Return the time of the stored position of those drivers that have one."""
        if not driver_ids:
            return {}
        entries: Any = await self._redis.execute_command("HMGET", redis_keys.driver_index(region_id), *driver_ids)  # type: ignore[no-untyped-call]
        return {
            driver_id: int(entry.rpartition(b"|")[2]) / 1e3
            for driver_id, entry in zip(driver_ids, entries, strict=True)
            if entry is not None
        }

    async def rejected(self, region_id: str) -> dict[str, int]:
        """Return how many pings were rejected for each reason, replays left out."""
        totals: dict[Any, Any] = await self._redis.hgetall(redis_keys.totals(region_id))
        counters = {name.decode(): int(count) for name, count in totals.items()}
        prefix = redis_keys.PINGS_REJECTED_PREFIX
        return {name.removeprefix(prefix): count for name, count in counters.items() if name.startswith(prefix)}

    async def remove(self, region_id: str, driver_ids: Sequence[str]) -> int:
        """Take the drivers out; returns how many were in. A ping that is still on its way brings one back."""
        prefix, keys, removed = redis_keys.cell_prefix(region_id), (redis_keys.driver_index(region_id),), 0
        for start in range(0, len(driver_ids), _CALL_DRIVERS_MAX):
            arguments = (prefix, _pack(list(driver_ids[start : start + _CALL_DRIVERS_MAX])))
            removed += int(await self._functions.call("hexhail_cells_remove", keys, arguments))
        return removed

    async def sweep(self, region_id: str, *, before_s: float, after_s: float) -> int:
        """Take out drivers older than `before_s` or newer than `after_s`, and tell of each; returns how many.

        In bounded calls: the store serves others in between.
        """
        bounds_ms = (round(before_s * 1e3), round(after_s * 1e3))
        keys = redis_keys.driver_index(region_id), redis_keys.stale_drivers(region_id)
        prefix, swept, cursor = redis_keys.cell_prefix(region_id), 0, b"0"
        while True:
            arguments = (prefix, *bounds_ms, cursor, _CALL_DRIVERS_MAX)
            cursor, taken = await self._functions.call("hexhail_cells_sweep", keys, arguments)
            swept += int(taken)
            if cursor == b"0":
                return swept
