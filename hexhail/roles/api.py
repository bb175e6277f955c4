"""The composition root of the API: where its edges meet their tools."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from backing.kafka import partition_of
from hexhail.cities.served import check_edge
from hexhail.runtime.connections import (
    DependencyMissing,
    connect_producer,
    connect_redis,
    ensure_topics,
)
from hexhail.runtime.database import open_database
from hexhail.runtime.settings import Settings
from kernel.contracts import redis_keys
from kernel.contracts.topics import PINGS_TOPIC, QUOTES_TOPIC
from kernel.params import read_params

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from api.edges import Edges
    from backing.sql.database import Database
    from dispatch.adapters.sql.store import SqlRideStore
    from geo.city import City
    from pricing.adapters.kafka_quotes import KafkaQuotes


def run_api(settings: Settings) -> None:
    """Serve riders, drivers and operators."""
    import uvicorn

    from api.app import build_app, serve_map
    from api.streams.people import FRAME_BYTES_MAX
    from api.streams.websocket_protocol import BoundedWebSockets
    from hexhail.cities.sections import load_checked_city
    from pricing.errors import TariffRefused

    check_edge(settings.city_dir, settings.city_folders)
    # Before the server starts, for it would log a traceback.
    load_checked_city(settings.city_dir)
    missing: list[DependencyMissing | TariffRefused] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Edges]:
        try:
            async with open_edges(settings) as edges:
                yield edges
        except (DependencyMissing, TariffRefused) as error:
            missing.append(error)
            raise

    app = build_app(opened)
    serve_map(app, settings.web_dir)
    try:
        uvicorn.run(
            app,
            host=settings.api_host,
            port=settings.api_port,
            ws=BoundedWebSockets,
            ws_max_size=FRAME_BYTES_MAX,
            # Compression of thousands of sockets takes gigabytes, and frames are small.
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
        )
    except SystemExit:
        # uvicorn logs what kept it from starting and exits; who started it gets the one line that helps.
        if missing:
            raise missing[0] from None
        raise


@asynccontextmanager
async def open_edges(settings: Settings) -> AsyncIterator[Edges]:
    """Connect everything that requests may need, and close it at the end. Raises DependencyMissing."""
    from prometheus_client import REGISTRY

    from api.auth.tokens import Tokens
    from api.edges import Edges
    from api.inboxes import InboxReads
    from api.streams.sockets import end
    from api.supply import RecentSupply
    from backing.inboxes.redis_reader import RedisInboxReader, listen_for_news
    from dispatch.adapters.redis_acceptance import read_figures
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.adapters.redis_supply import RedisSupply
    from dispatch.adapters.redis_traces import read_traces
    from dispatch.adapters.sql.store import SqlRideStore
    from dispatch.model import DispatchParams
    from dispatch.service.rides import RideService
    from geo.cells import cells_to_strings
    from geo.city import CITY_FILE
    from hexhail.cities.sections import load_checked_city
    from pricing.adapters.redis_advice import RedisAdvice
    from pricing.adapters.redis_prices import RedisPrices
    from pricing.adapters.redis_tariffs import RedisTariffs
    from pricing.adapters.signed_quotes import QuoteSigner
    from pricing.adapters.sql.record import SqlPriceRecord
    from pricing.adapters.tariff_file import TariffFile
    from pricing.metrics import TariffMetrics
    from pricing.model.surge import SurgeParams
    from pricing.service.fares import FareService
    from pricing.service.quotes import QuoteService
    from pricing.service.tariff_watch import TariffWatch

    async with AsyncExitStack() as stack:
        clock, city = settings.clock(), load_checked_city(settings.city_dir)
        params = read_params(city.sections, DispatchParams)
        region_id = city.region.region_id
        redis, database, producer = await _connections(settings, stack)
        store = SqlRideStore(database)
        quote_log = _quote_log(settings, producer)
        stack.push_async_callback(quote_log.close)
        gateway = _gateway(settings, city, redis, producer)
        stack.push_async_callback(gateway.close)
        prices = RedisPrices(redis, region_id, read_params(city.sections, SurgeParams))
        supply = RedisSupply(redis, region_id, cells_to_strings(city.search_cells))
        leases = RedisLeases(redis, region_id, lambda: store.newest_token(region_id))
        inboxes = InboxReads(RedisInboxReader(redis))
        tariffs = RedisTariffs(redis, region_id)
        tariff = TariffWatch(TariffFile(settings.city_dir / CITY_FILE), region_id, tariffs, TariffMetrics(REGISTRY))
        await tariff.start()
        lasting = inboxes.run(), listen_for_news(redis, inboxes.ring), tariff.watch()
        stack.push_async_callback(end, [asyncio.create_task(work) for work in lasting])
        keys = settings.key_ring()
        yield Edges(
            city=city,
            tokens=Tokens(keys),
            now=clock.now_s,
            speed=clock.speed,
            rides=RideService(store, leases, params, clock.now_s),
            store=store,
            quotes=QuoteService(city.region, city.graph, lambda: tariff.tariff, prices, announce=quote_log.announce),
            fares=FareService(city.region, city.graph, tariffs),
            tariff=tariff,
            quote_signer=QuoteSigner(keys),
            prices=prices,
            advice=RedisAdvice(redis, region_id),
            price_record=SqlPriceRecord(database),
            gateway=gateway,
            inboxes=inboxes,
            dispatch_params=params,
            supply=RecentSupply(supply.positions, store.free_drivers, city.graph, params, clock.now_s),
            figures=lambda: _figures(redis, store, region_id),
            traces=lambda ride_id: read_traces(redis, region_id, ride_id),
            acceptance=lambda: read_figures(redis, region_id),
            checks={
                "redis": redis.ping,
                "broker": lambda: producer.client.force_metadata_update(),
                "sql": lambda: store.newest_token(region_id),
            },
            outages=_outages(),
            web_dir=settings.web_dir,
        )


def _outages() -> dict[type[Exception], str]:
    """By which errors each server's client says that it cannot reach the server."""
    import sqlite3

    from redis.exceptions import RedisError

    outages: dict[type[Exception], str] = {RedisError: "Redis server", sqlite3.OperationalError: "database"}
    with suppress(ImportError):
        import asyncpg

        outages |= {asyncpg.PostgresConnectionError: "database", asyncpg.InterfaceError: "database"}
    return outages | {ConnectionError: "servers", TimeoutError: "servers"}


async def _connections(settings: Settings, stack: AsyncExitStack) -> tuple[Redis, Database, AIOKafkaProducer]:
    """Redis, the SQL database and the broker; the stack closes them. Raises DependencyMissing."""
    redis = await connect_redis(settings)
    stack.push_async_callback(redis.aclose)
    database = await stack.enter_async_context(await open_database(settings.database_url))
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    stack.push_async_callback(producer.stop)
    return redis, database, producer


def _quote_log(settings: Settings, producer: AIOKafkaProducer) -> KafkaQuotes:
    from prometheus_client import REGISTRY

    from pricing.adapters.kafka_quotes import KafkaQuotes
    from pricing.metrics import QuoteMetrics

    def partition(region_id: str) -> int:
        return partition_of(region_id, settings.topic_partitions)

    return KafkaQuotes(producer, QUOTES_TOPIC, partition, QuoteMetrics(REGISTRY))


def _gateway(settings: Settings, city: City, redis: Redis, producer: AIOKafkaProducer) -> Any:
    import numpy as np
    from prometheus_client import REGISTRY

    from geo.cells import CellNumbers, latlng_to_cells
    from location_ingest.adapters.kafka_pings import KafkaPings
    from location_ingest.adapters.redis_cells import RedisCells
    from location_ingest.metrics import GatewayMetrics
    from location_ingest.model import IngestParams
    from location_ingest.service import PingGateway

    region, cells = city.region, CellNumbers.of(city.search_cells)

    def region_of(lat_deg: np.ndarray, lng_deg: np.ndarray) -> np.ndarray:
        number = cells.find(latlng_to_cells(lat_deg, lng_deg, region.search_resolution))
        return np.where(number >= 0, 0, -1)

    ping_log = KafkaPings(producer, PINGS_TOPIC, lambda region_id: partition_of(region_id, settings.topic_partitions))
    ingest = read_params(city.sections, IngestParams)
    metrics = GatewayMetrics(REGISTRY)
    return PingGateway(
        ping_log, RedisCells(redis), [region.region_id], region_of, metrics=metrics, ingest_params=ingest
    )


async def _figures(redis: Redis, store: SqlRideStore, region_id: str) -> Any:
    from api.edges import LiveFigures
    from dispatch.adapters.redis_rounds import read_rounds

    totals, rounds, by_state, trips = await asyncio.gather(
        redis.hgetall(redis_keys.totals(region_id)),
        read_rounds(redis, region_id),
        store.count_rides(),
        store.latest_trips(region_id, 300),
    )
    waits_s = [trip.picked_up_s - trip.requested_s for trip in trips if trip.picked_up_s is not None]
    return LiveFigures(rounds, by_state, {os.fsdecode(name): int(n) for name, n in totals.items()}, waits_s)
