"""Metrics of ingestion are counted correctly and under their documented names."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from location_ingest.adapters import faust_agent
from location_ingest.adapters.ping_codec import MessagePackPings, encode_columns
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import PingColumns
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.metrics import GatewayMetrics, IngestMetrics
from location_ingest.model import DeadLetter, DriverPing, GatewayParams, PingGroup, RawMessage
from location_ingest.service import IngestService, PingGateway
from tests.location_ingest.street import everywhere

NOW_S = 1_700_000_000.0
PINGS = (
    DriverPing("a", NOW_S - 2, 40.75, -73.98),
    DriverPing("a", NOW_S - 1, 40.7501, -73.98),
    DriverPing("a", NOW_S, 41.75, -73.98),  # a jump
    DriverPing("b", NOW_S, 40.75, -73.98, None, None, 900.0),  # too coarse
)


class Buried:
    async def append(self, letter: DeadLetter) -> None:
        pass


class Broker:
    """Takes the first group and no more."""

    def __init__(self) -> None:
        self.groups = 0

    async def append(self, group: PingColumns) -> None:
        self.groups += 1
        if self.groups > 1:
            raise ConnectionError("away")


def make_service(redis: Redis, registry: CollectorRegistry) -> IngestService:
    return IngestService(
        ColumnEngine(),
        MessagePackPings(),
        RedisCells(redis),
        Buried(),
        resolution_of_region={"east": 8},
        metrics=IngestMetrics(registry),
    )


@pytest.mark.servers
async def test_the_time_from_the_edge_to_the_cells_is_told_of_each_group(empty_redis: Redis) -> None:
    registry = CollectorRegistry()
    metrics = IngestMetrics(registry)
    service = make_service(empty_redis, CollectorRegistry())
    app = SimpleNamespace(should_stop=False)
    worker = faust_agent._Worker(app, service, lambda: NOW_S + 0.2, metrics, faust_agent.AgentParams())
    times_s = (NOW_S - 3.0, NOW_S)
    groups = [encode_columns(PingColumns.of(PingGroup("east", t_s, PINGS))) for t_s in times_s]
    assert await worker._process_until_done([RawMessage(0, n, group) for n, group in enumerate(groups)])
    assert registry.get_sample_value("hexhail_ping_edge_to_cell_seconds_count") == 2
    assert registry.get_sample_value("hexhail_ping_edge_to_cell_seconds_sum") == pytest.approx(3.4)
    assert registry.get_sample_value("hexhail_ping_edge_to_cell_seconds_bucket", {"le": "0.25"}) == 1


@pytest.mark.servers
async def test_the_worker_counts_what_came_what_was_believed_and_why_not(empty_redis: Redis) -> None:
    registry = CollectorRegistry()
    service = make_service(empty_redis, registry)
    group = encode_columns(PingColumns.of(PingGroup("east", NOW_S, PINGS)))
    closed_s = await service.process([RawMessage(0, 0, group), RawMessage(0, 1, b"garbage")], NOW_S)
    assert closed_s == [NOW_S]
    expected = {
        "hexhail_pings_in_total": 4,
        "hexhail_pings_accepted_total": 2,
        "hexhail_ping_batch_pings_count": 1,
        "hexhail_ping_batch_pings_sum": 4,
        "hexhail_ping_dead_letters_total": 1,
    }
    assert {name: registry.get_sample_value(name) for name in expected} == expected
    for reason in ("impossible_jump", "too_coarse"):
        assert registry.get_sample_value("hexhail_pings_rejected_total", {"reason": reason}) == 1


async def test_the_edge_counts_what_the_broker_has_what_was_refused_and_what_was_sent_back() -> None:
    registry = CollectorRegistry()
    params = GatewayParams(group_wait_s=0.001)
    metrics = GatewayMetrics(registry)
    cells = RedisCells(Redis(port=1))  # nobody is there, which is counted too
    gateway = PingGateway(Broker(), cells, ["east"], everywhere, metrics=metrics, params=params)
    now_s = time.time()
    await gateway.submit_numbers("a", [now_s, 40.75, -73.98, None, None, None], now_s)
    with pytest.raises(PingsRefused):
        await gateway.submit_numbers("a", [now_s, 40.75, np.inf, None, None, None], now_s)
    with pytest.raises(PingLogUnavailable):
        await gateway.submit_numbers("a", [now_s + 1, 40.75, -73.98, None, None, None], now_s)
    expected = {
        "hexhail_pings_submitted_total": 1,
        "hexhail_pings_unavailable_total": 1,
        "hexhail_ping_last_times_failed_total": 1,
        "hexhail_pings_held": 0,
    }
    assert {name: registry.get_sample_value(name) for name in expected} == expected
    assert registry.get_sample_value("hexhail_pings_refused_total", {"reason": "not_finite"}) == 1
