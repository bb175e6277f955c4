"""The drivers of a region, from the cells that ingestion keeps in Redis or Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from redis.asyncio import Redis

from backing.left_out import LeftOut
from geo.cells import cells_to_strings
from geo.city import City
from geo.positions import newest_positions
from kernel.contracts import redis_keys
from kernel.supply import BoolArray, is_fresh, is_idle
from pricing.model.advice import IdleDrivers
from pricing.model.surge import SupplySnapshot
from pricing.ports import FreeDrivers
from pricing.rules.cells import cell_indices


class RedisSupply:
    """Meets the port `Supply` for one city.

    Drivers are binned by their coordinates, not by the parent of the cell that holds them: H3 cells do not lie
    wholly inside their parents. A driver outside every surge cell is fresh, but supply of none.
    """

    def __init__(self, redis: Redis, city: City, free_drivers: FreeDrivers, *, stale_after_s: float) -> None:
        """Positions older than ``stale_after_s`` of city time do not count. Raises ValueError if it is not positive."""
        if not stale_after_s > 0:
            raise ValueError(f"stale_after_s must be a positive number of seconds, not {stale_after_s}")
        self._redis: Any = redis
        self._region = city.region.region_id
        self._left_out = LeftOut("driver")
        self._free_drivers = free_drivers
        self._surge_cells = city.surge_cells
        self._surge_resolution = city.region.surge_resolution
        self._cell_keys = [redis_keys.cell(city.region.region_id, name) for name in cells_to_strings(city.search_cells)]
        self._stale_after_s = stale_after_s

    async def snapshot(self, now_s: float) -> SupplySnapshot:
        """Read all cells in one round trip, and who is free.

        Raises what `free_drivers` raises. A position that cannot be read is left out and named in the log.
        """
        idle, fresh = await self._read(now_s)
        index = cell_indices(self._surge_cells, self._surge_resolution, idle.lat_deg, idle.lng_deg)
        idle_per_cell = np.bincount(index[index >= 0], minlength=len(self._surge_cells))
        return SupplySnapshot(idle_per_cell, int(np.count_nonzero(fresh)))

    async def idle_drivers(self, now_s: float) -> IdleDrivers:
        """Read as `snapshot` does, and raise as it does."""
        idle, _ = await self._read(now_s)
        return idle

    async def _read(self, now_s: float) -> tuple[IdleDrivers, BoolArray]:
        """The idle drivers, and whether each driver with a position is fresh."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in self._cell_keys:
            pipeline.hgetall(key)
        buckets, free = await asyncio.gather(pipeline.execute(), self._free_drivers())
        driver_id, positions, left_out = newest_positions([entry for bucket in buckets for entry in bucket.items()])
        self._left_out.tell(self._region, left_out)
        fresh = is_fresh(positions["t_ms"] / 1e3, now_s, self._stale_after_s)
        free_here = np.fromiter((name in free for name in driver_id), np.bool_, len(driver_id))
        at = np.flatnonzero(is_idle(free_here, fresh))
        lat_deg, lng_deg = positions["lat_e7"][at] / 1e7, positions["lng_e7"][at] / 1e7
        return IdleDrivers(tuple(driver_id[row] for row in at), lat_deg, lng_deg), fresh
