"""The pricer role: computes surge prices from ride events and quotes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from backing.faust_worker import build_faust_app, run_faust_app, use_uvloop
from backing.readiness import Readiness
from hexhail.cities.learned_files import LearnedFiles
from hexhail.cities.served import load_cities
from hexhail.runtime.connections import connect_redis, joined_owners
from hexhail.runtime.database import open_for_role
from hexhail.runtime.map_reports import REPORT_EVERY_S
from hexhail.runtime.schema_watch import watch_schema
from hexhail.runtime.settings import Settings
from kernel.contracts.topics import QUOTES_TOPIC, RIDE_EVENTS_TOPIC
from kernel.section_reader import read_params

if TYPE_CHECKING:
    import faust
    from redis.asyncio import Redis

    from backing.ownership import KafkaOwnership
    from backing.sql.database import Database
    from dispatch.adapters.sql.store import SqlRideStore
    from geo.city import City
    from hexhail.runtime.city_watch import CityWatch
    from kernel.clock import CityClock
    from pricing.adapters.faust_agent import Advising, Pricing
    from pricing.metrics import AdviceMetrics, PricingMetrics
    from pricing.model.advice import RepositioningParams
    from pricing.ports import FreeDrivers, PriceRecord, Supply
    from pricing.service.advice import AdviceService
    from pricing.service.surge import PricingService

log = structlog.get_logger(__name__)

#: Consumer group whose members share out the regions whose prices they set.
OWNERS_GROUP = "hexhail-pricer-owners"


def run_pricer(settings: Settings, readiness: Readiness) -> None:
    """Run the pricer, which computes surge prices from ride events and quotes."""
    use_uvloop()
    asyncio.run(_price(settings, readiness))


async def _price(settings: Settings, readiness: Readiness) -> None:
    from prometheus_client import REGISTRY

    from dispatch.adapters.sql.store import SqlRideStore
    from hexhail.runtime.city_watch import CityWatch, MapMetrics
    from pricing.adapters.sql.record import SqlPriceRecord
    from pricing.metrics import AdviceMetrics, PricingMetrics

    clock, metrics, advice_metrics = settings.clock(), PricingMetrics(REGISTRY), AdviceMetrics(REGISTRY)
    cities, maps = load_cities(settings.city_folders), MapMetrics(REGISTRY)
    redis = await connect_redis(settings)
    database = await open_for_role(settings, "pricer")
    record, store = SqlPriceRecord(database), SqlRideStore(database)
    try:
        async with joined_owners(settings, OWNERS_GROUP) as ownership:
            app = build_faust_app(
                "hexhail-pricer",
                broker_url=settings.broker_url,
                data_dir=settings.data_dir / "pricer",
                session_timeout_s=settings.broker_session_timeout_s,
                security=settings.security(),
            )
            for city, folder in zip(cities, settings.city_folders, strict=True):
                learned = LearnedFiles(city.region.region_id)
                region = PricedRegion(redis, store, record, metrics, advice_metrics, folder, learned)
                _attach_region(app, region, city, clock, ownership)
                watch_map(app, CityWatch("pricer", folder, city, redis, region.take_over, maps, learned))
            _watch_schema(app, database)
            await run_faust_app(app, readiness)
    finally:
        await database.close()
        await redis.aclose()


def _attach_region(
    app: faust.App, region: PricedRegion, city: City, clock: CityClock, ownership: KafkaOwnership
) -> None:
    """Have the app count messages of a region, and set its prices and advise its drivers while it owns the region."""
    from pricing.adapters.faust_agent import Advising, Pricing, attach, attach_advice
    from pricing.model.advice import RepositioningParams

    async def owns() -> bool:
        return await ownership.owns(city.region.region_id)

    pricing, advising = region.on(city)
    region.pricing = Pricing(pricing)
    attach(
        app,
        RIDE_EVENTS_TOPIC,
        QUOTES_TOPIC,
        region.pricing,
        now_s=clock.now_s,
        wall_duration_s=clock.wall_duration_s,
        owns=owns,
    )
    if advising is not None:
        region.advising = Advising(advising)
        attach_advice(
            app,
            region.advising,
            every_s=read_params(city.sections, RepositioningParams).every_s,
            now_s=clock.now_s,
            wall_duration_s=clock.wall_duration_s,
            owns=owns,
        )


@dataclass
class PricedRegion:
    """The pricing and advice services of one region, on its current map."""

    redis: Redis
    store: SqlRideStore
    record: PriceRecord
    metrics: PricingMetrics
    advice_metrics: AdviceMetrics
    folder: Path
    learned: LearnedFiles
    pricing: Pricing | None = None
    advising: Advising | None = None

    def on(self, city: City) -> tuple[PricingService, AdviceService | None]:
        """Build the services on this map. Raises the errors of the files in the city's folder."""
        from pricing.model.advice import RepositioningParams

        supply = _supply(city, self.redis, self.store.free_drivers)
        pricing = _pricing(city, self.redis, supply, self.record, self.metrics)
        advice = read_params(city.sections, RepositioningParams)
        if not advice.is_on:
            return pricing, None
        return pricing, _advice(city, self.folder, advice, self.redis, supply, self.advice_metrics, self.learned)

    async def take_over(self, city: City) -> None:
        """Price on a new map; prices and demand continue from the stores. Advice is switched only by a restart."""
        pricing, advising = await asyncio.to_thread(self.on, city)
        if self.pricing is not None:
            await self.pricing.replace(pricing)
        if self.advising is not None and advising is not None:
            self.advising.service = advising


def _watch_schema(app: faust.App, database: Database) -> None:
    """Have the app end when this process cannot live with the tables any more."""

    async def watch() -> None:
        await watch_schema(database)

    app.task()(watch)


def watch_map(app: faust.App, watch: CityWatch) -> None:
    """Let the app poll the map of a city; errors are logged."""

    async def look_until_stopped() -> None:
        while not app.should_stop:
            try:
                await watch.look()
            except Exception as error:  # Redis is away: the map in use stays
                log.warning("map_not_looked_at", error=repr(error))
            await app.sleep(REPORT_EVERY_S)

    app.task()(look_until_stopped)


def _supply(city: City, redis: Redis, free_drivers: FreeDrivers) -> Supply:
    """Return the supply of a city; drivers are idle by the same limit as in its matching rounds."""
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
    city: City,
    folder: Path,
    params: RepositioningParams,
    redis: Redis,
    supply: Supply,
    metrics: AdviceMetrics,
    learned: LearnedFiles,
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
    usual = None
    if params.demand_profile:
        path = folder / params.demand_profile
        usual = learned.use(path, lambda: DemandProfile.load(path, city, zones))
    profile = None if usual is None else usual.requests
    return AdviceService(
        city.region,
        AdvicePlanner(city, zones, params, solve_transport, half_life_s, profile),
        half_life_s=half_life_s,
        signals=RedisSignals(redis, region_id, city.surge_cells, half_life_s),
        supply=supply,
        board=RedisAdvice(redis, region_id),
        metrics=metrics,
    )
