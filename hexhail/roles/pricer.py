"""The pricer: ride events and quotes into surge prices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backing.faust_worker import build_faust_app, run_faust_app, use_uvloop
from hexhail.cities.served import load_cities
from hexhail.runtime.connections import connect_redis, ensure_topics, open_price_record
from hexhail.runtime.settings import Settings
from kernel.contracts.topics import QUOTES_TOPIC, RIDE_EVENTS_TOPIC

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from geo.city import City
    from pricing.metrics import PricingMetrics
    from pricing.ports import PriceRecord
    from pricing.service.surge import PricingService


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
    from dispatch.model import DispatchParams
    from pricing.adapters.redis_prices import RedisPrices
    from pricing.adapters.redis_signals import RedisSignals
    from pricing.adapters.redis_supply import RedisSupply
    from pricing.model.surge import SurgeParams
    from pricing.rules.reach import grid_of
    from pricing.service.surge import PricingService

    region, params = city.region, SurgeParams.from_section(city.sections.get("surge", {}))
    stale_after_s = DispatchParams.from_section(city.sections.get("dispatch", {})).stale_after_s
    return PricingService(
        region,
        grid_of(city, params.reach_s),
        params,
        prices=RedisPrices(redis, region.region_id, params),
        signals=RedisSignals(redis, region.region_id, city.surge_cells, params.demand_half_life_s),
        supply=RedisSupply(redis, city, stale_after_s=stale_after_s),
        record=record,
        metrics=metrics,
    )
