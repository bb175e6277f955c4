"""The traffic role: learns travel times of edges from believed pings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backing.faust_worker import use_uvloop
from backing.kafka import bootstrap_servers
from backing.readiness import Readiness
from hexhail.cities.learned_files import LearnedFiles
from hexhail.cities.learned_traffic import city_profile
from hexhail.cities.served import common_to, load_cities
from hexhail.runtime.connections import connect_redis, joined_owners, reaching_broker, region_partitions
from hexhail.runtime.map_reports import REPORT_EVERY_S
from hexhail.runtime.repeating import Step, repeat_until_stopped
from hexhail.runtime.settings import Settings
from kernel.contracts.topics import PINGS_TOPIC
from kernel.section_reader import read_params

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from geo.city import City
    from location_ingest.adapters.kafka_believed import BelievedPings
    from traffic.metrics import TrafficMetrics
    from traffic.service.update import UpdateService

#: Consumer group whose members share out the regions whose traffic they learn.
GROUP = "hexhail-traffic-owners"
#: Wall seconds that a read waits for pings: the longest delay of an update.
READ_WAIT_S = 0.2


def run_traffic(settings: Settings, readiness: Readiness) -> None:
    """Learn travel times of edges from believed pings, for the regions that this process owns."""
    use_uvloop()
    asyncio.run(_learn(settings, readiness))


async def _learn(settings: Settings, readiness: Readiness) -> None:
    from prometheus_client import REGISTRY

    from hexhail.runtime.city_watch import CityWatch, MapMetrics
    from traffic.metrics import TrafficMetrics

    cities = load_cities(settings.city_folders)
    redis = await connect_redis(settings)
    try:
        metrics, maps = TrafficMetrics(REGISTRY), MapMetrics(REGISTRY)
        learned = {city.region.region_id: LearnedFiles(city.region.region_id) for city in cities}
        services = _services(cities, settings.city_folders, redis, metrics, learned)
        for service in services:
            service.prepare()
        async with joined_pings(settings, cities) as pings:
            learner = OwnedRegions(pings, services, settings, metrics)
            watches = [
                CityWatch(
                    "traffic",
                    folder,
                    city,
                    redis,
                    _renewal(learner, folder, redis, metrics, learned),
                    maps,
                    learned[city.region.region_id],
                )
                for city, folder in zip(cities, settings.city_folders, strict=True)
            ]
            looks: list[Step] = [(watch.look, lambda: REPORT_EVERY_S) for watch in watches]
            await repeat_until_stopped(readiness, (learner.step, lambda: 0.0), *looks)
    finally:
        await redis.aclose()


def _renewal(
    learner: OwnedRegions, folder: Path, redis: Redis, metrics: TrafficMetrics, learned: Mapping[str, LearnedFiles]
) -> Callable[[City], Awaitable[None]]:
    """Return a function that starts a service on a new map of a city; it learns from nothing."""

    def made(city: City) -> list[UpdateService]:
        services = _services([city], [folder], redis, metrics, learned)
        for service in services:
            service.prepare()
        return services

    async def take_over(city: City) -> None:
        learner.renew(city.region.region_id, await asyncio.to_thread(made, city))

    return take_over


def _services(
    cities: Sequence[City],
    folders: Sequence[Path],
    redis: Redis,
    metrics: TrafficMetrics,
    learned: Mapping[str, LearnedFiles],
) -> list[UpdateService]:
    """Return an update service for each city whose file does not switch learning off; ``learned`` is by region."""
    from traffic.adapters.redis_weights import RedisWeights
    from traffic.model import LearnedTrafficParams
    from traffic.service.update import UpdateService

    services = []
    for city, folder in zip(cities, folders, strict=True):
        params = read_params(city.sections, LearnedTrafficParams)
        if params.is_on:
            store = RedisWeights(redis, city.region.region_id, city.graph)
            profile = city_profile(city, folder, learned[city.region.region_id])
            services.append(UpdateService(city.region, city.graph, params, store, metrics, profile=profile))
    return services


@asynccontextmanager
async def joined_pings(settings: Settings, cities: Sequence[City]) -> AsyncIterator[BelievedPings]:
    """Join the learners, who share out the regions, and leave them at the end. Raises DependencyMissing."""
    from location_ingest.adapters.kafka_believed import BelievedPings
    from location_ingest.model import IngestParams

    params = common_to(IngestParams.SECTION, [read_params(city.sections, IngestParams) for city in cities])
    async with joined_owners(settings, GROUP) as ownership:
        pings = BelievedPings(
            bootstrap_servers(settings.broker_url),
            ownership,
            PINGS_TOPIC,
            region_partitions(settings).pings,
            [city.region.region_id for city in cities],
            params,
            settings.security(),
        )
        async with reaching_broker(settings, pings):
            yield pings


class OwnedRegions:
    """Feeds the services of the regions that this process owns with pings, and runs their updates when due."""

    def __init__(
        self, pings: BelievedPings, services: Sequence[UpdateService], settings: Settings, metrics: TrafficMetrics
    ) -> None:
        self._pings = pings
        self._services = {service.region_id: service for service in services}
        self._now = settings.clock().now_s
        self._metrics = metrics
        self._term_of: dict[str, int] = {}

    def renew(self, region_id: str, services: Sequence[UpdateService]) -> None:
        """Replace the services of a region from the next step on, with a new term; an empty list ends learning."""
        self._term_of.pop(region_id, None)
        self._services.pop(region_id, None)
        self._services |= {service.region_id: service for service in services}

    async def step(self) -> None:
        """Read new pings and run the updates that are due. Raises the errors of the stores; the next step continues."""
        for group in await self._pings.read(self._now(), READ_WAIT_S):
            service = self._services.get(group.region_id)
            if service is not None and group.region_id in self._term_of:
                service.take(group.driver_ids, group.values[:, :3])
        for region_id, service in list(self._services.items()):
            is_ours = self._pings.owns(region_id)
            self._metrics.owner.labels(region_id).set(is_ours)
            if not is_ours:
                self._term_of.pop(region_id, None)
                continue
            if self._term_of.get(region_id) != self._pings.term:
                await service.take_over(self._now())
                if self._services.get(region_id) is not service:  # the map changed meanwhile
                    continue
                self._term_of[region_id] = self._pings.term
            await service.update_if_due(self._now())
