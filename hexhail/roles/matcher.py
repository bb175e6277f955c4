"""The matcher role: runs the matching rounds of the regions that this process owns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backing.faust_worker import use_uvloop
from hexhail.cities.learned_traffic import traffic_watch
from hexhail.cities.served import load_cities
from hexhail.runtime.connections import connect_redis, joined_owners
from hexhail.runtime.database import open_database
from hexhail.runtime.repeating import Step, repeat_until_stopped
from hexhail.runtime.settings import Settings
from kernel.section_reader import read_params

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from dispatch.adapters.sql.store import SqlRideStore
    from dispatch.metrics import AcceptanceMetrics, MatchingMetrics
    from dispatch.ports import Ownership
    from dispatch.service.matching import MatchingService
    from geo.city import City
    from geo.roads.graph import RoadGraph
    from kernel.clock import CityClock


def run_matcher(settings: Settings) -> None:
    """Run the matching rounds of the regions while this process owns them."""
    use_uvloop()
    asyncio.run(_match(settings))


async def _match(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from dispatch.adapters.sql.store import SqlRideStore
    from dispatch.metrics import AcceptanceMetrics, MatchingMetrics
    from traffic.service.watch import LOOK_EVERY_S

    clock, folders, metrics = settings.clock(), settings.city_folders, AcceptanceMetrics(REGISTRY)
    matching_metrics = MatchingMetrics(REGISTRY)
    cities = load_cities(folders)
    redis = await connect_redis(settings)
    database = await open_database(settings.database_url)
    store = SqlRideStore(database, matching_metrics.set_aside)
    try:
        services: list[MatchingService] = []
        steps: list[Step] = []
        async with joined_owners(settings) as ownership:
            for city, folder in zip(cities, folders, strict=True):
                traffic = traffic_watch(city, folder, redis, clock.now_s)
                await traffic.look()
                steps.append((traffic.look, lambda: LOOK_EVERY_S))
                service = _matching(city, folder, settings, redis, store, metrics, traffic.roads, matching_metrics)
                services.append(service)
                steps.append(_rounds_of(city.region.region_id, ownership, service, clock))
                steps.append(_endings_of(city, ownership, redis, store, clock))
            await repeat_until_stopped(*steps)
            for service in services:
                await service.finish()
    finally:
        await database.close()
        await redis.aclose()


def _rounds_of(region_id: str, ownership: Ownership, service: MatchingService, clock: CityClock) -> Step:
    """The step that runs a round of a region if it is ours, and the wall seconds to the next, which the rounds say."""
    from dispatch.service.owned_rounds import OwnedRounds

    step = OwnedRounds(region_id, ownership, service).step
    return step, lambda: clock.wall_duration_s(service.window_s)


def _endings_of(city: City, ownership: Ownership, redis: Redis, store: SqlRideStore, clock: CityClock) -> Step:
    """The step that ends the overdue rides of a region if it is ours, and the wall seconds to the next."""
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.model import DispatchParams
    from dispatch.service.rides import RideService
    from pricing.adapters.redis_tariffs import RedisTariffs
    from pricing.service.fares import FareService
    from workflows.end_ride import LOOK_EVERY_S, EndRideWorkflow, OverdueRides

    region_id, params = city.region.region_id, read_params(city.sections, DispatchParams)
    leases = RedisLeases(redis, region_id, lambda: store.newest_token(region_id))
    ending = EndRideWorkflow(
        RideService(store, leases, params, clock.now_s),
        FareService(city.region, city.graph, RedisTariffs(redis, region_id)),
    )
    overdue = OverdueRides(ending, params, lambda: store.live_rides(region_id), clock.now_s)

    async def step() -> int:
        return await overdue.look() if await ownership.owns(region_id) else 0

    return step, lambda: clock.wall_duration_s(LOOK_EVERY_S)


def _matching(
    city: City,
    folder: Path,
    settings: Settings,
    redis: Redis,
    store: SqlRideStore,
    metrics: AcceptanceMetrics,
    roads: Callable[[], RoadGraph],
    matching_metrics: MatchingMetrics,
) -> MatchingService:
    from backing.left_out import LeftOut
    from dispatch.adapters.redis_acceptance import RedisAnswersMemory
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.adapters.redis_rounds import RedisRoundLog
    from dispatch.adapters.redis_supply import RedisSupply
    from dispatch.adapters.redis_traces import RedisTraceLog
    from dispatch.adapters.round_files import FileRoundRecords
    from dispatch.matching.policy import LearningPolicy
    from dispatch.model import DispatchParams
    from dispatch.service.matching import MatchingService
    from dispatch.service.outbox_reader import OutboxReader
    from dispatch.service.rides import RideService
    from geo.cells import cells_to_strings
    from hexhail.cities.policy import city_policy

    clock, params, region_id = (
        settings.clock(),
        read_params(city.sections, DispatchParams),
        city.region.region_id,
    )
    policy = city_policy(folder, city.graph, params)
    leases = RedisLeases(redis, region_id, lambda: store.newest_token(region_id))
    outbox_reader = None
    if isinstance(policy, LearningPolicy):
        outbox_reader = OutboxReader(
            region_id=region_id,
            graph=city.graph,
            policy=policy,
            tail=store,
            memory=RedisAnswersMemory(redis, region_id),
            metrics=metrics,
            now=clock.now_s,
        )
    return MatchingService(
        region_id=region_id,
        graph=city.graph,
        policy=policy,
        params=params,
        store=store,
        rides=RideService(store, leases, params, clock.now_s),
        supply=RedisSupply(
            redis, region_id, cells_to_strings(city.search_cells), LeftOut("driver", matching_metrics.set_aside)
        ),
        leases=leases,
        round_log=RedisRoundLog(redis, region_id),
        now=clock.now_s,
        trace_log=RedisTraceLog(redis, region_id),
        outbox_reader=outbox_reader,
        records=FileRoundRecords(settings.record_dir, region_id) if settings.record_dir else None,
        roads=roads,
        places=city.places,
        metrics=matching_metrics,
    )
