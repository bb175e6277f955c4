from __future__ import annotations

import numpy as np
import pytest
from redis.asyncio import Redis

from dispatch.ports import FreeDriver
from geo.cells import cells_to_strings, latlng_to_cells
from geo.city import City
from geo.positions import pack
from pricing.adapters.redis_supply import RedisSupply

pytestmark = pytest.mark.servers

NOW_S = 1_400_000_000.0


async def stand(
    client: Redis, city: City, driver_id: str, lat_deg: float, lng_deg: float, *, age_s: float = 0.0
) -> None:
    """Write a driver the way ingestion does."""
    [name] = cells_to_strings(latlng_to_cells(lat_deg, lng_deg, city.region.search_resolution))
    numbers = (np.array([value]) for value in (NOW_S - age_s, lat_deg, lng_deg, 0.0, 0.0))
    await client.hset(f"{{grid}}:cell:{name}", driver_id, pack(*numbers).tobytes())


def supply_of(client: Redis, city: City, *free: str, stale_after_s: float = 60.0) -> RedisSupply:
    """The supply while these drivers are on shift without an offer or a ride."""

    async def free_drivers() -> dict[str, FreeDriver]:
        return dict.fromkeys(free, FreeDriver(4, 0.0))

    return RedisSupply(client, city, free_drivers, stale_after_s=stale_after_s)


def places_whose_parent_is_another_cell(city: City) -> tuple[np.ndarray, np.ndarray]:
    """Places of the city that the parent of their search cell does not contain."""
    from geo.cells import parents

    rng = np.random.default_rng(1)
    lat = rng.uniform(city.graph.lat_deg.min(), city.graph.lat_deg.max(), 3_000)
    lng = rng.uniform(city.graph.lng_deg.min(), city.graph.lng_deg.max(), 3_000)
    own = latlng_to_cells(lat, lng, city.region.surge_resolution)
    by_parent = parents(latlng_to_cells(lat, lng, city.region.search_resolution), city.region.surge_resolution)
    return lat[own != by_parent], lng[own != by_parent]


async def test_a_region_without_drivers_has_no_supply(empty_redis: Redis, grid_city: City) -> None:
    supply = await supply_of(empty_redis, grid_city).snapshot(NOW_S)
    assert supply.fresh_drivers == 0
    assert supply.idle_per_cell.tolist() == [0] * len(grid_city.surge_cells)


async def test_idle_drivers_are_counted_in_the_cell_they_stand_in(empty_redis: Redis, grid_city: City) -> None:
    lat, lng = places_whose_parent_is_another_cell(grid_city)
    assert len(lat) > 10
    names = [f"driver{number}" for number in range(len(lat))]
    for name, lat_deg, lng_deg in zip(names, lat.tolist(), lng.tolist(), strict=True):
        await stand(empty_redis, grid_city, name, lat_deg, lng_deg)
    supply = await supply_of(empty_redis, grid_city, *names).snapshot(NOW_S)
    own = latlng_to_cells(np.round(lat, 7), np.round(lng, 7), grid_city.region.surge_resolution)
    assert supply.idle_per_cell.tolist() == [int((own == cell).sum()) for cell in grid_city.surge_cells]
    assert supply.fresh_drivers == len(lat)


async def test_busy_and_stale_drivers_are_no_supply_but_busy_ones_are_fresh(
    empty_redis: Redis, grid_city: City
) -> None:
    for driver_id, age_s in (("idle", 60.0), ("busy", 5.0), ("stale", 60.1), ("stale and busy", 99.0)):
        await stand(empty_redis, grid_city, driver_id, 40.751, -73.979, age_s=age_s)
    supply = await supply_of(empty_redis, grid_city, "idle", "stale", "not here").snapshot(NOW_S)
    assert (int(supply.idle_per_cell.sum()), supply.fresh_drivers) == (1, 2)


async def test_a_position_that_cannot_be_read_takes_nothing_from_the_others(
    empty_redis: Redis, grid_city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    await stand(empty_redis, grid_city, "driver", 40.751, -73.979)
    [key] = await empty_redis.keys()
    off_globe = np.array([NOW_S]), np.array([91.0]), np.array([0.0]), np.array([0.0]), np.array([0.0])
    await empty_redis.hset(key, "older", b"\x00" * 18)
    await empty_redis.hset(key, "lost", pack(*off_globe).tobytes())
    await empty_redis.hset(key, b"\xff\xfe", pack(*off_globe).tobytes()[:23])
    supply = supply_of(empty_redis, grid_city, "driver", "older", "lost")
    for _ in range(2):
        snapshot = await supply.snapshot(NOW_S)
        assert (int(snapshot.idle_per_cell.sum()), snapshot.fresh_drivers) == (1, 1)
    said = capsys.readouterr().out
    assert said.count("18 bytes, not 24") == 1
    assert said.count("not on the globe") == 1


def test_a_position_that_is_never_fresh_is_refused(grid_city: City) -> None:
    with pytest.raises(ValueError, match="stale_after_s must be a positive number"):
        supply_of(Redis(), grid_city, stale_after_s=0.0)
