"""The doctor says whether learned travel times are in force."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from geo.city import load_city
from hexhail.runtime.doctor import _traffic
from hexhail.runtime.settings import Settings
from traffic.adapters.redis_weights import RedisWeights
from traffic.model import Evidence, Refusal

pytestmark = pytest.mark.servers


async def test_the_doctor_tells_the_age_of_learned_travel_times(empty_redis: Redis, valkey_port: int) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{valkey_port}/0")
    graph, evidence = load_city(settings.city_dir).graph, Evidence(40, 600, 30, 1.2, 120, 0.30, 0.25)
    finding = await _traffic(settings)
    assert (finding.ok, finding.seen) == (True, "manhattan: nothing in force yet")
    weights = RedisWeights(empty_redis, "manhattan", graph)
    epoch = await weights.claim()
    await weights.put(epoch, np.ones(graph.edge_count), time.time() - 100.0, evidence)
    finding = await _traffic(settings)
    assert finding.ok
    assert finding.seen.startswith("manhattan: version 1, 10")
    await weights.put(epoch, np.ones(graph.edge_count), time.time() - 4_000.0, evidence)
    await weights.note_refusal(epoch, Refusal.HELD_BACK, time.time(), evidence)
    finding = await _traffic(settings)
    assert not finding.ok
    assert finding.seen.endswith("last refusal: held_back")
    assert "role traffic" in finding.remedy


async def test_a_city_that_learns_nothing_is_well(empty_redis: Redis, valkey_port: int, tmp_path: Path) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{valkey_port}/0")
    for file in settings.city_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "city.toml").open("a") as city:
        city.write("\n[learned_traffic]\nis_on = false\n")
    finding = await _traffic(Settings(redis_url=settings.redis_url, city_dir=tmp_path))
    assert (finding.ok, finding.seen) == (True, "manhattan: switched off")
