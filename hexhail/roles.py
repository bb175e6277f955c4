"""The composition root: one function per process role, the only place where settings, tools and engines meet."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

from hexhail import limits, logs
from hexhail.connections import (
    DEAD_PINGS_TOPIC,
    PINGS_TOPIC,
    RIDE_EVENTS_TOPIC,
    DependencyMissing,
    connect_producer,
    connect_redis,
    ensure_topics,
    open_store,
)
from hexhail.settings import Settings
from hexhail.streams import build_faust_app, partition_of, run_faust_app, use_uvloop

if TYPE_CHECKING:
    import numpy as np
    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from api.edges import Edges
    from api.streams import Bell
    from dispatch.adapters.sql.postgres_store import PostgresStore
    from dispatch.adapters.sql.sqlite_store import SqliteStore
    from geo.city import City

log = structlog.get_logger(__name__)

#: How often the relay looks for news when there are none: what an event waits at most, and a percent of a core.
RELAY_IDLE_S = 0.02
#: Wall wait after something failed that should work again by itself.
RETRY_S = 0.5


def run_api(settings: Settings) -> None:
    """Serve riders, drivers and operators."""
    import uvicorn

    from api.app import build_app, serve_map
    from api.streams import FRAME_BYTES_MAX
    from api.websocket_protocol import BoundedWebSockets

    missing: list[DependencyMissing] = []

    @asynccontextmanager
    async def open_edges(bell: Bell) -> AsyncIterator[Edges]:
        try:
            async with _open_edges(settings, bell) as edges:
                yield edges
        except DependencyMissing as error:
            missing.append(error)
            raise

    app = build_app(open_edges)
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
async def _open_edges(settings: Settings, bell: Bell) -> AsyncIterator[Edges]:
    from api.edges import Edges
    from api.inboxes import InboxReads
    from api.sockets import end
    from api.supply import RecentSupply
    from api.tokens import Tokens
    from dispatch.adapters.redis_inboxes import RedisInboxReader, listen_for_news
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.adapters.redis_supply import RedisSupply
    from dispatch.model import DispatchParams
    from dispatch.service.rides import RideService
    from geo.cells import cells_to_strings
    from geo.city import load_city
    from pricing.adapters.redis_prices import RedisPrices
    from pricing.adapters.signed_quotes import QuoteSigner
    from pricing.model import SurgeParams, Tariff
    from pricing.quoting import QuoteService

    async with AsyncExitStack() as stack:
        clock, params = settings.clock(), DispatchParams()
        city = load_city(settings.city_dir)
        region = city.region.region_id
        redis = await connect_redis(settings)
        stack.push_async_callback(redis.aclose)
        store = await open_store(settings.database_url)
        stack.push_async_callback(store.close)
        await ensure_topics(settings)
        producer = await connect_producer(settings)
        stack.push_async_callback(producer.stop)
        gateway = _gateway(settings, city, redis, producer)
        stack.push_async_callback(gateway.close)
        prices = RedisPrices(redis, region, SurgeParams.from_section(city.sections.get("surge", {})))
        supply = RedisSupply(redis, region, cells_to_strings(city.search_cells))
        leases = RedisLeases(redis, region, lambda: store.newest_token(region))
        news = asyncio.create_task(listen_for_news(redis, bell.ring))
        stack.push_async_callback(end, [news])
        secrets = {kid: secret.get_secret_value() for kid, secret in settings.token_secrets.items()}
        yield Edges(
            city=city,
            tokens=Tokens(secrets),
            now=clock.now_s,
            speed=clock.speed,
            rides=RideService(store, leases, params, clock.now_s),
            store=store,
            quotes=QuoteService(city.region, city.graph, Tariff.from_section(city.sections["tariff"]), prices),
            quote_signer=QuoteSigner(secrets),
            prices=prices,
            gateway=gateway,
            inboxes=InboxReads(RedisInboxReader(redis)),
            dispatch_params=params,
            supply=RecentSupply(supply.positions, store.free_drivers, city.graph, params, clock.now_s),
            figures=lambda: _figures(redis, store, region),
            checks={
                "redis": redis.ping,
                "broker": lambda: producer.client.force_metadata_update(),
                "sql": lambda: store.newest_token(region),
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


def _gateway(settings: Settings, city: City, redis: Redis, producer: AIOKafkaProducer) -> Any:
    import numpy as np
    from prometheus_client import REGISTRY

    from geo.cells import latlng_to_cells
    from location_ingest.adapters.kafka_pings import KafkaPings
    from location_ingest.adapters.redis_cells import RedisCells
    from location_ingest.metrics import GatewayMetrics
    from location_ingest.service import PingGateway

    region, cells = city.region, city.search_cells

    def region_of(lat_deg: np.ndarray, lng_deg: np.ndarray) -> Sequence[str | None]:
        inside = np.isin(latlng_to_cells(lat_deg, lng_deg, region.search_resolution), cells)
        return [region.region_id if is_inside else None for is_inside in inside.tolist()]

    ping_log = KafkaPings(producer, PINGS_TOPIC, lambda region: partition_of(region, settings.topic_partitions))
    return PingGateway(ping_log, RedisCells(redis), region_of, metrics=GatewayMetrics(REGISTRY))


async def _figures(redis: Redis, store: SqliteStore | PostgresStore, region: str) -> Any:
    from api.edges import LiveFigures
    from dispatch.adapters.redis_rounds import read_rounds

    totals, rounds, by_state, trips = await asyncio.gather(
        redis.hgetall(f"{{{region}}}:totals"),
        read_rounds(redis, region),
        store.count_rides(),
        store.latest_trips(region, 300),
    )
    waits_s = [trip.picked_up_s - trip.requested_s for trip in trips if trip.picked_up_s is not None]
    return LiveFigures(rounds, by_state, {os.fsdecode(name): int(n) for name, n in totals.items()}, waits_s)


def run_ingester(settings: Settings) -> None:
    """Pings from the topic into cells."""
    use_uvloop()
    asyncio.run(_ingest(settings))


async def _ingest(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from geo.city import load_city
    from location_ingest.adapters.faust_agent import attach
    from location_ingest.adapters.kafka_pings import KafkaDeadLetters
    from location_ingest.adapters.ping_codec import MessagePackPings
    from location_ingest.adapters.redis_cells import RedisCells
    from location_ingest.engine import IngestEngine
    from location_ingest.metrics import IngestMetrics
    from location_ingest.model import IngestParams
    from location_ingest.service import IngestService

    region = load_city(settings.city_dir).region
    metrics = IngestMetrics(REGISTRY)
    redis = await connect_redis(settings)
    await ensure_topics(settings)
    producer = await connect_producer(settings)
    service = IngestService(
        IngestEngine(IngestParams()),
        MessagePackPings(),
        RedisCells(redis),
        KafkaDeadLetters(producer, DEAD_PINGS_TOPIC),
        resolution_of_region={region.region_id: region.search_resolution},
        metrics=metrics,
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
    """Ride events into surge prices."""
    use_uvloop()
    asyncio.run(_price(settings))


async def _price(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from dispatch.model import DispatchParams
    from geo.city import load_city
    from pricing.adapters.faust_agent import attach
    from pricing.adapters.redis_prices import RedisPrices
    from pricing.adapters.redis_supply import RedisSupply
    from pricing.metrics import PricingMetrics
    from pricing.model import SurgeParams
    from pricing.service import PricingService

    city = load_city(settings.city_dir)
    region, clock = city.region, settings.clock()
    params = SurgeParams.from_section(city.sections.get("surge", {}))
    redis = await connect_redis(settings)
    await ensure_topics(settings)
    prices = RedisPrices(redis, region.region_id, params)
    service = PricingService(
        region,
        city.surge_cells,
        params,
        prices=prices,
        consumed=prices,
        supply=RedisSupply(redis, city, stale_after_s=DispatchParams().stale_after_s),
        metrics=PricingMetrics(REGISTRY),
    )
    app = build_faust_app(
        "hexhail-pricer",
        broker_url=settings.broker_url,
        data_dir=settings.data_dir / "pricer",
        session_timeout_s=settings.broker_session_timeout_s,
    )
    attach(app, RIDE_EVENTS_TOPIC, service, now_s=clock.now_s, wall_duration_s=clock.wall_duration_s)
    try:
        await run_faust_app(app)
    finally:
        await redis.aclose()


def run_matcher(settings: Settings) -> None:
    """Matching rounds of the region."""
    use_uvloop()
    asyncio.run(_match(settings))


async def _match(settings: Settings) -> None:
    from dispatch.adapters.redis_leases import RedisLeases
    from dispatch.adapters.redis_rounds import RedisRoundLog
    from dispatch.adapters.redis_supply import RedisSupply
    from dispatch.matching.optimal import OptimalPolicy
    from dispatch.model import DispatchParams
    from dispatch.service.matching import MatchingService
    from dispatch.service.rides import RideService
    from geo.cells import cells_to_strings
    from geo.city import load_city

    city, params, clock = load_city(settings.city_dir), DispatchParams(), settings.clock()
    region = city.region.region_id
    redis = await connect_redis(settings)
    store = await open_store(settings.database_url)
    leases = RedisLeases(redis, region, lambda: store.newest_token(region))
    service = MatchingService(
        region=region,
        graph=city.graph,
        policy=OptimalPolicy(city.graph),
        params=params,
        store=store,
        rides=RideService(store, leases, params, clock.now_s),
        supply=RedisSupply(redis, region, cells_to_strings(city.search_cells)),
        leases=leases,
        round_log=RedisRoundLog(redis, region),
        now=clock.now_s,
    )
    try:
        await service.start()
        await _until_stopped(service.run_round, clock.wall_duration_s(params.batch_window_s))
    finally:
        await store.close()
        await redis.aclose()


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
        await _until_stopped(service.relay_once, RELAY_IDLE_S)
    finally:
        await producer.stop()
        await store.close()
        await redis.aclose()


async def _until_stopped(step: Callable[[], Awaitable[Any]], every_s: float) -> None:
    """Take a step each `every_s` wall seconds until SIGTERM or SIGINT; a step that fails is logged and tried again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    due = loop.time()
    while not stop.is_set():
        wait_s = every_s
        try:
            await step()
        except Exception:  # a store that is away comes back; what was decided stands in SQL
            log.exception("step_failed", retry_s=RETRY_S)
            wait_s = max(every_s, RETRY_S)
        due = max(due + wait_s, loop.time())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await stop.wait()


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
    try:
        ROLES[role](settings)
    except DependencyMissing as error:
        log.error("dependency_missing", detail=str(error))  # noqa: TRY400 - the line says all there is
        print(f"hexhail {role}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
