"""The ingester role: filters the pings of the topic and stores positions in cells."""

from __future__ import annotations

import asyncio

from backing.faust_worker import build_faust_app, run_faust_app, use_uvloop
from backing.readiness import Readiness
from hexhail.cities.served import common_to, load_cities
from hexhail.runtime.connections import connect_producer, connect_redis, ensure_topics
from hexhail.runtime.settings import Settings
from hexhail.runtime.warm_up import warm_ingest
from kernel.contracts.topics import DEAD_PINGS_TOPIC, PINGS_TOPIC
from kernel.section_reader import read_params


def run_ingester(settings: Settings, readiness: Readiness) -> None:
    """Run the ingestion worker: store the pings of the topic in cells."""
    use_uvloop()
    asyncio.run(_ingest(settings, readiness))


async def _ingest(settings: Settings, readiness: Readiness) -> None:
    from prometheus_client import REGISTRY

    from location_ingest.adapters.faust_agent import attach
    from location_ingest.adapters.kafka_pings import KafkaDeadLetters
    from location_ingest.adapters.ping_codec import MessagePackPings
    from location_ingest.adapters.redis_cells import RedisCells
    from location_ingest.adapters.redis_samples import RedisSamples
    from location_ingest.adapters.redis_standings import RedisStandings
    from location_ingest.column_engine import ColumnEngine
    from location_ingest.metrics import IngestMetrics
    from location_ingest.model import IngestParams, StoreParams
    from location_ingest.service import IngestService

    warm_ingest()
    cities = load_cities(settings.city_folders)
    ingest = common_to("ingest", [read_params(city.sections, IngestParams) for city in cities])
    store_params = common_to("cells", [read_params(city.sections, StoreParams) for city in cities])
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
        standings=RedisStandings(redis),
    )
    app = build_faust_app(
        "hexhail-ingester",
        broker_url=settings.broker_url,
        data_dir=settings.data_dir / "ingester",
        session_timeout_s=settings.broker_session_timeout_s,
        security=settings.security(),
    )
    attach(app, PINGS_TOPIC, service, now_s=settings.clock().now_s, metrics=metrics)
    try:
        await run_faust_app(app, readiness)
    finally:
        await producer.stop()
        await redis.aclose()
