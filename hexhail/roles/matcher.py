"""The matcher role: runs the matching rounds of the regions that this process owns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backing.faust_worker import use_uvloop
from backing.readiness import Readiness
from hexhail.cities.learned_files import LearnedFiles
from hexhail.cities.learned_traffic import traffic_watch
from hexhail.cities.served import load_cities
from hexhail.runtime.connections import connect_redis, joined_owners
from hexhail.runtime.database import open_for_role
from hexhail.runtime.map_reports import REPORT_EVERY_S
from hexhail.runtime.repeating import Step, repeat_until_stopped
from hexhail.runtime.retention import Pruner, RecordedRounds, deletions, recorded_rounds
from hexhail.runtime.schema_watch import LOOK_EVERY_S as SCHEMA_EVERY_S
from hexhail.runtime.schema_watch import check_schema
from hexhail.runtime.settings import Settings
from hexhail.runtime.warm_up import warm_matching
from kernel.section_reader import read_params

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from dispatch.adapters.sql.store import SqlRideStore
    from dispatch.matching.policy import MatchingPolicy
    from dispatch.metrics import AcceptanceMetrics, EndingMetrics, MatchingMetrics
    from dispatch.ports import Ownership, RoundRecords
    from dispatch.service.matching import MatchingService
    from dispatch.service.outbox_reader import OutboxReader
    from geo.city import City
    from hexhail.runtime.city_watch import MapMetrics
    from traffic.service.watch import TrafficWatch
    from workflows.end_ride import OverdueRides


#: Consumer group whose members share out the regions' rounds.
GROUP = "hexhail-matcher"


def run_matcher(settings: Settings, readiness: Readiness) -> None:
    """Run the matching rounds of the regions while this process owns them."""
    use_uvloop()
    asyncio.run(_match(settings, readiness))


async def _match(settings: Settings, readiness: Readiness) -> None:
    from prometheus_client import REGISTRY

    from dispatch.adapters.sql.store import SqlRideStore
    from dispatch.metrics import AcceptanceMetrics, EndingMetrics, MatchingMetrics
    from hexhail.runtime.city_watch import MapMetrics

    metrics, maps = MatchingMetrics(REGISTRY), MapMetrics(REGISTRY)
    cities = load_cities(settings.city_folders)
    for city in cities:
        warm_matching(city)
    redis = await connect_redis(settings)
    database = await open_for_role(settings, "matcher")
    store = SqlRideStore(database, metrics.set_aside)
    tools = Tools(settings, redis, store, AcceptanceMetrics(REGISTRY), metrics, EndingMetrics(REGISTRY))
    try:
        async with joined_owners(settings, GROUP) as ownership:
            regions = [
                MatchedRegion(tools, city, folder, ownership, maps)
                for city, folder in zip(cities, settings.city_folders, strict=True)
            ]
            for region in regions:
                await region.traffic.look()
            schema: Step = (lambda: check_schema(database), lambda: SCHEMA_EVERY_S)
            pruner = _pruner(settings)
            pruning: Step = (pruner.step, lambda: pruner.wait_s)
            steps = (step for region in regions for step in region.steps())
            await repeat_until_stopped(readiness, schema, pruning, *steps)
            for region in regions:
                await region.service.finish()
    finally:
        await database.close()
        await redis.aclose()


def _pruner(settings: Settings) -> Pruner:
    """Return what deletes recorded rounds that are too old or too much; each matcher does, for the files are local."""
    from prometheus_client import REGISTRY, Gauge

    folder = recorded_rounds(settings)
    if folder is None:
        return Pruner([])
    size = Gauge("hexhail_recorded_rounds_bytes", "Bytes that the recorded rounds take on the disk of this matcher.")
    return Pruner([RecordedRounds(folder, size)], deletions(REGISTRY))


@dataclass(frozen=True, slots=True)
class Tools:
    """The dependencies that the regions of a process share."""

    settings: Settings
    redis: Redis
    store: SqlRideStore
    acceptance: AcceptanceMetrics
    metrics: MatchingMetrics
    endings: EndingMetrics


class MatchedRegion:
    """The matching rounds of one region on its current map."""

    def __init__(self, tools: Tools, city: City, folder: Path, ownership: Ownership, maps: MapMetrics) -> None:
        from dispatch.adapters.round_files import FileRoundRecords
        from dispatch.service.owned_rounds import OwnedRounds
        from hexhail.runtime.city_watch import CityWatch

        self._tools = tools
        self._folder = folder
        self._region_id = city.region.region_id
        self._ownership = ownership
        record_dir = tools.settings.record_dir
        self._records = FileRoundRecords(record_dir, self._region_id) if record_dir else None
        self._learned = LearnedFiles(self._region_id)
        self.traffic, self.service, self._overdue = self._on(city)
        self._rounds = OwnedRounds(city.region.region_id, ownership, self.service, tools.metrics)
        self._watch = CityWatch("matcher", folder, city, tools.redis, self._take_over, maps, self._learned)

    def steps(self) -> list[Step]:
        """Return the periodic steps: rounds, and polls of traffic and map, each with the wall seconds to the next."""
        from traffic.service.watch import LOOK_EVERY_S
        from workflows.end_ride import LOOK_EVERY_S as ENDINGS_EVERY_S

        clock = self._tools.settings.clock()
        return [
            (lambda: self.traffic.look(), lambda: LOOK_EVERY_S),
            (self._watch.look, lambda: REPORT_EVERY_S),
            (self._rounds.step, lambda: clock.wall_duration_s(self.service.window_s)),
            (self._end_overdue, lambda: clock.wall_duration_s(ENDINGS_EVERY_S)),
        ]

    async def _end_overdue(self) -> int:
        """End the overdue rides of the region if this process owns it."""
        return await self._overdue.look() if await self._ownership.owns(self._region_id) else 0

    async def _take_over(self, city: City) -> None:
        """Run rounds on a new map. Raises the errors of the files in the city's folder."""
        traffic, service, overdue = await asyncio.to_thread(self._on, city)
        await traffic.look()
        before = self.service
        self.traffic, self.service, self._overdue = traffic, service, overdue
        self._rounds.replace(service)
        await before.finish()

    def _on(self, city: City) -> tuple[TrafficWatch, MatchingService, OverdueRides]:
        tools = self._tools
        traffic = traffic_watch(city, self._folder, tools.redis, tools.settings.clock().now_s, self._learned)
        matching = _matching(tools, city, self._folder, traffic, self._records, self._learned)
        return traffic, matching, _overdue(tools, city)


def _overdue(tools: Tools, city: City) -> OverdueRides:
    """Return the service that ends overdue rides of a region."""
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.model import DispatchParams
    from dispatch.service.rides import RideService
    from pricing.adapters.redis_tariffs import RedisTariffs
    from pricing.service.fares import FareService
    from workflows.end_ride import EndRideWorkflow, OverdueRides

    redis, store, region_id = tools.redis, tools.store, city.region.region_id
    params, now = read_params(city.sections, DispatchParams), tools.settings.clock().now_s
    leases = RedisLeases(redis, region_id, lambda: store.newest_token(region_id))
    ending = EndRideWorkflow(
        RideService(store, leases, params, now), FareService(city.region, city.graph, RedisTariffs(redis, region_id))
    )
    count = tools.endings.counts_of(region_id)
    return OverdueRides(ending, params, lambda: store.live_rides(region_id), now, count)


def _matching(
    tools: Tools,
    city: City,
    folder: Path,
    traffic: TrafficWatch,
    records: RoundRecords | None,
    learned: LearnedFiles,
) -> MatchingService:
    from backing.left_out import LeftOut
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.adapters.redis_rounds import RedisRoundLog
    from dispatch.adapters.redis_supply import RedisSupply
    from dispatch.adapters.redis_traces import RedisTraceLog
    from dispatch.model import DispatchParams
    from dispatch.service.matching import MatchingService
    from dispatch.service.rides import RideService
    from geo.cells import cells_to_strings
    from hexhail.cities.policy import city_policy

    redis, store, region_id = tools.redis, tools.store, city.region.region_id
    clock, params = tools.settings.clock(), read_params(city.sections, DispatchParams)
    policy = city_policy(folder, city.graph, params, learned)
    leases = RedisLeases(redis, region_id, lambda: store.newest_token(region_id))
    return MatchingService(
        region_id=region_id,
        graph=city.graph,
        policy=policy,
        params=params,
        store=store,
        rides=RideService(store, leases, params, clock.now_s),
        supply=RedisSupply(
            redis, region_id, cells_to_strings(city.search_cells), LeftOut("driver", tools.metrics.set_aside)
        ),
        leases=leases,
        round_log=RedisRoundLog(redis, region_id),
        now=clock.now_s,
        trace_log=RedisTraceLog(redis, region_id),
        outbox_reader=_outbox_reader(tools, city, policy),
        records=records,
        roads=traffic.roads,
        places=city.places,
        metrics=tools.metrics,
    )


def _outbox_reader(tools: Tools, city: City, policy: MatchingPolicy) -> OutboxReader | None:
    """Return the reader that feeds a learning policy; None for a policy that does not learn."""
    from dispatch.adapters.redis_acceptance import RedisAnswersMemory
    from dispatch.matching.policy import LearningPolicy
    from dispatch.service.outbox_reader import OutboxReader

    if not isinstance(policy, LearningPolicy):
        return None
    region_id = city.region.region_id
    return OutboxReader(
        region_id=region_id,
        graph=city.graph,
        policy=policy,
        tail=tools.store,
        memory=RedisAnswersMemory(tools.redis, region_id),
        metrics=tools.acceptance,
        now=tools.settings.clock().now_s,
    )
