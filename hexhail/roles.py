"""The composition root: one function per process role, the only place where settings, tools and engines meet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from hexhail import limits, logs
from hexhail.api_role import run_api
from hexhail.connections import (
    DEAD_PINGS_TOPIC,
    PINGS_TOPIC,
    QUOTES_TOPIC,
    RIDE_EVENTS_TOPIC,
    DependencyMissing,
    connect_producer,
    connect_redis,
    ensure_topics,
    joined_owners,
    open_price_record,
    open_store,
)
from hexhail.repeating import repeat_until_stopped
from hexhail.served_cities import common_to, load_cities
from hexhail.settings import Settings
from hexhail.streams import build_faust_app, partition_of, run_faust_app, use_uvloop

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from dispatch.adapters.sql.store import SqlStore
    from dispatch.metrics import AcceptanceMetrics
    from dispatch.model import DispatchParams
    from dispatch.ports import Ownership
    from dispatch.service.matching import MatchingService
    from geo.city import City
    from hexhail.clock import CityClock
    from pricing.metrics import PricingMetrics
    from pricing.ports import PriceRecord
    from pricing.service import PricingService

log = structlog.get_logger(__name__)

#: How often the relay looks for news when there are none: what an event waits at most, and a percent of a core.
RELAY_IDLE_S = 0.02


def run_ingester(settings: Settings) -> None:
    """Pings from the topic into cells."""
    use_uvloop()
    asyncio.run(_ingest(settings))


async def _ingest(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from location_ingest.adapters.faust_agent import attach
    from location_ingest.adapters.kafka_pings import KafkaDeadLetters
    from location_ingest.adapters.ping_codec import MessagePackPings
    from location_ingest.adapters.redis_cells import RedisCells
    from location_ingest.adapters.redis_samples import RedisSamples
    from location_ingest.column_engine import ColumnEngine
    from location_ingest.metrics import IngestMetrics
    from location_ingest.model import IngestParams, StoreParams
    from location_ingest.service import IngestService

    cities = load_cities(settings.city_folders)
    ingest = common_to("ingest", [IngestParams.from_section(city.sections.get("ingest", {})) for city in cities])
    store_params = common_to("cells", [StoreParams.from_section(city.sections.get("cells", {})) for city in cities])
    metrics = IngestMetrics(REGISTRY)
    redis = await connect_redis(settings)
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    service = IngestService(
        ColumnEngine(ingest),
        MessagePackPings(),
        RedisCells(redis),
        KafkaDeadLetters(producer, DEAD_PINGS_TOPIC),
        resolution_of_region={city.region.region_id: city.region.search_resolution for city in cities},
        metrics=metrics,
        ingest_params=ingest,
        params=store_params,
        samples=RedisSamples(redis),
    )
    app = build_faust_app(
        "hexhail-ingester",
        broker_url=settings.broker_url,
        data_dir=settings.data_dir / "ingester",
        session_timeout_s=settings.broker_session_timeout_s,
    )
    attach(app, PINGS_TOPIC, service, now_s=settings.clock().now_s, metrics=metrics)
    try:
        await run_faust_app(app)
    finally:
        await producer.stop()
        await redis.aclose()


def run_pricer(settings: Settings) -> None:
    """Rides and quotes into surge prices."""
    use_uvloop()
    asyncio.run(_price(settings))


async def _price(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from pricing.adapters.faust_agent import attach
    from pricing.metrics import PricingMetrics

    clock, metrics = settings.clock(), PricingMetrics(REGISTRY)
    redis = await connect_redis(settings)
    await ensure_topics(settings)
    record = await open_price_record(settings.database_url)
    app = build_faust_app(
        "hexhail-pricer",
        broker_url=settings.broker_url,
        data_dir=settings.data_dir / "pricer",
        session_timeout_s=settings.broker_session_timeout_s,
    )
    for city in load_cities(settings.city_folders):
        service = _pricing(city, redis, record, metrics)
        topics = RIDE_EVENTS_TOPIC, QUOTES_TOPIC
        attach(app, *topics, service, now_s=clock.now_s, wall_duration_s=clock.wall_duration_s)
    try:
        await run_faust_app(app)
    finally:
        await record.close()
        await redis.aclose()


def _pricing(city: City, redis: Redis, record: PriceRecord, metrics: PricingMetrics) -> PricingService:
    from pricing.adapters.redis_prices import RedisPrices
    from pricing.adapters.redis_signals import RedisSignals
    from pricing.adapters.redis_supply import RedisSupply
    from pricing.model import SurgeParams
    from pricing.rules.reach import grid_of
    from pricing.service import PricingService

    region, params = city.region, SurgeParams.from_section(city.sections.get("surge", {}))
    return PricingService(
        region,
        grid_of(city, params.reach_s),
        params,
        prices=RedisPrices(redis, region.region_id, params),
        signals=RedisSignals(redis, region.region_id, city.surge_cells, params.demand_half_life_s),
        supply=RedisSupply(redis, city, stale_after_s=_dispatch_params(city).stale_after_s),
        record=record,
        metrics=metrics,
    )


def run_matcher(settings: Settings) -> None:
    """Matching rounds of the region, while this process owns it."""
    use_uvloop()
    asyncio.run(_match(settings))


async def _match(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from dispatch.metrics import AcceptanceMetrics

    clock, folders, metrics = settings.clock(), settings.city_folders, AcceptanceMetrics(REGISTRY)
    redis = await connect_redis(settings)
    store = await open_store(settings.database_url)
    try:
        services, rounds = [], []
        async with joined_owners(settings) as ownership:
            for city, folder in zip(load_cities(folders), folders, strict=True):
                service = _matching(city, folder, settings, redis, store, metrics)
                services.append(service)
                rounds.append(_rounds_of(city.region.region_id, ownership, service, clock))
            await repeat_until_stopped(*rounds)
            for service in services:
                await service.finish()
    finally:
        await store.close()
        await redis.aclose()


def _rounds_of(
    region_id: str, ownership: Ownership, service: MatchingService, clock: CityClock
) -> tuple[Callable[[], Awaitable[Any]], Callable[[], float]]:
    """The step that runs a round of a region if it is ours, and the wall seconds to the next, which the rounds say."""
    from dispatch.service.owned_rounds import OwnedRounds

    step = OwnedRounds(region_id, ownership, service).step
    return step, lambda: clock.wall_duration_s(service.window_s)


def _dispatch_params(city: City) -> DispatchParams:
    from dispatch.model import DispatchParams

    return DispatchParams.from_section(city.sections.get("dispatch", {}))


def _matching(
    city: City, folder: Path, settings: Settings, redis: Redis, store: SqlStore, metrics: AcceptanceMetrics
) -> MatchingService:
    from dispatch.adapters.redis_acceptance import RedisAnswersMemory
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.adapters.redis_rounds import RedisRoundLog
    from dispatch.adapters.redis_supply import RedisSupply
    from dispatch.adapters.redis_traces import RedisTraceLog
    from dispatch.adapters.round_files import FileRoundRecords
    from dispatch.matching.policy import LearningPolicy
    from dispatch.service.hearing import Hearing
    from dispatch.service.matching import MatchingService
    from dispatch.service.rides import RideService
    from geo.cells import cells_to_strings
    from hexhail.city_policy import city_policy

    clock, params, region = settings.clock(), _dispatch_params(city), city.region.region_id
    policy = city_policy(folder, city.graph, params)
    leases = RedisLeases(redis, region, lambda: store.newest_token(region))
    hearing = None
    if isinstance(policy, LearningPolicy):
        hearing = Hearing(
            region=region,
            graph=city.graph,
            policy=policy,
            tail=store,
            memory=RedisAnswersMemory(redis, region),
            metrics=metrics,
            now=clock.now_s,
        )
    return MatchingService(
        region=region,
        graph=city.graph,
        policy=policy,
        params=params,
        store=store,
        rides=RideService(store, leases, params, clock.now_s),
        supply=RedisSupply(redis, region, cells_to_strings(city.search_cells)),
        leases=leases,
        round_log=RedisRoundLog(redis, region),
        now=clock.now_s,
        trace_log=RedisTraceLog(redis, region),
        hearing=hearing,
        records=FileRoundRecords(settings.record_dir, region) if settings.record_dir else None,
    )


def run_relay(settings: Settings) -> None:
    """Committed events to the topic and the inboxes."""
    use_uvloop()
    asyncio.run(_relay(settings))


async def _relay(settings: Settings) -> None:
    from dispatch.adapters.kafka_events import KafkaEventLog
    from dispatch.adapters.redis_inboxes import RedisInboxes
    from dispatch.service.relay import RelayService

    redis = await connect_redis(settings)
    store = await open_store(settings.database_url)
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    event_log = KafkaEventLog(
        producer, RIDE_EVENTS_TOPIC, lambda region: partition_of(region, settings.topic_partitions)
    )
    service = RelayService(store, event_log, RedisInboxes(redis))
    try:
        await repeat_until_stopped((service.relay_once, lambda: RELAY_IDLE_S))
    finally:
        await producer.stop()
        await store.close()
        await redis.aclose()


ROLES: dict[str, Callable[[Settings], None]] = {
    "api": run_api,
    "ingester": run_ingester,
    "matcher": run_matcher,
    "pricer": run_pricer,
    "relay": run_relay,
}


def run(role: str, settings: Settings) -> None:
    """Run one role until it is told to stop; exits with 1 and one line if a server it needs does not answer."""
    logs.configure(role)
    limits.raise_open_files()
    if settings.metrics_port:
        from prometheus_client import start_http_server

        start_http_server(settings.metrics_port, addr="127.0.0.1")
    from pricing.errors import TariffRefused

    try:
        ROLES[role](settings)
    except (DependencyMissing, TariffRefused) as error:
        log.error("not_started", detail=str(error))  # noqa: TRY400 - the line says all there is
        print(f"hexhail {role}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
