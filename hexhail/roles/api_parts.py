"""The connections and services that all routes of an API process share."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import httpx
import numpy as np
import prometheus_client
from aiokafka import AIOKafkaProducer
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.abuse.redis_counts import RedisPersonCounts
from api.abuse.redis_rates import RedisRates
from api.abuse.request_limits import RequestLimits
from api.auth.redis_revocations import RedisRevocations
from api.auth.revocation_watch import RevocationWatch
from api.auth.sign_in import SignIn
from api.auth.sql.revocations import LastingRevocations, SqlRevocations
from api.auth.tokens import Tokens
from api.cursors import LogState
from api.inboxes import InboxReads
from api.position_watch import PositionWatch
from api.remembered import Remembered
from api.streams.sockets import end
from api.supply import RecentSupply
from backing.inboxes.redis_reader import RedisInboxReader, listen_for_news
from backing.probes import probe_redis
from backing.sql.database import Database
from backing.sql.failures import DatabaseUnavailable
from backing.sql.replica import HistorySource
from dispatch.adapters.redis_leases import RedisLeases
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.adapters.sql.driver_list import SqlDriverList
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import DispatchParams, LimitParams
from dispatch.service.rides import RideService
from geo.cells import CellNumbers, cells_to_strings, latlng_to_cells
from geo.city import CITY_FILE, City
from hexhail.cities.learned_files import LearnedFiles
from hexhail.cities.learned_traffic import traffic_watch
from hexhail.cities.sections import load_checked_city
from hexhail.runtime.connections import connect_producer, connect_redis, ensure_topics, region_partitions
from hexhail.runtime.database import open_for_role, open_history
from hexhail.runtime.schema_watch import watch_schema
from hexhail.runtime.settings import Settings
from hexhail.runtime.token_keys import TokenKeysWatch, load_issuers, load_token_keys
from kernel.clock import CityClock
from kernel.contracts import redis_keys
from kernel.contracts.partitions import RegionPartitions
from kernel.contracts.topics import PINGS_TOPIC, QUOTES_TOPIC
from kernel.section_reader import read_params
from location_ingest.adapters.kafka_pings import KafkaPings
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.adapters.redis_standings import RedisStandings
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import IngestParams
from location_ingest.service import PingGateway
from pricing.adapters.kafka_quotes import KafkaQuotes
from pricing.adapters.redis_prices import RedisPrices
from pricing.adapters.redis_tariffs import RedisTariffs
from pricing.adapters.tariff_file import TariffFile
from pricing.metrics import QuoteMetrics, TariffMetrics
from pricing.model.surge import SurgeParams
from pricing.service.fares import FareService
from pricing.service.tariff_watch import TariffWatch
from traffic.service.watch import TrafficWatch
from workflows.limits import RiderLimits


@dataclass(frozen=True, slots=True)
class Servers:
    """The connections of the process and the city that it serves."""

    settings: Settings
    clock: CityClock
    city: City
    dispatch: DispatchParams
    redis: Redis
    database: Database
    #: For reads of history and figures alone.
    history: HistorySource
    producer: AIOKafkaProducer
    partitions: RegionPartitions
    learned: LearnedFiles

    @property
    def region_id(self) -> str:
        """The region that is served."""
        return self.city.region.region_id


@dataclass(frozen=True, slots=True)
class Parts:
    """The services that routes of several kinds share."""

    store: SqlRideStore
    rides: RideService
    drivers: SqlDriverList
    limits: RiderLimits
    supply: RecentSupply
    gateway: PingGateway
    positions: PositionWatch
    inboxes: InboxReads
    prices: RedisPrices
    tariff: TariffWatch
    fares: FareService
    traffic: TrafficWatch
    quote_log: KafkaQuotes
    tokens: Tokens
    #: None where no issuer is trusted.
    sign_in: SignIn | None
    revocations: RevocationWatch
    request_limits: RequestLimits
    #: Raises an error if Redis refuses writes.
    redis_writes: Remembered
    #: Error type -> the dependency that is unavailable when it is raised.
    outages: Mapping[type[Exception], str]


class _Inboxes(RedisInboxReader):
    """The reader of inboxes, with the state of the log in the API's terms."""

    async def look_at_log(self, positions: Collection[tuple[str, int]]) -> tuple[LogState, set[tuple[str, int]]]:
        """See `InboxReader.look_at_log`."""
        newest, restored, kept = await self.look(positions)
        return LogState(newest, restored), kept


async def connect_servers(settings: Settings, stack: AsyncExitStack) -> Servers:
    """Connect to Redis, the SQL database and the broker; the stack closes them. Raises DependencyMissing."""
    city = load_checked_city(settings.city_dir)
    redis = await connect_redis(settings)
    stack.push_async_callback(redis.aclose)
    database = await stack.enter_async_context(await open_for_role(settings, "api"))
    history = await open_history(settings, database, stack)
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    stack.push_async_callback(producer.stop)
    dispatch = read_params(city.sections, DispatchParams)
    partitions, learned = region_partitions(settings), LearnedFiles(city.region.region_id)
    return Servers(settings, settings.clock(), city, dispatch, redis, database, history, producer, partitions, learned)


async def start_parts(servers: Servers, stack: AsyncExitStack) -> Parts:
    """Build the services and start their background tasks; the stack ends them. Raises TariffRefused."""
    city, redis, region_id, now = servers.city, servers.redis, servers.region_id, servers.clock.now_s
    store, drivers = SqlRideStore(servers.database), SqlDriverList(servers.database, region_id)
    leases = RedisLeases(redis, region_id, lambda: store.newest_token(region_id))
    tariffs, limits = RedisTariffs(redis, region_id), read_params(city.sections, LimitParams)
    parts = Parts(
        store=store,
        rides=RideService(store, leases, servers.dispatch, now, drivers, open_rides_max=limits.open_rides_max),
        drivers=drivers,
        limits=RiderLimits(limits, RedisPersonCounts(redis, region_id), servers.clock.wall_duration_s),
        supply=_supply(servers, store),
        gateway=_gateway(servers),
        positions=_position_watch(servers),
        inboxes=InboxReads(_Inboxes(redis)),
        prices=RedisPrices(redis, region_id, read_params(city.sections, SurgeParams)),
        tariff=_tariff_watch(servers, tariffs),
        fares=FareService(city.region, city.graph, tariffs),
        traffic=traffic_watch(city, servers.settings.city_dir, redis, now, servers.learned),
        quote_log=_quote_log(servers),
        tokens=Tokens(load_token_keys(servers.settings)),
        sign_in=await _sign_in(servers.settings, stack),
        revocations=RevocationWatch(LastingRevocations(SqlRevocations(servers.database), RedisRevocations(redis))),
        request_limits=RequestLimits(RedisRates(redis), servers.settings.request_limit_scale),
        redis_writes=Remembered(lambda: probe_redis(redis, redis_keys.write_probe(region_id))),
        outages=outages(),
    )
    stack.push_async_callback(parts.quote_log.close)
    stack.push_async_callback(parts.gateway.close)
    await parts.tariff.start()
    await parts.traffic.look()
    await parts.revocations.start()
    news, keys = listen_for_news(redis, parts.inboxes.ring), TokenKeysWatch(servers.settings, parts.tokens.use)
    lasting = (
        *(parts.inboxes.run(), news, parts.tariff.watch(), parts.revocations.run(), parts.positions.run()),
        keys.run(),
        watch_schema(servers.database),
    )
    stack.push_async_callback(end, [asyncio.create_task(work) for work in lasting])
    return parts


async def _sign_in(settings: Settings, stack: AsyncExitStack) -> SignIn | None:
    issuers = load_issuers(settings)
    if not issuers:
        return None
    # No redirects: an issuer's keys come from where it says, or not at all.
    http = await stack.enter_async_context(httpx.AsyncClient(follow_redirects=False))
    return SignIn(issuers, http)


def _supply(servers: Servers, store: SqlRideStore) -> RecentSupply:
    city = servers.city
    positions = RedisSupply(servers.redis, servers.region_id, cells_to_strings(city.search_cells)).positions
    return RecentSupply(positions, store.free_drivers, city.graph, servers.dispatch, servers.clock.now_s)


async def parts_on(servers: Servers, parts: Parts) -> Parts:
    """Return the parts with those rebuilt that depend on the map, for servers whose city has a new one.

    Raises what is wrong with the files beside it, and what Redis raises.
    """
    city, redis = servers.city, servers.redis
    folder, now = servers.settings.city_dir, servers.clock.now_s
    traffic = await asyncio.to_thread(traffic_watch, city, folder, redis, now, servers.learned)
    await traffic.look()
    parts.gateway.follow(region_of_cells(city))
    fares = FareService(city.region, city.graph, RedisTariffs(redis, servers.region_id))
    return replace(parts, supply=_supply(servers, parts.store), fares=fares, traffic=traffic)


def _tariff_watch(servers: Servers, archive: RedisTariffs) -> TariffWatch:
    file = TariffFile(servers.settings.city_dir / CITY_FILE)
    return TariffWatch(file, servers.region_id, archive, TariffMetrics(prometheus_client.REGISTRY))


def _quote_log(servers: Servers) -> KafkaQuotes:
    metrics = QuoteMetrics(prometheus_client.REGISTRY)
    return KafkaQuotes(servers.producer, QUOTES_TOPIC, servers.partitions.home, metrics)


def _position_watch(servers: Servers) -> PositionWatch:
    standings, region_id = RedisStandings(servers.redis), servers.region_id
    return PositionWatch(
        lambda driver_ids: standings.read(region_id, driver_ids), servers.clock.now_s, servers.dispatch.stale_after_s
    )


def region_of_cells(city: City) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.int64]]:
    """Return a function from points (n,) to the number of their region: 0 for the only one, -1 outside."""
    cells, resolution = CellNumbers.of(city.search_cells), city.region.search_resolution

    def region_of(lat_deg: NDArray[np.float64], lng_deg: NDArray[np.float64]) -> NDArray[np.int64]:
        number = cells.find(latlng_to_cells(lat_deg, lng_deg, resolution))
        return np.where(number >= 0, 0, -1)

    return region_of


def _gateway(servers: Servers) -> PingGateway:
    city = servers.city
    return PingGateway(
        KafkaPings(servers.producer, PINGS_TOPIC, servers.partitions.pings),
        RedisCells(servers.redis),
        [servers.region_id],
        region_of_cells(city),
        metrics=GatewayMetrics(prometheus_client.REGISTRY),
        ingest_params=read_params(city.sections, IngestParams),
    )


def outages() -> dict[type[Exception], str]:
    """Return the errors that clients raise when their server is unavailable or refuses to serve."""
    return {
        RedisError: "Redis server",
        sqlite3.OperationalError: "database",
        DatabaseUnavailable: "database",
        ConnectionError: "servers",
        TimeoutError: "servers",
    }
