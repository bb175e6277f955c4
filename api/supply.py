"""A short-lived cache of drivers: one read of cells and SQL serves all requests within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dispatch.model import DispatchParams, SupplySnapshot
from dispatch.ports import FreeDriver, Positions
from dispatch.service.supply import free_supply
from geo.arrays import FloatArray
from geo.nearest import PointsByCell
from geo.roads.graph import RoadGraph

#: Wall seconds. A quote's pickup time is a guess about the next minutes: a second more or less does not change it.
AGE_S_MAX = 1.0
#: Of the cells in which the nearest drivers are searched; it changes the speed alone. Hexagons of 0.7 km²: some drivers
#: in each where a city is busy.
SEARCH_RESOLUTION = 8


@dataclass(frozen=True)  # no slots: what is computed once is kept in the instance's dictionary
class RecentDrivers:
    """Where drivers are, and which of them are free."""

    positions: Positions
    #: Drivers on shift without a live ride or offer.
    free: Mapping[str, FreeDriver]
    #: The idle drivers, on their road nodes.
    supply: SupplySnapshot
    #: When it was read, on the process's monotonic clock.
    read_at_s: float

    @cached_property
    def idle_deg(self) -> tuple[FloatArray, FloatArray]:
        """Where the idle drivers are, in the order of `supply`: lat_deg (n,), lng_deg (n,)."""
        idle = set(self.supply.driver_id)
        row = np.flatnonzero([driver_id in idle for driver_id in self.positions.driver_id])
        return self.positions.lat_deg[row], self.positions.lng_deg[row]

    @cached_property
    def idle_points(self) -> PointsByCell:
        """The same, ready to be searched for the nearest."""
        return PointsByCell.of(*self.idle_deg, SEARCH_RESOLUTION)


class RecentSupply:
    """Refreshes the snapshot when it is too old; concurrent callers share one refresh."""

    def __init__(
        self,
        positions: Callable[[], Awaitable[Positions]],
        free_drivers: Callable[[], Awaitable[dict[str, FreeDriver]]],
        graph: RoadGraph,
        params: DispatchParams,
        now: Callable[[], float],
    ) -> None:
        self._positions = positions
        self._free_drivers = free_drivers
        self._graph = graph
        self._params = params
        self._now = now
        self._reading = asyncio.Lock()
        self._recent: RecentDrivers | None = None

    async def drivers(self, age_s_max: float = AGE_S_MAX) -> RecentDrivers:
        """The drivers as they were at most so long ago. Raises what the stores raise."""
        async with self._reading:
            if self._recent is None or time.monotonic() - self._recent.read_at_s > age_s_max:
                self._recent = await self._read()
            return self._recent

    async def _read(self) -> RecentDrivers:
        read_at_s = time.monotonic()
        positions, free = await asyncio.gather(self._positions(), self._free_drivers())
        # In a thread: thousands of drivers take milliseconds.
        supply = await asyncio.to_thread(free_supply, positions, free, self._graph, self._params, self._now())
        return RecentDrivers(positions, free, supply, read_at_s)
