"""Builds the dependencies of the API's routes, one short function per record."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import prometheus_client
import structlog
from redis.exceptions import RedisError

from api.abuse.redis_counts import read_flags
from api.edges import (
    AccessEdges,
    Aged,
    DriverControlEdges,
    DriverEdges,
    Edges,
    FeedEdges,
    HealthEdges,
    LiveFigures,
    NearbyEdges,
    OperatorEdges,
    PictureEdges,
    PriceControlEdges,
    PriceEdges,
    ReadFigures,
    RideControlEdges,
    RiderEdges,
    TrafficInForce,
)
from api.nearby import nearest_eta_s
from api.remembered import Remembered
from api.streams.sockets import end
from backing.probes import probe_broker, probe_sql
from dispatch.adapters.redis_acceptance import read_figures
from dispatch.adapters.redis_rounds import last_round, read_rounds
from dispatch.adapters.redis_traces import read_traces
from dispatch.adapters.sql.answers import SqlKeptAnswers
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import Intervened
from dispatch.ports import FreeDriver
from dispatch.service.named_driver import pickup_eta_of
from geo.city import City
from hexhail.roles.api_parts import Parts, Servers, connect_servers, parts_on, start_parts
from hexhail.runtime.city_watch import CityWatch, MapMetrics
from hexhail.runtime.map_reports import REPORT_EVERY_S
from hexhail.runtime.schema_watch import check_schema
from hexhail.runtime.settings import Settings
from kernel.contracts import redis_keys
from kernel.contracts.topics import PINGS_TOPIC, PROBES_TOPIC, QUOTES_TOPIC
from kernel.points import Place, Point
from pricing.adapters.redis_advice import RedisAdvice
from pricing.adapters.signed_quotes import QuoteSigner
from pricing.adapters.sql.record import SqlPriceRecord
from pricing.rules.price_changes import PriceChange
from pricing.service.quotes import QuoteService
from traffic.adapters.redis_weights import read_figures as read_traffic_figures
from workflows.earnings import EarningsWorkflow
from workflows.end_ride import EndRideWorkflow
from workflows.finish_ride import FinishRideWorkflow
from workflows.intervene import InterveneWorkflow
from workflows.limits import DriverSwarms
from workflows.offering import SILENT_AFTER_S, Offering
from workflows.quote import QuoteWorkflow
from workflows.request_ride import RequestRideWorkflow

log = structlog.get_logger(__name__)

#: Number of newest rides whose pickup waits operators see.
TRIPS_SHOWN = 300
#: Flags that operators see at once.
FLAGS_SHOWN = 200


@asynccontextmanager
async def open_edges(settings: Settings) -> AsyncIterator[Edges]:
    """Connect everything that requests may need, and close it at the end. Raises DependencyMissing, TariffRefused."""
    async with AsyncExitStack() as stack:
        servers = await connect_servers(settings, stack)
        parts = await start_parts(servers, stack)
        follower = MapFollower(servers, parts)
        stack.push_async_callback(follower.close)
        yield replace(edges_of(servers, parts, follower.watch), follow=follower.follow)


def edges_of(servers: Servers, parts: Parts, watch: CityWatch) -> Edges:
    """Build the edges of the parts; ``watch`` compares the map of this process with that of others."""
    figures = _figures(servers, parts)
    return Edges(
        access=_access_edges(servers, parts),
        rider=_rider_edges(servers, parts),
        nearby=NearbyEdges(servers.city.region, parts.traffic.roads, parts.supply, servers.dispatch.pickup_eta_s_max),
        driver=_driver_edges(servers, parts),
        feeds=_feed_edges(servers, parts),
        prices=PriceEdges(servers.city.region, parts.prices, parts.tariff, servers.clock.now_s),
        price_control=_price_control_edges(servers, parts),
        operator=_operator_edges(servers, parts, figures),
        driver_control=DriverControlEdges(parts.drivers, parts.rides, servers.clock.now_s),
        ride_control=_ride_control_edges(servers, parts),
        picture=_picture_edges(servers, parts, figures),
        health=_health_edges(servers, parts, watch),
    )


class MapFollower:
    """Rebuilds what depends on the map when the map changes, and follows the traffic on the current map."""

    def __init__(self, servers: Servers, parts: Parts) -> None:
        self._servers = servers
        self._parts = parts
        self._use: Callable[[Edges], None] = lambda edges: None
        self._watching = asyncio.create_task(parts.traffic.watch())
        limits = parts.limits
        swarms = DriverSwarms(limits.params, limits.counts, self._idle_drivers, servers.clock.now_s)
        self._swarms = asyncio.create_task(swarms.run())
        folder, metrics = servers.settings.city_dir, MapMetrics(prometheus_client.REGISTRY)
        self.watch = CityWatch("api", folder, servers.city, servers.redis, self._take_over, metrics, servers.learned)

    async def follow(self, use: Callable[[Edges], None]) -> None:
        """Poll the map until cancelled and call ``use`` with the edges of each new one."""
        self._use = use
        while True:
            try:
                await self.watch.look()
            except Exception as error:  # Redis is away: the map in use stays
                log.warning("map_not_looked_at", region_id=self._servers.region_id, error=repr(error))
            await asyncio.sleep(REPORT_EVERY_S)

    async def close(self) -> None:
        """Stop what runs in the background."""
        await end([self._watching, self._swarms])

    async def _idle_drivers(self) -> list[tuple[Point, FreeDriver]]:
        """Where the idle drivers are on the current map, and what they did with offers."""
        recent = await self._parts.supply.drivers()
        points = map(Point, *(axis.tolist() for axis in recent.idle_deg))
        return [(point, recent.free[name]) for point, name in zip(points, recent.supply.driver_id, strict=True)]

    async def _take_over(self, city: City) -> None:
        servers = replace(self._servers, city=city)
        parts = await parts_on(servers, self._parts)
        await end([self._watching])
        self._watching = asyncio.create_task(parts.traffic.watch())
        self._servers, self._parts = servers, parts
        self._use(edges_of(servers, parts, self.watch))


def _access_edges(servers: Servers, parts: Parts) -> AccessEdges:
    kept = SqlKeptAnswers(servers.database)
    return AccessEdges(parts.tokens, parts.sign_in, parts.revocations, parts.outages, kept, parts.request_limits)


def _rider_edges(servers: Servers, parts: Parts) -> RiderEdges:
    region, now, signer = servers.city.region, servers.clock.now_s, QuoteSigner(servers.settings.key_ring())
    roads, eta_s_max = parts.traffic.roads, servers.dispatch.pickup_eta_s_max

    async def pickup_eta_s(pickup: Point) -> float | None:
        drivers = await parts.supply.drivers()
        # In a thread: the search releases the GIL and takes milliseconds in a large city.
        return await asyncio.to_thread(nearest_eta_s, drivers, roads(), pickup, eta_s_max)

    places, offering = servers.city.places, Offering(parts.redis_writes.refusal, _silent_s(servers))
    quotes = QuoteService(
        region,
        roads,
        lambda: parts.tariff.tariff,
        parts.prices,
        announce=parts.quote_log.announce,
        map_id=places.map_id,
    )
    return RiderEdges(
        quotes=QuoteWorkflow(quotes, signer, pickup_eta_s, now, parts.limits),
        requests=RequestRideWorkflow(signer, parts.rides, now, places, offering, parts.limits),
        rides=parts.rides,
        offering=offering,
        limits=parts.limits,
        now=now,
    )


def _silent_s(servers: Servers) -> Callable[[], Awaitable[float | None]]:
    """Return a function for the wall seconds since the region's last round: None if unknown or Redis is unavailable."""

    async def silent_s() -> float | None:
        try:
            last = await last_round(servers.redis, servers.region_id)
        except (RedisError, OSError):
            return None
        return None if last is None else servers.clock.wall_duration_s(servers.clock.now_s() - last.at_s)

    return silent_s


def _driver_edges(servers: Servers, parts: Parts) -> DriverEdges:
    return DriverEdges(
        rides=parts.rides,
        finishing=FinishRideWorkflow(parts.rides, parts.fares, tuple(parts.outages)),
        ending=EndRideWorkflow(parts.rides, parts.fares),
        earnings=EarningsWorkflow(parts.rides, parts.fares),
        advice=RedisAdvice(servers.redis, servers.region_id),
        now=servers.clock.now_s,
    )


def _feed_edges(servers: Servers, parts: Parts) -> FeedEdges:
    return FeedEdges(
        gateway=parts.gateway,
        positions=parts.positions,
        inboxes=parts.inboxes,
        advice=RedisAdvice(servers.redis, servers.region_id),
        now=servers.clock.now_s,
    )


def _price_control_edges(servers: Servers, parts: Parts) -> PriceControlEdges:
    region = servers.city.region

    async def history(cell: int, since_s: float, limit: int) -> Aged[list[PriceChange]]:
        source = await servers.history.choose()
        changes = await SqlPriceRecord(source.database).history(region.region_id, cell, since_s, limit)
        return Aged(changes, source.age_s)

    return PriceControlEdges(region, parts.prices, SqlPriceRecord(servers.database), history, servers.clock.now_s)


def _operator_edges(servers: Servers, parts: Parts, figures: ReadFigures) -> OperatorEdges:
    redis, region_id = servers.redis, servers.region_id

    async def read_traffic() -> TrafficInForce:
        return TrafficInForce(parts.traffic.source, await read_traffic_figures(redis, region_id))

    return OperatorEdges(
        city=servers.city,
        speed=servers.clock.speed,
        tariff=parts.tariff,
        rides=parts.store,
        figures=figures,
        traces=lambda ride_id: read_traces(redis, region_id, ride_id),
        acceptance=lambda: read_figures(redis, region_id),
        traffic=read_traffic,
        flags=lambda: read_flags(redis, region_id, FLAGS_SHOWN),
        now=servers.clock.now_s,
    )


def _ride_control_edges(servers: Servers, parts: Parts) -> RideControlEdges:
    places, region_id = servers.city.places, servers.region_id

    async def interventions(ride_id: str | None, limit: int) -> Aged[list[Intervened]]:
        source = await servers.history.choose()
        return Aged(await SqlRideStore(source.database).interventions(region_id, ride_id, limit), source.age_s)

    async def approach_s(driver_id: str, pickup: Place, seats: int) -> float:
        recent, roads = await parts.supply.drivers(age_s_max=0.0), parts.traffic.roads()
        return pickup_eta_of(driver_id, pickup, seats, recent.free, recent.supply, roads)

    return RideControlEdges(
        rides=parts.rides,
        intervening=InterveneWorkflow(parts.rides, parts.fares, lambda point: places.at([point])[0], approach_s),
        interventions=interventions,
    )


def _picture_edges(servers: Servers, parts: Parts, figures: ReadFigures) -> PictureEdges:
    return PictureEdges(
        city=servers.city,
        supply=parts.supply,
        stale_after_s=servers.dispatch.stale_after_s,
        rides=parts.store,
        prices=parts.prices,
        figures=figures,
        outages=parts.outages,
        now=servers.clock.now_s,
    )


async def _both(first: Callable[[], Awaitable[Any]], second: Callable[[], Awaitable[Any]]) -> None:
    await first()
    await second()


def _health_edges(servers: Servers, parts: Parts, watch: CityWatch) -> HealthEdges:
    partition = servers.partitions.home(servers.region_id)
    pings = [(PINGS_TOPIC, number) for number in servers.partitions.pings(servers.region_id)]
    needed = [*pings, (QUOTES_TOPIC, partition)]
    broker_writes = Remembered(lambda: probe_broker(servers.producer, PROBES_TOPIC, partition, needed))
    sql_writes = Remembered(lambda: _both(lambda: probe_sql(servers.database), lambda: check_schema(servers.database)))

    async def matching() -> str:
        silent_s = await _silent_s(servers)()
        if silent_s is None:
            return "no round is known"
        return "ok" if silent_s <= SILENT_AFTER_S else f"no round for {silent_s:.0f} s"

    return HealthEdges(
        checks={
            "redis": lambda: _both(servers.redis.ping, parts.redis_writes),
            "broker": lambda: _both(servers.producer.client.force_metadata_update, broker_writes),
            "sql": lambda: _both(lambda: parts.store.newest_token(servers.region_id), sql_writes),
        },
        matching=matching,
        notes={"map": watch.note},
    )


def _figures(servers: Servers, parts: Parts) -> ReadFigures:
    redis, region_id = servers.redis, servers.region_id

    async def read() -> LiveFigures:
        source = await servers.history.choose()
        rides = SqlRideStore(source.database)
        totals, rounds, by_state, trips = await asyncio.gather(
            redis.hgetall(redis_keys.totals(region_id)),
            read_rounds(redis, region_id),
            rides.count_rides(),
            rides.latest_trips(region_id, TRIPS_SHOWN),
        )
        waits_s = [trip.picked_up_s - trip.requested_s for trip in trips if trip.picked_up_s is not None]
        counts = {os.fsdecode(name): int(n) for name, n in totals.items()}
        return LiveFigures(rounds, by_state, counts, waits_s, source.age_s)

    return read
