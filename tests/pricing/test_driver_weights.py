"""Idle drivers who never take a ride count less as supply, and move no price."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from dispatch.ports import FreeDriver
from geo.city import City
from pricing.adapters.redis_supply import RedisSupply
from pricing.commands import CountRequest, Tick
from pricing.engine import PricingEngine
from pricing.model.surge import SurgeParams
from pricing.rules.cells import cell_indices
from pricing.rules.driver_weights import supply_weights
from pricing.rules.reach import grid_of
from tests.pricing.test_redis_supply import NOW_S, stand

REAL, MADE_UP = 12, 50
AT = (40.751, -73.979)


def weights(*answers: tuple[int, int]) -> list[float]:
    """Return what drivers count who have taken so many of so many offers."""
    accepted, answered = np.array(answers, np.float64).reshape(-1, 2).T
    return [float(weight) for weight in supply_weights(accepted, answered)]


def test_in_a_new_city_where_nobody_is_known_everybody_counts() -> None:
    assert weights(*[(0, 0)] * 30) == [1.0] * 30


def test_who_takes_half_of_what_is_offered_counts_fully() -> None:
    assert weights((50, 100), (90, 100), (3, 4)) == [1.0] * 3


def test_who_never_takes_a_ride_counts_less_with_each_answer() -> None:
    never = [weights((0, answered), (100, 100))[0] for answered in (1, 5, 20, 100)]
    assert never == sorted(never, reverse=True)
    assert never[-1] < 0.05


def test_drivers_who_were_never_tested_count_nothing_beside_those_who_were() -> None:
    assert weights(*[(60, 80)] * REAL, *[(0, 0)] * MADE_UP) == [1.0] * REAL + [0.0] * MADE_UP


def test_the_first_ride_that_a_driver_takes_counts() -> None:
    assert weights((1, 1), (500, 500))[0] > 0.8


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=40))
def test_weights_are_shares_and_untested_drivers_lose_at_most_one_for_ten_rides_accepted(drawn: Any) -> None:
    answers = [(min(pair), max(pair)) for pair in drawn]
    found = weights(*answers)
    assert all(0.0 <= weight <= 1.0 for weight in found)
    lost = sum(1.0 - weight for weight, (_, answered) in zip(found, answers, strict=True) if answered == 0)
    assert lost <= sum(accepted for accepted, _ in answers) / 10.0 + 1e-9


async def multipliers(client: Redis, city: City, made_up: int, known: FreeDriver, unknown: FreeDriver) -> list[float]:
    """Return the prices after an hour of ticks with drivers who are known, and so many made-up ones in one place."""
    free = {f"real{n}": known for n in range(REAL)} | {f"made-up{n}": unknown for n in range(made_up)}
    for name in free:
        await stand(client, city, name, *AT)

    async def free_drivers() -> dict[str, FreeDriver]:
        return free

    snapshot = await RedisSupply(client, city, free_drivers, stale_after_s=60.0).snapshot(NOW_S)
    params = SurgeParams()
    engine = PricingEngine(grid_of(city, params.reach_s), params)
    cell_index = int(cell_indices(city.surge_cells, city.region.surge_resolution, [AT[0]], [AT[1]])[0])
    for tick in range(240):
        now_s = NOW_S + tick * params.tick_s
        for _ in range(3):
            engine.handle(CountRequest(cell_index, now_s), now_s)
        engine.handle(Tick(snapshot.idle_per_cell), now_s)
    return [float(price) for price in engine.multiplier]


@pytest.mark.servers
async def test_fifty_made_up_drivers_at_one_point_do_not_change_the_price_of_a_cell(
    empty_redis: Redis, grid_city: City
) -> None:
    real, strange = FreeDriver(4, 0.0, offers_accepted=60, offers_answered=80), FreeDriver(4, 0.0)
    before = await multipliers(empty_redis, grid_city, 0, real, strange)
    assert max(before) > 1.2
    assert await multipliers(empty_redis, grid_city, MADE_UP, real, strange) == before
    # The control: fifty who count as the others do bring the price down.
    assert max(await multipliers(empty_redis, grid_city, MADE_UP, real, real)) < max(before) - 0.1
