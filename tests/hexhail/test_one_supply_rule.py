"""Rounds, quotes, surge, advice, the operators' picture and the simulator find the same drivers of a fleet idle."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from api.streams.live import duties_of
from api.supply import RecentSupply
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.matching.optimal import OptimalPolicy
from dispatch.service.rides import RideService
from dispatch.service.supply import supply_snapshot
from geo.cells import cells_to_strings, latlng_to_cells
from geo.city import City
from geo.positions import pack
from hexhail.runtime.database import open_database
from kernel.contracts import redis_keys
from kernel.supply import DriverState, driver_states, is_fresh
from pricing.adapters.redis_supply import RedisSupply as PricingSupply
from simulator.day import Day
from simulator.day_params import DayParams
from simulator.people.fleet import Fleet
from tests.dispatch.people import (
    PARAMS,
    Clock,
    MemoryLeases,
    accept,
    arrive,
    do,
    off_shift,
    offer,
    on_shift,
    pick_up,
    request,
)
from tests.simulator.towns import crowded, small_town

TOWN = small_town()
LIMIT_S = PARAMS.stale_after_s
AGES_S = (0.0, LIMIT_S - 0.001, LIMIT_S, LIMIT_S + 0.001, 3 * LIMIT_S)
#: What each duty is shown as while the position is fresh.
SHOWN_AS = {
    "off shift": DriverState.OFFLINE,
    "free": DriverState.IDLE,
    "offered": DriverState.OFFERED,
    "to pickup": DriverState.TO_PICKUP,
    "at pickup": DriverState.AT_PICKUP,
    "on trip": DriverState.ON_TRIP,
    "on trip, offered": DriverState.ON_TRIP,
    "on trip, next ride": DriverState.ON_TRIP,
}
#: (duty, age of the newest position) of each driver.
fleets = st.lists(st.tuples(st.sampled_from(sorted(SHOWN_AS)), st.sampled_from(AGES_S)), min_size=1, max_size=10)

pytestmark = pytest.mark.servers


class Installation:
    """One region over real stores, in which drivers are given duties by the commands of the service."""

    def __init__(self, store: SqlRideStore, redis: Redis) -> None:
        inputs = crowded(TOWN)
        self.city = City(replace(inputs.city.region, region_id="manhattan"), TOWN, inputs.city.sections)
        self.store, self.redis, self.clock = store, redis, Clock()
        self.rides = RideService(store, MemoryLeases(), PARAMS, self.clock)
        self.positions = RedisSupply(redis, "manhattan", cells_to_strings(self.city.search_cells)).positions
        self._token = 0

    async def put(self, driver_id: str, duty: str, age_s: float) -> None:
        await on_shift(self.rides, driver_id)
        if duty == "off shift":
            await off_shift(self.rides, driver_id)
        if duty in ("offered", "to pickup", "at pickup") or duty.startswith("on trip"):
            await self._ride(f"{driver_id}.ride", driver_id, duty)
        if duty in ("on trip, offered", "on trip, next ride"):
            await self._ride(f"{driver_id}.next", driver_id, "offered" if "offered" in duty else "to pickup")
        where = TOWN.lat_deg[:1], TOWN.lng_deg[:1]
        [cell] = cells_to_strings(latlng_to_cells(*where, self.city.region.search_resolution))
        position = pack(np.array([self.clock() - age_s]), *where, np.array([np.nan]), np.array([90.0]))
        await self.redis.hset(redis_keys.cell("manhattan", cell), driver_id, position.tobytes())

    async def _ride(self, ride_id: str, driver_id: str, until: str) -> None:
        """Take a ride as far as the driver's duty says."""
        self._token += 1
        steps = [request(ride_id, ride_id), offer(ride_id, driver_id, self._token)]
        if until != "offered":
            steps.append(accept(f"{ride_id}-{self._token}", driver_id))
        if until == "at pickup" or until.startswith("on trip"):
            steps.append(arrive(ride_id, driver_id))
        if until.startswith("on trip"):
            steps.append(pick_up(ride_id, driver_id))
        await do(self.rides, *steps)

    async def states(self) -> dict[str, DriverState]:
        """As the operators' picture shows them."""
        positions, free = await self.positions(), await self.store.free_drivers()
        open_rides = await self.store.open_rides("manhattan")
        live_rides = await self.store.live_rides("manhattan")
        duties = duties_of(positions.driver_id, free, open_rides, live_rides)
        found = driver_states(duties, is_fresh(positions.t_s, self.clock(), LIMIT_S))
        return dict(zip(positions.driver_id, found, strict=True))

    async def idle(self) -> dict[str, set[str]]:
        """The idle drivers as each part of the product finds them."""
        positions, free, now_s = await self.positions(), await self.store.free_drivers(), self.clock()
        carrying = await self.store.carrying_drivers("manhattan")
        # While requests outnumber the idle nobody is asked before a dropoff.
        asked = supply_snapshot(positions, free, carrying, TOWN, PARAMS, now_s, n_waiting=1_000)
        recent = RecentSupply(self.positions, self.store.free_drivers, TOWN, PARAMS, self.clock)
        pricing = PricingSupply(self.redis, self.city, self.store.free_drivers, stale_after_s=LIMIT_S)
        states = await self.states()
        return {
            "rounds": set(asked.driver_id),
            "quotes": set((await recent.drivers()).supply.driver_id),
            "surge and advice": set((await pricing.idle_drivers(now_s)).driver_id),
            "picture": {driver_id for driver_id, state in states.items() if state is DriverState.IDLE},
        }


def simulated(duties: list[tuple[str, float]], now_s: float) -> Fleet:
    """The same fleet in the simulator, whose phones lost the connection so long ago as their positions are old."""
    inputs = crowded(TOWN, drivers=len(duties))
    fleet = Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(TOWN), DayParams(is_surge_on=False)).fleet
    for row, (duty, age_s) in enumerate(duties):
        fleet._is_online[row] = duty != "off shift"
        fleet._is_carrying[row] = duty.startswith("on trip")
        fleet._is_bound[row] = duty not in ("off shift", "free", "on trip")
        if age_s:
            fleet._dark_until_s[row], fleet._last_ping_s[row] = np.inf, now_s - age_s
    return fleet


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fleet=fleets)
async def test_every_part_finds_the_same_drivers_idle(
    empty_redis: Redis, tmp_path: Path, fleet: list[tuple[str, float]]
) -> None:
    await empty_redis.flushall()
    async with await open_database(f"sqlite:///{tmp_path / uuid.uuid4().hex}.db") as database:
        installation = Installation(SqlRideStore(database), empty_redis)
        names = [f"driver{number}" for number in range(len(fleet))]
        for name, (duty, age_s) in zip(names, fleet, strict=True):
            await installation.put(name, duty, age_s)

        fresh = {name for name, (_, age_s) in zip(names, fleet, strict=True) if age_s <= LIMIT_S}
        shown = {
            name: SHOWN_AS[duty] if name in fresh or duty == "off shift" else DriverState.STALE
            for name, (duty, _) in zip(names, fleet, strict=True)
        }
        assert await installation.states() == shown

        idle = {name for name, state in shown.items() if state is DriverState.IDLE}
        assert await installation.idle() == dict.fromkeys(("rounds", "quotes", "surge and advice", "picture"), idle)

        now_s = installation.clock()
        twins = simulated(fleet, now_s)
        assert [twins.driver_id.index(name) for name in twins.supply(now_s, 1_000).driver_id] == [
            row for row, name in enumerate(names) if name in idle
        ]
        assert len(twins.idle_places(now_s)[0]) == len(twins.idle_nodes(now_s)) == len(idle)
