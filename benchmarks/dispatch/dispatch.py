"""Offers through a real installation: from a request to its offer, and from what went wrong to the next offer."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from redis.asyncio import Redis

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Tokens
from backing import faust_worker
from benchmarks.common.measure import Report
from benchmarks.common.processes import cpu_s_of
from benchmarks.dispatch.people import FIRST_PING_S_MAX, Load, rider_leaves, things_go_wrong
from dispatch import events as ev
from dispatch.adapters.event_codec import decode
from dispatch.adapters.redis_rounds import read_rounds
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import DispatchParams
from dispatch.rules.invariants import check_history
from geo.city import load_city
from hexhail.demo.demo import ROLES_OF_DEMO, Demo, DemoParams, running_city
from hexhail.runtime import limits
from hexhail.runtime.database import open_database
from hexhail.runtime.settings import MANHATTAN
from kernel.keyring import KeyRing

#: Short times, so that silence and expiry come up often enough in a minute; the path after them is the same.
SECTION = {"offer_ttl_s": 6.0, "stale_after_s": 15.0, "silent_after_s": 20.0}
MS = 1e3
REGION = "manhattan"
WINDOW_MS = DispatchParams().batch_window_s * MS
CONNECT_EVERY_S = 0.01
#: Wall seconds for the first pings to get through to the cells.
SETTLE_S = 0.5


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    drivers: int
    rates: tuple[int, ...]
    seconds: float
    rematch_rate: int
    rematch_seconds: float
    #: For the last offers, and for those who vanished to be missed.
    settle_s: float
    missed_s: float
    quiet_s: float


FULL = Size(
    drivers=700,
    rates=(20, 50, 100, 200),
    seconds=15.0,
    rematch_rate=50,
    rematch_seconds=40.0,
    settle_s=6.0,
    missed_s=40.0,
    quiet_s=5.0,
)
SMALL = Size(
    drivers=20,
    rates=(4,),
    seconds=1.0,
    rematch_rate=4,
    rematch_seconds=1.0,
    settle_s=2.5,
    missed_s=2.5,
    quiet_s=0.2,
)


def run(small: bool, report: Report) -> None:
    """Measure everything; ``small`` shrinks all inputs."""
    limits.raise_open_files()
    faust_worker.use_uvloop()
    asyncio.run(_measure(SMALL if small else FULL, report))


@dataclass(frozen=True)
class LoadedCity:
    """A running city with its load of riders and drivers, and connections to its stores."""

    demo: Demo
    load: Load
    store: SqlRideStore
    redis: Redis
    size: Size

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of each process so far, those of the people beside them."""
        spent = {name: cpu_s_of(self.demo.supervisor.pid(name)) for name in (*ROLES_OF_DEMO, "valkey", "broker")}
        return {**spent, "people": time.process_time()}

    async def history(self) -> list[ev.RideEvent]:
        """Every event so far."""
        return [decode(payload) for payload in await self.store.history()]


async def _measure(size: Size, report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _loaded_city(Path(folder), size) as city:
            # What goes wrong comes first: the rates end where the machine is overrun.
            await _rematch(city, report)
            quiet = await _spent_quietly(city)
            steps = [await _latency(city, rate) for rate in size.rates]
            history = await city.history()
    _report_latency(steps, report)
    _report_cpu(quiet, steps, report)
    report.figure("violations of the invariants in the whole history", len(check_history(history).violations), "")
    report.figure("answers that were errors of the server, or none", city.load.errors, "")
    report.figure("sockets lost", city.load.reconnects, "")
    report.note("people, servers and services share the machine's cores")


@contextlib.asynccontextmanager
async def _loaded_city(folder: Path, size: Size) -> AsyncIterator[LoadedCity]:
    city_dir = folder / "city"
    shutil.copytree(MANHATTAN, city_dir)
    lines = "".join(f"{name} = {value}\n" for name, value in SECTION.items())
    with (city_dir / "city.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[dispatch]\n{lines}")
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", f"{folder}/numba")).parent
    params = DemoParams(city_dir=city_dir, run_dir=folder / "run", cache_dir=cache, speed=1.0, port=0)
    async with contextlib.AsyncExitStack() as stack:
        demo = await stack.enter_async_context(running_city(params, lambda _: None))
        database = await stack.enter_async_context(await open_database(f"sqlite:///{folder}/run/hexhail.db"))
        redis = Redis.from_url(demo.env["HEXHAIL_REDIS_URL"])
        stack.push_async_callback(redis.aclose)
        load = await stack.enter_async_context(_people(demo, size))
        yield LoadedCity(demo, load, SqlRideStore(database), redis, size)


@contextlib.asynccontextmanager
async def _people(demo: Demo, size: Size) -> AsyncIterator[Load]:
    env, graph = demo.env, load_city(MANHATTAN).graph
    offset_s = float(env["HEXHAIL_CLOCK_CITY_S"]) - float(env["HEXHAIL_CLOCK_WALL_S"])
    tokens = Tokens(TokenKeys.of_secrets(KeyRing(json.loads(env["HEXHAIL_TOKEN_SECRETS"]))))
    load = Load(demo.ports["api"], tokens, lambda: time.time() + offset_s, (graph.lat_deg, graph.lng_deg))
    ready = asyncio.Semaphore(0)
    drivers = []
    for number in range(size.drivers):
        drivers.append(asyncio.create_task(load.drive(f"driver-{number:04d}", ready)))
        await asyncio.sleep(CONNECT_EVERY_S)
    for _ in range(size.drivers):
        await asyncio.wait_for(ready.acquire(), 60)
    await asyncio.sleep(FIRST_PING_S_MAX + SETTLE_S)
    try:
        yield load
    finally:
        for task in [*drivers, *load.tasks]:
            task.cancel()
        await asyncio.gather(*drivers, *load.tasks, return_exceptions=True)
        load.rest.close()


async def _rematch(city: LoadedCity, report: Report) -> None:
    load, size = city.load, city.size
    load.on_offer = things_go_wrong
    await load.at_rate(size.rematch_rate, await load.quotes(int(size.rematch_rate * size.rematch_seconds)))
    await asyncio.sleep(size.missed_s)
    load.mute.clear()
    header = ["what went wrong", "times", "offered again", "p50 ms", "p99 ms", "p99 - window"]
    report.table(f"To the next offer, at {size.rematch_rate} requests/s", header, _mishaps(await city.history()))


async def _spent_quietly(city: LoadedCity) -> dict[str, float]:
    """CPU ms of each process in a second in which drivers ping and nobody asks for anything."""
    before = city.cpu_s()
    await asyncio.sleep(city.size.quiet_s)
    return {name: (spent - before[name]) / city.size.quiet_s * MS for name, spent in city.cpu_s().items()}


@dataclass(frozen=True)
class Step:
    """What happened at one rate: latencies in ms, and CPU ms of each process for a quote and for a request."""

    rate: int
    asked: int
    committed_ms: list[float]
    heard_ms: list[float]
    round_ms: list[float]
    quote_cpu_ms: dict[str, float]
    request_cpu_ms: dict[str, float]


async def _latency(city: LoadedCity, rate: int) -> Step:
    load, size = city.load, city.size
    load.on_offer = rider_leaves
    count = int(rate * size.seconds)
    before, since_s = city.cpu_s(), load.city_s()
    asked = await load.quotes(count)
    quoted = city.cpu_s()
    await load.at_rate(rate, asked)
    await asyncio.sleep(size.settle_s)
    served = city.cpu_s()
    offered_s: dict[str, float] = {}
    for event in await city.history():
        if isinstance(event, ev.OfferSent):
            offered_s.setdefault(event.ride_id, event.at_s)
    sent_s = {ride_id: at_s for ride_id, at_s in load.sent_s.items() if since_s <= at_s}
    rounds = await read_rounds(city.redis, REGION)
    return Step(
        rate=rate,
        asked=len(asked),
        committed_ms=[(offered_s[ride_id] - at_s) * MS for ride_id, at_s in sent_s.items() if ride_id in offered_s],
        heard_ms=[
            (load.received_s[ride_id] - at_s) * MS for ride_id, at_s in sent_s.items() if ride_id in load.received_s
        ],
        round_ms=[report.wall_ms for report in rounds if report.n_waiting and report.at_s >= since_s],
        quote_cpu_ms={name: (quoted[name] - before[name]) / count * MS for name in before},
        request_cpu_ms={name: (served[name] - quoted[name]) / count * MS for name in before},
    )


def _report_latency(steps: Sequence[Step], report: Report) -> None:
    header = ["requests/s", "offered", "of", "p50 ms", "p99 ms", "p99 - window"]
    header += ["on socket p50", "p99", "round p50", "round p99"]
    rows = []
    for step in steps:
        p50, p99 = _quantiles(step.committed_ms)
        found = [p50, p99, p99 - WINDOW_MS, *_quantiles(step.heard_ms), *_quantiles(step.round_ms)]
        rows.append([step.rate, len(step.committed_ms), step.asked, *found])
    title = f"From the request sent to the offer committed, and heard by the driver; window {WINDOW_MS:.0f} ms"
    report.table(title, header, rows)


def _report_cpu(quiet: Mapping[str, float], steps: Sequence[Step], report: Report) -> None:
    """With the share of what goes on all the time, so that the rows of one rate add up to what the machine did."""
    rows: list[list[Any]] = [["quiet, per second", *quiet.values()]]
    for step in steps:
        rows.append([f"quote, before {step.rate}/s", *step.quote_cpu_ms.values()])
        rows.append([f"request at {step.rate}/s", *step.request_cpu_ms.values()])
    for row in rows:
        row.append(float(sum(row[1:])))
    report.table("CPU ms", ["of", *quiet, "together"], rows)


def _mishaps(history: Sequence[ev.RideEvent]) -> list[list[Any]]:
    """Per kind of mishap: how often, how often another driver was asked, and how soon after it was known."""
    went_wrong: dict[str, tuple[str, float]] = {}
    times: defaultdict[str, int] = defaultdict(int)
    waits_s: defaultdict[str, list[float]] = defaultdict(list)
    for event in history:
        kind = ""
        if isinstance(event, ev.OfferDeclined):
            kind = "declined"
        elif isinstance(event, ev.OfferExpired):
            kind = "offer ran out"
        elif isinstance(event, ev.AssignmentCancelled):
            kind = "driver silent" if event.reason == "gps_silence" else "driver gave it back"
        elif isinstance(event, ev.OfferSent) and event.ride_id in went_wrong:
            known_as, at_s = went_wrong.pop(event.ride_id)
            waits_s[known_as].append(event.at_s - at_s)
        if kind:
            went_wrong[event.ride_id] = kind, event.at_s
            times[kind] += 1
    rows = []
    for kind in sorted(times):
        p50, p99 = _quantiles([wait_s * MS for wait_s in waits_s[kind]])
        rows.append([kind, times[kind], len(waits_s[kind]), p50, p99, p99 - WINDOW_MS])
    return rows


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return float("nan"), float("nan")
    p50, p99 = np.quantile(values, [0.5, 0.99])
    return float(p50), float(p99)
