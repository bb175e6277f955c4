"""The drivers of a region, from the cells that ingestion keeps in Redis or Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
from pricing.ports import AnsweredOffers, FreeDrivers
from pricing.rules.cells import cell_indices
from pricing.rules.driver_weights import supply_weights


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
        """Read all cells in one round trip, and who is free; drivers who never take a ride count less.

        Raises what `free_drivers` raises. A position that cannot be read is left out and named in the log.
        """
        idle, fresh, free = await self._read(now_s)
        index = cell_indices(self._surge_cells, self._surge_resolution, idle.lat_deg, idle.lng_deg)
        answers = [(free[name].offers_accepted, free[name].offers_answered) for name in idle.driver_id]
        accepted, answered = np.array(answers, np.float64).reshape(-1, 2).T
        weight = supply_weights(accepted, answered)[index >= 0]
        idle_per_cell = np.bincount(index[index >= 0], weight, minlength=len(self._surge_cells)).astype(np.float64)
        return SupplySnapshot(idle_per_cell, int(np.count_nonzero(fresh)))

    async def idle_drivers(self, now_s: float) -> IdleDrivers:
        """Read as `snapshot` does, and raise as it does."""
        idle, _, _ = await self._read(now_s)
        return idle

    async def _read(self, now_s: float) -> tuple[IdleDrivers, BoolArray, Mapping[str, AnsweredOffers]]:
        """The idle drivers, whether each driver with a position is fresh, and all who are free."""
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
        return IdleDrivers(tuple(driver_id[row] for row in at), lat_deg, lng_deg), fresh, free
