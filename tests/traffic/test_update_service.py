"""Updates through a real server: poisoned ones are refused, the weights before them stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from geo.roads.graph import RoadGraph
from tests.traffic.test_watch import REGION
from tests.traffic.town import Fleet
from traffic.adapters.redis_weights import RedisWeights, read_figures
from traffic.metrics import TrafficMetrics
from traffic.model import LearnedTrafficParams, Refusal
from traffic.service.update import UpdateService

pytestmark = pytest.mark.servers

PARAMS = LearnedTrafficParams()
START_S = 1.7e9
WALKING = 7.0


class Running:
    """A service that has taken the region over, and the server behind it."""

    def __init__(self, redis: Redis, graph: RoadGraph, **more: Any) -> None:
        self.redis = redis
        self.registry = CollectorRegistry()
        self.store = RedisWeights(redis, REGION.region_id, graph)
        self.service = UpdateService(REGION, graph, PARAMS, self.store, TrafficMetrics(self.registry), **more)
        self.now_s = START_S

    async def live(self, fleet: Fleet, factor: np.ndarray) -> Refusal | None:
        until_s = self.now_s + PARAMS.update_every_s
        self.service.take(*fleet.drive(factor, self.now_s, until_s))
        self.now_s = until_s
        return await self.service.update(self.now_s)

    def counted(self, outcome: str) -> float | None:
        labels = {"region": REGION.region_id, "outcome": outcome}
        return self.registry.get_sample_value("hexhail_traffic_updates_total", labels)


async def test_an_update_is_put_in_force_and_a_poisoned_one_is_not(
    empty_redis: Redis, graph: RoadGraph, free: np.ndarray
) -> None:
    running = Running(empty_redis, graph)
    await running.service.take_over(START_S)
    assert await running.live(Fleet(graph, 40), free * 1.15) is None
    before = await running.store.read()
    assert np.median(before.factor) == pytest.approx(1.15, rel=0.05)
    assert await running.live(Fleet(graph, 40, seed=9), free * WALKING) is Refusal.REGION_PACE
    after = await running.store.read()
    assert (after.version, after.made_s) == (before.version, before.made_s)
    assert np.array_equal(after.factor, before.factor)
    assert (await read_figures(empty_redis, REGION.region_id)).refused == {"region_pace": 1}
    assert (running.counted("in_force"), running.counted("region_pace")) == (1.0, 1.0)


async def test_the_poisoned_update_comes_into_force_where_nobody_checks(
    empty_redis: Redis, graph: RoadGraph, free: np.ndarray
) -> None:
    running = Running(empty_redis, graph, judge=lambda candidate, length_m, params: None)
    await running.service.take_over(START_S)
    assert await running.live(Fleet(graph, 40, seed=9), free * WALKING) is None
    assert np.median((await running.store.read()).factor) > 1.15


async def test_who_takes_over_goes_on_from_the_weights_in_force(
    empty_redis: Redis, graph: RoadGraph, free: np.ndarray
) -> None:
    first, second = Running(empty_redis, graph), Running(empty_redis, graph)
    await first.service.take_over(START_S)
    for _ in range(4):
        await first.live(Fleet(graph, 40), free * 2.0)
    reached = np.median((await first.store.read()).factor)
    assert reached > 1.5
    await second.service.take_over(first.now_s)
    second.now_s = first.now_s
    assert await second.live(Fleet(graph, 40, seed=4), free * 2.0) is None
    assert np.median((await second.store.read()).factor) > reached
    assert await first.live(Fleet(graph, 40, seed=5), free) is None
    assert first.counted("superseded") == 1.0
    assert np.median((await second.store.read()).factor) > reached


async def test_updates_come_as_often_as_the_city_says(empty_redis: Redis, graph: RoadGraph, free: np.ndarray) -> None:
    running = Running(empty_redis, graph)
    await running.service.take_over(START_S)
    for after_s in (10.0, 299.0, 300.0, 301.0, 599.0, 600.0, 4_000.0, 4_001.0):
        await running.service.update_if_due(START_S + after_s)
    assert running.counted("coverage") == 3.0
