"""Surge and quotes: a tick over 50,000 cells, ride events through the pricer as it is served, quotes through the API.

The tick is the whole step of the engine: demand decayed, supply spread, targets, smoothing, every bound, and what each
change was decided on; recording and publishing it are timed apart. Pricer and API are processes of their own with real
servers, on Manhattan and its recorded riders. CPU of processes is from /proc.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence

import numpy as np
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, Tokens
from backing.kafka import create_topics
from benchmarks.common.http_load import post, send_all
from benchmarks.common.measure import Report
from benchmarks.common.processes import SECRETS, Processes, servers
from benchmarks.pricing import inputs
from hexhail.runtime import embedded
from hexhail.runtime.database import open_database
from hexhail.runtime.settings import MANHATTAN, Settings
from kernel.contracts import redis_keys
from kernel.contracts.partitions import RegionPartitions
from kernel.contracts.topics import RIDE_EVENTS_TOPIC
from kernel.keyring import KeyRing
from pricing.adapters.redis_prices import RedisPrices
from pricing.adapters.sql.record import SqlPriceRecord
from pricing.commands import Restore, Tick
from pricing.engine import PricingEngine
from pricing.events import Event
from pricing.model.surge import SurgeParams
from pricing.rules.grid import SurgeGrid
from pricing.rules.price_changes import changes_of
from simulator.demand.requests import load_requests

REGION = "manhattan"
SEED = 1
TICK_MS_MAX = 20.0
#: Requests under way at a time: some more than one process answers at once.
CONNECTIONS = 16


# -- the tick ------------------------------------------------------------------------------------------------------


def _ticks(grid: SurgeGrid, demand: np.ndarray, ticks: int) -> tuple[list[float], list[float], list[Event]]:
    """Return wall and CPU milliseconds of each tick, and what the last one changed."""
    rng, params, now_s = np.random.default_rng(SEED), SurgeParams(), 1e9
    engine = PricingEngine(grid, params)
    moments = [inputs.drawn(demand, rng) for _ in range(20)]
    wall_ms, cpu_ms, events = [], [], list[Event]()
    for tick in range(ticks + 5):
        moment = moments[tick % len(moments)]
        engine.handle(Restore(moment.requests, moment.quotes, now_s), now_s)
        now_s += params.tick_s
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        events = engine.handle(Tick(moment.idle), now_s)
        cpu_ms.append(1e3 * (time.process_time() - cpu_s))
        wall_ms.append(1e3 * (time.perf_counter() - wall_s))
    return wall_ms[5:], cpu_ms[5:], events


async def _measure_record(processes: Processes, events: Sequence[Event], report: Report) -> None:
    """Record and publish what a tick changed, as the pricer does after it."""
    redis = Redis(port=processes.redis_port)
    prices = RedisPrices(redis, "metro", SurgeParams())
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(f"sqlite:///{folder}/rides.db")
        record = SqlPriceRecord(database)
        rows = []
        for name in ("the first time", "again"):
            epoch = await record.claim(name)
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            for number, event in enumerate(events):
                await record.add_changes(name, changes_of(event), epoch)
                await prices.write(
                    dict(zip(event.cell.tolist(), event.multiplier.tolist(), strict=True)), 1e9 + number, epoch
                )
            spent = time.process_time() - cpu_s, time.perf_counter() - wall_s
            rows.append([name, sum(map(len, events)), *(1e3 * value for value in spent)])
        await database.close()
    await redis.aclose()
    report.table("To SQLite and Redis", ["", "cells", "CPU ms", "wall ms"], rows)


def _measure_ticks(processes: Processes, report: Report, *, small: bool) -> None:
    cell_count, ticks = (500, 10) if small else (50_000, 200)
    grid, rows, hardest = inputs.metro(cell_count), [], 0.0
    for name, demand_of in (("hot spots", inputs.hot_spots), ("each cell by itself", inputs.each_by_itself)):
        wall_ms, cpu_ms, events = _ticks(grid, demand_of(grid, np.random.default_rng(SEED)), ticks)
        moved = sum(map(len, events))
        rows.append([name, moved, *np.percentile(cpu_ms, [50, 99]), *np.percentile(wall_ms, [50, 99])])
        hardest = max(hardest, statistics.median(wall_ms))
        report.checksum(f"prices, {name}", *[event.multiplier for event in events])
        asyncio.run(_measure_record(processes, events, report))
    header = ["demand", "cells that moved", "CPU ms p50", "p99", "wall ms p50", "p99"]
    report.table(f"A tick over {cell_count:,} cells", header, rows)
    report.figure("a tick over all cells, the harder demand", hardest, f"ms (to be at most {TICK_MS_MAX:g})")


# -- events through the pricer ---------------------------------------------------------------------------------------


async def _consumed(redis: Redis) -> int:
    return int(await redis.hget(redis_keys.totals(REGION), redis_keys.RIDE_EVENTS_CONSUMED) or 0)


async def _write(processes: Processes, messages: Sequence[bytes]) -> None:
    partition = RegionPartitions([REGION], Settings().topic_partitions).home(REGION)
    producer = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{processes.broker_port}", linger_ms=5)
    await producer.start()
    for start in range(0, len(messages), 1_000):
        some = messages[start : start + 1_000]
        sent = [await producer.send(RIDE_EVENTS_TOPIC, one, key=REGION.encode(), partition=partition) for one in some]
        await asyncio.gather(*sent)
    await producer.stop()


async def _measure_events(processes: Processes, report: Report, *, small: bool) -> None:
    """A log that is there already is read by a pricer that starts: as fast as it can."""
    rides = 50 if small else 20_000
    requests = load_requests(MANHATTAN)
    await create_topics(processes.addresses[0], [RIDE_EVENTS_TOPIC], Settings().topic_partitions)
    first = inputs.ride_messages(requests, 50, REGION, time.time(), "warm")
    messages = inputs.ride_messages(requests, rides, REGION, time.time(), "ride")
    await _write(processes, first)
    redis = Redis(port=processes.redis_port)
    processes.start("pricer", "hexhail", "serve", "pricer")
    await _until(redis, len(first))
    await asyncio.sleep(1.0)
    before, began_s = processes.cpu_s(), time.monotonic()
    await _write(processes, messages)
    written_s = time.monotonic() - began_s
    await _until(redis, len(first) + len(messages))
    elapsed_s = time.monotonic() - began_s
    spent_us = {name: 1e6 * (after - before[name]) / len(messages) for name, after in processes.cpu_s().items()}
    processes.stop("pricer")
    await redis.aclose()
    rows = [[len(messages), len(messages) / elapsed_s, *spent_us.values()]]
    report.table("Ride events", ["events", "events/s", *(f"{name} CPU µs an event" for name in spent_us)], rows)
    report.figure("ride events through the Faust app", len(messages) / elapsed_s, "events/s")
    report.figure("CPU of the pricer", spent_us["pricer"], "µs an event")
    report.figure("ride events in a CPU second of the pricer", 1e6 / max(spent_us["pricer"], 1.0), "events")
    report.note(
        f"events were written while they were read, in the first {100 * written_s / elapsed_s:.0f} % of the time"
    )


async def _until(redis: Redis, wanted: int) -> None:
    async with asyncio.timeout(180.0):
        while await _consumed(redis) < wanted:
            await asyncio.sleep(0.02)


# -- quotes through the API ------------------------------------------------------------------------------------------


async def _drivers_come(processes: Processes, drivers: int) -> None:
    """Put drivers on shift where riders have been, and wait until they stand in the cells."""
    tokens, requests = Tokens(TokenKeys.of_secrets(KeyRing(SECRETS))), load_requests(MANHATTAN)
    ids = [f"driver-{number}" for number in range(drivers)]
    shifts = [post("/v1/drivers/me/status", tokens.issue(Role.DRIVER, one), b'{"status":"online"}') for one in ids]
    await send_all(processes.api_port, shifts, CONNECTIONS)
    redis = Redis(port=processes.redis_port)
    async with asyncio.timeout(90.0):
        while await redis.hlen(redis_keys.driver_index(REGION)) < drivers:
            pings = []
            for number, one in enumerate(ids):
                lat_deg, lng_deg = requests.dropoff_deg[number].tolist()
                ping = {"t_s": time.time(), "lat_deg": lat_deg, "lng_deg": lng_deg}
                pings.append(
                    post("/v1/drivers/me/pings", tokens.issue(Role.DRIVER, one), json.dumps({"pings": [ping]}).encode())
                )
            await send_all(processes.api_port, pings, CONNECTIONS)
            await asyncio.sleep(1.0)
    await redis.aclose()


async def _ask(processes: Processes, quotes: int, report: Report) -> list[float]:
    tokens = Tokens(TokenKeys.of_secrets(KeyRing(SECRETS)))
    bodies = inputs.trip_bodies(load_requests(MANHATTAN), quotes)
    asked = [
        post("/v1/quotes", tokens.issue(Role.RIDER, f"rider-{number}"), body) for number, body in enumerate(bodies)
    ]
    await send_all(processes.api_port, asked[: 2 * CONNECTIONS], CONNECTIONS)
    before, began_s = processes.cpu_s()["api"], time.monotonic()
    answers = await send_all(processes.api_port, asked, CONNECTIONS)
    elapsed_s, spent_s = time.monotonic() - began_s, processes.cpu_s()["api"] - before
    quantiles = [float(np.percentile(answers.took_ms, q)) for q in (50, 99)]
    answers.note_others(report, 201)
    return [quotes / elapsed_s, 1e6 * spent_s / quotes, quotes / max(spent_s, 0.01), *quantiles]


async def _measure_quotes(processes: Processes, report: Report, *, small: bool) -> None:
    quotes, drivers = (40, 0) if small else (5_000, 1_000)
    processes.start("api", "hexhail", "serve", "api")
    await embedded.wait_for_port(processes.api_port, "the API", 60.0)
    last = await _ask(processes, quotes, report)
    rows = [["nobody drives", *last]]
    if drivers:
        processes.start("ingester", "hexhail", "serve", "ingester")
        await _drivers_come(processes, drivers)
        last = await _ask(processes, quotes, report)
        rows.append([f"{drivers:,} drivers", *last])
        processes.stop("ingester")
    processes.stop("api")
    header = ["", "quotes/s", "API CPU µs a quote", "quotes a CPU second", "p50 ms", "p99 ms"]
    report.table(f"One API process, {CONNECTIONS} riders at a time", header, rows)
    report.figure("quotes of one API process", last[0], "quotes/s")
    report.figure("CPU of the API", last[1], "µs a quote")


def run(small: bool, report: Report) -> None:
    """Measure all three; about two minutes, seconds if small."""
    with servers() as processes:
        _measure_ticks(processes, report, small=small)
        asyncio.run(_measure_events(processes, report, small=small))
        asyncio.run(_measure_quotes(processes, report, small=small))
    report.note(f"load average at the end: {os.getloadavg()[0]:.1f}; other work on the machine lowers rates, not CPU")
