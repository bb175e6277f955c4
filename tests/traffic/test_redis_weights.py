"""Weights in a real server: whole or not at all, and only by the newest owner."""

from __future__ import annotations

import numpy as np
import pytest
from redis.asyncio import Redis

from geo.roads.graph import RoadGraph
from kernel.contracts import redis_keys
from traffic.adapters.redis_weights import RedisWeights, read_figures
from traffic.model import Evidence, Refusal
from traffic.ports import WeightsUnusable

pytestmark = pytest.mark.servers

EVIDENCE = Evidence(40, 600, 30, 1.2, 120, 0.30, 0.25)


@pytest.fixture
def weights(empty_redis: Redis, graph: RoadGraph) -> RedisWeights:
    return RedisWeights(empty_redis, "town", graph)


async def test_what_is_put_is_read_with_the_next_version(weights: RedisWeights, free: np.ndarray) -> None:
    assert await weights.stamp() is None
    assert await weights.read() is None
    epoch = await weights.claim()
    assert await weights.put(epoch, free * 1.25, 1_000.5, EVIDENCE) == 1
    assert await weights.put(epoch, free * 1.5, 1_300.5, EVIDENCE) == 2
    read = await weights.read()
    assert (read.version, read.epoch, read.made_s) == (2, epoch, 1_300.5)
    assert read.factor == pytest.approx(free * 1.5)
    assert await weights.stamp() == (epoch, 2)


async def test_an_owner_who_was_replaced_changes_nothing_any_more(
    weights: RedisWeights, free: np.ndarray, empty_redis: Redis
) -> None:
    old = await weights.claim()
    await weights.put(old, free, 1_000.0, EVIDENCE)
    new = await weights.claim()
    assert new > old
    assert await weights.put(old, free * 3.0, 1_300.0, EVIDENCE) is None
    await weights.note_refusal(old, Refusal.BOUNDS, 1_300.0, EVIDENCE)
    assert (await weights.read()).factor == pytest.approx(free)
    figures = await read_figures(empty_redis, "town")
    assert figures.refused == {}
    assert figures.judged_s == 1_000.0
    assert await weights.put(new, free * 1.2, 1_300.0, EVIDENCE) == 2


async def test_an_owner_goes_on_when_the_server_has_lost_everything(
    weights: RedisWeights, free: np.ndarray, empty_redis: Redis
) -> None:
    epoch = await weights.claim()
    await weights.put(epoch, free, 1_000.0, EVIDENCE)
    await empty_redis.flushall()
    assert await weights.put(epoch, free * 1.1, 1_300.0, EVIDENCE) == 1
    assert await weights.claim() > epoch


async def test_a_claim_after_a_loss_is_not_older_than_those_before(weights: RedisWeights, empty_redis: Redis) -> None:
    before = await weights.claim()
    await empty_redis.flushall()
    assert await weights.claim() >= before


async def test_weights_of_other_roads_are_not_used(
    weights: RedisWeights, free: np.ndarray, empty_redis: Redis, one_street: RoadGraph
) -> None:
    epoch = await weights.claim()
    await weights.put(epoch, free, 1_000.0, EVIDENCE)
    with pytest.raises(WeightsUnusable, match="other roads"):
        await RedisWeights(empty_redis, "town", one_street).read()
    await empty_redis.hset(redis_keys.traffic("town"), "factors", (free * -1.0).astype("<f4").tobytes())
    with pytest.raises(WeightsUnusable, match="not positive"):
        await weights.read()


async def test_operators_see_the_last_update_and_refusals_by_reason(
    weights: RedisWeights, free: np.ndarray, empty_redis: Redis
) -> None:
    nothing = await read_figures(empty_redis, "town")
    assert (nothing.version, nothing.made_s, nothing.evidence, nothing.refused) == (0, None, None, {})
    epoch = await weights.claim()
    await weights.put(epoch, free, 1_000.0, EVIDENCE)
    for reason in (Refusal.HELD_BACK, Refusal.REGION_PACE, Refusal.HELD_BACK):
        await weights.note_refusal(epoch, reason, 1_300.0, EVIDENCE)
    figures = await read_figures(empty_redis, "town")
    assert figures.refused == {"held_back": 2, "region_pace": 1}
    assert (figures.version, figures.made_s, figures.judged_s, figures.refusal) == (1, 1_000.0, 1_300.0, "held_back")
    assert figures.evidence == EVIDENCE


@pytest.fixture
def one_street() -> RoadGraph:
    return RoadGraph.from_arrays([47.0, 47.001], [8.0, 8.0], [0], [1], [111.0], [11.0])
