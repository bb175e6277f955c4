"""Advice to idle drivers: planned from demand and supply as the stores hold them, kept until it expires."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from geo.city import City, Region
from geo.roads.graph import RoadGraph
from geo.zones import Zones
from pricing.adapters.highs_flow import solve_transport
from pricing.adapters.redis_advice import RedisAdvice
from pricing.adapters.redis_signals import RedisSignals
from pricing.commands import CountRequest
from pricing.metrics import AdviceMetrics
from pricing.model.advice import DriverAdvice, IdleDrivers, RepositioningParams
from pricing.ports import KeyedSignal
from pricing.rules.advice import AdvicePlanner, Plan
from pricing.rules.forecast import QUARTER_S, requests_ahead, usually_seen
from pricing.service.advice import AdviceService
from tests.pricing.test_redis_supply import NOW_S, stand, supply_of

HALF_LIFE_S = 450.0


@pytest.fixture(scope="module")
def avenue() -> City:
    """A straight two-way road of 6 km through five and more zones; a crossing each 200 m, 20 s apart."""
    crossings = np.arange(31)
    source = np.concatenate([crossings[:-1], crossings[1:]])
    target = np.concatenate([crossings[1:], crossings[:-1]])
    length_m = np.full(source.size, 200.0)
    lat_deg, lng_deg = np.full(31, 40.75), -73.98 + crossings * 200.0 / 84_000.0
    graph = RoadGraph.from_arrays(lat_deg, lng_deg, source, target, length_m, length_m / 10.0)
    return City(Region("avenue", "Avenue", "America/New_York", "USD", 9, 8, 150.0, "drawn"), graph, {})


def planner(city: City, **params: float) -> AdvicePlanner:
    return AdvicePlanner(city, Zones.of(city), RepositioningParams(**params), solve_transport, HALF_LIFE_S)


def drivers_at(city: City, *nodes: int) -> IdleDrivers:
    names = tuple(f"d{number:02d}" for number in range(len(nodes)))
    return IdleDrivers(names, city.graph.lat_deg[list(nodes)], city.graph.lng_deg[list(nodes)])


def requests_at(city: City, node: int, count: float) -> np.ndarray:
    requests, zones = np.zeros(len(city.surge_cells)), Zones.of(city)
    requests[zones.surge_index[zones.of_node[node]]] = count
    return requests


def plan(
    city: City, idle: IdleDrivers, requests: np.ndarray, standing: dict[str, DriverAdvice] | None = None,
    now_s: float = NOW_S, seed: int = 1, **params: float,
) -> Plan:  # fmt: skip
    generator = np.random.default_rng(seed)
    return planner(city, **params).plan(idle, requests, standing or {}, now_s, 0.0, generator)


def test_drivers_are_advised_to_wait_where_riders_ask(avenue: City) -> None:
    made = plan(avenue, drivers_at(avenue, *[0] * 10), requests_at(avenue, 15, 20.0))
    assert made.new_ids
    for driver_id in made.new_ids:
        advice = made.advice[driver_id]
        assert (
            Zones.of(avenue).of_node[avenue.graph.snap(advice.lat_deg, advice.lng_deg)[0][0]]
            == (Zones.of(avenue).of_node[15])
        )
        assert 0.0 < advice.drive_s <= RepositioningParams().reach_s
        assert (advice.given_s, advice.expires_s) == (NOW_S, NOW_S + RepositioningParams().valid_s)


def test_nobody_is_sent_farther_than_the_reach(avenue: City) -> None:
    assert plan(avenue, drivers_at(avenue, 0, 0), requests_at(avenue, 30, 20.0), reach_s=120.0).advice == {}


def test_where_nobody_asks_nobody_is_sent(avenue: City) -> None:
    assert plan(avenue, drivers_at(avenue, 0, 10, 20), np.zeros(len(avenue.surge_cells))).advice == {}


def test_advice_stands_until_it_expires_and_its_driver_is_not_sent_elsewhere(avenue: City) -> None:
    idle = drivers_at(avenue, *[0] * 10)
    first = plan(avenue, idle, requests_at(avenue, 15, 20.0))
    before_the_end_s = NOW_S + RepositioningParams().valid_s - 1.0
    again = plan(avenue, idle, requests_at(avenue, 5, 50.0), dict(first.advice), before_the_end_s)
    assert {driver_id: again.advice[driver_id] for driver_id in first.advice} == dict(first.advice)
    assert not set(again.new_ids) & set(first.advice)
    later = plan(avenue, idle, requests_at(avenue, 5, 50.0), dict(first.advice), before_the_end_s + 2.0)
    assert all(advice.given_s > NOW_S for advice in later.advice.values())


def test_a_driver_with_a_ride_loses_the_advice(avenue: City) -> None:
    first = plan(avenue, drivers_at(avenue, *[0] * 10), requests_at(avenue, 15, 20.0))
    busy = first.new_ids[0]
    idle = drivers_at(avenue, *[0] * 10)
    others = tuple(name for name in idle.driver_id if name != busy)
    still_idle = replace(idle, driver_id=others, lat_deg=idle.lat_deg[1:], lng_deg=idle.lng_deg[1:])
    assert busy not in plan(avenue, still_idle, requests_at(avenue, 15, 20.0), dict(first.advice)).advice


def test_the_same_seed_advises_the_same_drivers(avenue: City) -> None:
    idle, requests = drivers_at(avenue, *range(0, 30, 2)), requests_at(avenue, 15, 20.0)
    assert plan(avenue, idle, requests, seed=7).advice == plan(avenue, idle, requests, seed=7).advice


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(0, 30), st.floats(0.0, 100.0), st.integers(0, 99))
def test_no_zone_is_sent_more_drivers_than_it_wants(
    avenue: City, nodes: list[int], busy_node: int, count: float, seed: int
) -> None:
    idle, zones = drivers_at(avenue, *nodes), Zones.of(avenue)
    made = plan(avenue, idle, requests_at(avenue, busy_node, count), seed=seed)
    present = np.bincount(zones.of_node[nodes] if nodes else [], minlength=len(zones))
    coming = np.zeros(len(zones), int)
    for advice in made.advice.values():
        coming[zones.of_node[avenue.graph.snap(advice.lat_deg, advice.lng_deg)[0][0]]] += 1
    busy = zones.of_node[busy_node]
    assert coming.sum() == coming[busy]
    assert coming[busy] + present[busy] <= len(nodes)


def test_a_driver_outside_all_zones_is_left_alone(avenue: City) -> None:
    idle = IdleDrivers(("far",), np.array([10.0]), np.array([10.0]))
    assert plan(avenue, idle, requests_at(avenue, 15, 20.0)).advice == {}


def test_without_a_profile_the_present_rate_goes_on() -> None:
    # One request a second for ever, each halved after 450 s, adds up to 450 / ln 2.
    steady = 450.0 / np.log(2.0)
    assert requests_ahead([steady, 0.0], 450.0, None, 0.0, 20.0) == pytest.approx([QUARTER_S, 0.0])


def test_a_usual_day_is_expected_to_go_on_as_usual() -> None:
    profile = np.random.default_rng(3).uniform(0.0, 30.0, (96, 4))
    for day_s in (0.0, 4321.0, 86_399.0):
        seen = usually_seen(profile, HALF_LIFE_S, day_s)
        first, share = divmod(day_s / QUARTER_S, 1.0)
        by_hand = profile[int(first)] * (1.0 - share) + profile[(int(first) + 1) % 96] * share
        assert requests_ahead(seen, HALF_LIFE_S, profile, day_s, 20.0) == pytest.approx(by_hand)


def test_twice_the_usual_requests_are_expected_to_stay_twice_as_many() -> None:
    profile = np.full((96, 3), 200.0)
    seen = 2.0 * usually_seen(profile, HALF_LIFE_S, 1000.0)
    assert requests_ahead(seen, HALF_LIFE_S, profile, 1000.0, 20.0) == pytest.approx([400.0] * 3, rel=0.05)


def test_what_is_usually_seen_is_the_sum_over_every_second_before() -> None:
    profile = np.random.default_rng(5).uniform(0.0, 30.0, (96, 2))
    age_s = np.arange(0.5, 9_000.0)
    quarter = np.floor((5_000.0 - age_s) / QUARTER_S).astype(int) % 96
    by_hand = (0.5 ** (age_s / HALF_LIFE_S)) @ profile[quarter] / QUARTER_S
    assert usually_seen(profile, HALF_LIFE_S, 5_000.0) == pytest.approx(by_hand, rel=0.01)


@pytest.mark.servers
async def test_a_plan_is_made_of_what_the_stores_hold_and_the_next_process_goes_on_from_it(
    empty_redis: Redis, grid_city: City
) -> None:
    graph, region_id = grid_city.graph, grid_city.region.region_id
    signals = RedisSignals(empty_redis, region_id, grid_city.surge_cells, HALF_LIFE_S)
    board, zones = RedisAdvice(empty_redis, region_id), Zones.of(grid_city)
    asked = int(zones.surge_index[zones.of_node[35]])
    heard = [KeyedSignal(f"ride-{number}", 1, NOW_S, CountRequest(asked, NOW_S)) for number in range(20)]
    await signals.count_rides(heard)
    for number in range(8):
        await stand(empty_redis, grid_city, f"d{number}", float(graph.lat_deg[0]), float(graph.lng_deg[0]))
    await stand(empty_redis, grid_city, "busy", float(graph.lat_deg[0]), float(graph.lng_deg[0]))
    await stand(empty_redis, grid_city, "silent", float(graph.lat_deg[0]), float(graph.lng_deg[0]), age_s=3600.0)

    def service() -> AdviceService:
        return AdviceService(
            grid_city.region,
            AdvicePlanner(grid_city, zones, RepositioningParams(), solve_transport, HALF_LIFE_S),
            half_life_s=HALF_LIFE_S,
            signals=signals,
            supply=supply_of(empty_redis, grid_city, "silent", *(f"d{number}" for number in range(8))),
            board=board,
            metrics=AdviceMetrics(CollectorRegistry()),
        )

    made = await service().plan_once(NOW_S)
    assert made.new_ids
    assert not {"busy", "silent"} & set(made.advice)
    assert await board.read() == dict(made.advice)
    assert await board.find([made.new_ids[0], "nobody"]) == {made.new_ids[0]: made.advice[made.new_ids[0]]}
    assert await board.planned_ms() == round(NOW_S * 1e3)
    again = await service().plan_once(NOW_S + 30.0)
    assert made.advice.items() <= again.advice.items()
