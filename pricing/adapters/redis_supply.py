"""The drivers of a region, from the cells that ingestion keeps in Redis or Valkey."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
from redis.asyncio import Redis

from geo.cells import cells_to_strings
from geo.city import City
from geo.positions import unpack
from kernel.contracts import redis_keys
from pricing.model.advice import IdleDrivers
from pricing.model.surge import SupplySnapshot
from pricing.rules.cells import cell_indices


class RedisSupply:
    """Meets the port `Supply` for one city.

    Drivers are binned by their coordinates, not by the parent of the cell that holds them: H3 cells do not lie
    wholly inside their parents. One outside every surge cell is fresh, but nowhere supply.
    """

    def __init__(self, redis: Redis, city: City, *, stale_after_s: float) -> None:
        """Positions older than ``stale_after_s`` of city time say nothing; raises ValueError if it is not positive."""
        if not stale_after_s > 0:
            raise ValueError(f"stale_after_s must be a positive number of seconds, not {stale_after_s}")
        self._redis: Any = redis
        self._surge_cells = city.surge_cells
        self._surge_resolution = city.region.surge_resolution
        self._cell_keys = [redis_keys.cell(city.region.region_id, name) for name in cells_to_strings(city.search_cells)]
        self._stale_after_s = stale_after_s

    async def snapshot(self, busy_drivers: Collection[str], now_s: float) -> SupplySnapshot:
        """Read all cells in one round trip.

        Raises ValueError if a position was written by another version.
        """
        idle, fresh_drivers = await self._idle(busy_drivers, now_s)
        index: npt.NDArray[np.int64] = cell_indices(
            self._surge_cells, self._surge_resolution, idle.lat_deg, idle.lng_deg
        )
        idle_per_cell = np.bincount(index[index >= 0], minlength=len(self._surge_cells))
        return SupplySnapshot(idle_per_cell, fresh_drivers)

    async def idle_drivers(self, busy_drivers: Collection[str], now_s: float) -> IdleDrivers:
        """Read all cells in one round trip; raises as `snapshot` does."""
        idle, _ = await self._idle(busy_drivers, now_s)
        order = sorted(range(len(idle.driver_id)), key=idle.driver_id.__getitem__)
        return IdleDrivers(tuple(idle.driver_id[at] for at in order), idle.lat_deg[order], idle.lng_deg[order])

    async def _idle(self, busy_drivers: Collection[str], now_s: float) -> tuple[IdleDrivers, int]:
        """The idle drivers in no order, and how many drivers have a fresh position."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in self._cell_keys:
            pipeline.hgetall(key)
        drivers: dict[bytes, bytes] = {}
        for held in await pipeline.execute():
            drivers.update(held)
        names, positions = [name.decode() for name in drivers], unpack(list(drivers.values()))
        is_fresh = positions["t_ms"] >= (now_s - self._stale_after_s) * 1e3
        is_busy = np.fromiter((name in busy_drivers for name in names), dtype=bool, count=len(names))
        at = np.flatnonzero(is_fresh & ~is_busy)
        lat_deg, lng_deg = positions["lat_e7"][at] / 1e7, positions["lng_e7"][at] / 1e7
        return IdleDrivers(tuple(names[row] for row in at), lat_deg, lng_deg), int(is_fresh.sum())
