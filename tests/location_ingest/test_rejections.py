"""Reports to operators and dispatch: samples and counts of rejected pings, and stale drivers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from hexhail.runtime.settings import MANHATTAN
from kernel.contracts import redis_keys
from location_ingest.adapters.ping_codec import MessagePackPings, encode_columns
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.adapters.redis_samples import SAMPLES_MAX, RedisSamples
from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import PingColumns
from location_ingest.metrics import IngestMetrics
from location_ingest.model import DriverPing, PingGroup, RawMessage, Reason, RejectedPing
from location_ingest.service import IngestService
from tests.hexhail.command_line import hexhail_process

NOW_S = 1_700_000_000.0
SOUND = DriverPing("sound", NOW_S, 40.75, -73.98, 90.0, 7.0, 5.0)


def message(*pings: DriverPing) -> RawMessage:
    return RawMessage(0, 0, encode_columns(PingColumns.of(PingGroup("manhattan", NOW_S, pings))))


class NoLetters:
    async def append(self, letter: object) -> None:
        raise AssertionError(letter)


class FailingSamples:
    async def add(self, region_id: str, samples: object) -> None:
        raise ConnectionError("away")


def make_service(redis: Any, samples: Any) -> IngestService:
    return IngestService(
        ColumnEngine(),
        MessagePackPings(),
        RedisCells(redis),
        NoLetters(),
        resolution_of_region={"manhattan": 8},
        metrics=IngestMetrics(CollectorRegistry()),
        samples=samples,
    )


BAD = [
    DriverPing("nan", math.nan, 40.75, -73.98),
    *(DriverPing(f"old-{n}", NOW_S - 400 - n, 40.75, -73.98) for n in range(5)),
    DriverPing("coarse", NOW_S, 40.75, -73.98, None, None, 900.0),
]


@pytest.mark.servers
async def test_samples_hold_the_last_rejected_pings_of_each_reason_without_replays(
    empty_redis: Redis,
) -> None:
    samples = RedisSamples(empty_redis)
    service = make_service(empty_redis, samples)
    await service.process([message(SOUND, *BAD, SOUND)], NOW_S)
    found = [(sample.reason, sample.ping.driver_id) for sample in await samples.read("manhattan")]
    old = [(Reason.TOO_OLD, f"old-{n}") for n in (4, 3, 2)]
    assert found == [(Reason.NOT_FINITE, "nan"), *old, (Reason.TOO_COARSE, "coarse")]
    assert (await samples.read("manhattan"))[-1] == RejectedPing(Reason.TOO_COARSE, NOW_S, BAD[-1])
    assert await RedisCells(empty_redis).rejected("manhattan") == {"not_finite": 1, "too_old": 5, "too_coarse": 1}


@pytest.mark.servers
async def test_samples_are_bounded(empty_redis: Redis) -> None:
    samples = RedisSamples(empty_redis)
    for n in range(30):
        await samples.add("manhattan", [RejectedPing(Reason.TOO_OLD, NOW_S + n, SOUND)])
    kept = await samples.read("manhattan")
    assert [sample.judged_s for sample in kept] == [NOW_S + 29 - n for n in range(SAMPLES_MAX)]


@pytest.mark.servers
async def test_positions_are_stored_although_samples_cannot_be(empty_redis: Redis) -> None:
    await make_service(empty_redis, FailingSamples()).process([message(SOUND, *BAD)], NOW_S)
    assert await empty_redis.hkeys(redis_keys.driver_index("manhattan")) == [b"sound"]


@pytest.mark.servers
async def test_a_swept_driver_is_reported_once_with_the_time_of_the_last_ping(empty_redis: Redis) -> None:
    service = make_service(empty_redis, None)
    await service.process([message(SOUND)], NOW_S)
    assert await service.sweep(NOW_S + 100) == 0
    assert await service.sweep(NOW_S + 121) == 1
    assert await service.sweep(NOW_S + 122) == 0
    ((_, told),) = await empty_redis.xrange(redis_keys.stale_drivers("manhattan"))
    assert told == {b"event": b"DriverWentStale", b"driver_id": b"sound", b"seen_ms": b"%d" % (NOW_S * 1e3)}


@pytest.mark.servers
async def test_an_operator_sees_the_rejected_on_the_command_line(empty_redis: Redis, valkey_port: int) -> None:
    env = {
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "HEXHAIL_CITY_DIR": str(MANHATTAN),
        "HEXHAIL_TOKEN_SECRETS": json.dumps({"k": "0" * 32}),
    }
    assert "the ingester has rejected no ping of manhattan" in hexhail_process("pings", "rejected", **env).stdout
    await make_service(empty_redis, RedisSamples(empty_redis)).process([message(*BAD)], NOW_S)
    said = hexhail_process("pings", "rejected", "--samples", "1", **env).stdout.splitlines()
    assert said[0] == "1 not finite"
    assert said[1] == "  nan nan 40.750000 -73.980000"
    assert "1 too coarse" in said
    assert "  2023-11-14T22:13:20.000+00:00 coarse 40.750000 -73.980000 accuracy 900" in said
    assert sum("old-" in line for line in said) == 1
