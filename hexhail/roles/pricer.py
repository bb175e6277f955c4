"""The pricer: ride events and quotes into surge prices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from backing.faust_worker import build_faust_app, run_faust_app, use_uvloop
from hexhail.cities.served import load_cities
from hexhail.runtime.connections import connect_redis, ensure_topics
from hexhail.runtime.database import open_database
from hexhail.runtime.settings import Settings
from kernel.contracts.topics import QUOTES_TOPIC, RIDE_EVENTS_TOPIC
from kernel.section_reader import read_params

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from geo.city import City
    from pricing.metrics import AdviceMetrics, PricingMetrics
    from pricing.model.advice import RepositioningParams
    from pricing.ports import FreeDrivers, PriceRecord, Supply
    from pricing.service.advice import AdviceService
    from pricing.service.surge import PricingService


def run_pricer(settings: Settings) -> None:
    """Run the pricer: turn ride events and quotes into surge prices."""
    use_uvloop()
    asyncio.run(_price(settings))


async def _price(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from dispatch.adapters.sql.store import SqlRideStore
    from pricing.adapters.faust_agent import attach, attach_advice
    from pricing.adapters.sql.record import SqlPriceRecord
    from pricing.metrics import AdviceMetrics, PricingMetrics
    from pricing.model.advice import RepositioningParams

    clock, metrics, advice_metrics = settings.clock(), PricingMetrics(REGISTRY), AdviceMetrics(REGISTRY)
    cities = load_cities(settings.city_folders)
    redis = await connect_redis(settings)
    await ensure_topics(settings)
    database = await open_database(settings.database_url)
    record, store = SqlPriceRecord(database), SqlRideStore(database)
    app = build_faust_app(
        "hexhail-pricer",
        broker_url=settings.broker_url,
        data_dir=settings.data_dir / "pricer",
        session_timeout_s=settings.broker_session_timeout_s,
    )
    for city, folder in zip(cities, settings.city_folders, strict=True):
        supply = _supply(city, redis, store.free_drivers)
        attach(
            app,
            RIDE_EVENTS_TOPIC,
            QUOTES_TOPIC,
            _pricing(city, redis, supply, record, metrics),
            now_s=clock.now_s,
            wall_duration_s=clock.wall_duration_s,
        )
        advice = read_params(city.sections, RepositioningParams)
        if advice.is_on:
            service = _advice(city, folder, advice, redis, supply, advice_metrics)
            attach_advice(
                app, service, every_s=advice.every_s, now_s=clock.now_s, wall_duration_s=clock.wall_duration_s
            )
    try:
        await run_faust_app(app)
    finally:
        await database.close()
        await redis.aclose()


def _supply(city: City, redis: Redis, free_drivers: FreeDrivers) -> Supply:
    """The drivers of a city, idle by the limit that its matching rounds use."""
    from dispatch.model import DispatchParams
    from pricing.adapters.redis_supply import RedisSupply

    stale_after_s = read_params(city.sections, DispatchParams).stale_after_s
    return RedisSupply(redis, city, free_drivers, stale_after_s=stale_after_s)


def _pricing(city: City, redis: Redis, supply: Supply, record: PriceRecord, metrics: PricingMetrics) -> PricingService:
    from pricing.adapters.redis_prices import RedisPrices
    from pricing.adapters.redis_signals import RedisSignals
    from pricing.model.surge import SurgeParams
    from pricing.rules.reach import grid_of
    from pricing.service.surge import PricingService

    region, params = city.region, read_params(city.sections, SurgeParams)
    return PricingService(
        region,
        grid_of(city, params.reach_s),
        params,
        prices=RedisPrices(redis, region.region_id, params),
        signals=RedisSignals(redis, region.region_id, city.surge_cells, params.demand_half_life_s),
        supply=supply,
        record=record,
        metrics=metrics,
    )


def _advice(
    city: City, folder: Path, params: RepositioningParams, redis: Redis, supply: Supply, metrics: AdviceMetrics
) -> AdviceService:
    from geo.zones import Zones
    from hexhail.cities.demand_profile import DemandProfile
    from pricing.adapters.highs_flow import solve_transport
    from pricing.adapters.redis_advice import RedisAdvice
    from pricing.adapters.redis_signals import RedisSignals
    from pricing.model.surge import SurgeParams
    from pricing.rules.advice import AdvicePlanner
    from pricing.service.advice import AdviceService

    region_id, zones = city.region.region_id, Zones.of(city)
    half_life_s = read_params(city.sections, SurgeParams).demand_half_life_s
    profile = (
        DemandProfile.load(folder / params.demand_profile, city, zones).requests if params.demand_profile else None
    )
    return AdviceService(
        city.region,
        AdvicePlanner(city, zones, params, solve_transport, half_life_s, profile),
        half_life_s=half_life_s,
        signals=RedisSignals(redis, region_id, city.surge_cells, half_life_s),
        supply=supply,
        board=RedisAdvice(redis, region_id),
        metrics=metrics,
    )
