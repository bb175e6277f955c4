"""Offers through a real installation: from a request to its offer, and from what went wrong to the next offer."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.tokens import Role, Tokens
from benchmarks.measure import Report
from dispatch import events as ev
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql.sqlite_store import SqliteStore
from dispatch.model import DispatchParams
from dispatch.rules.invariants import check_history
from geo.city import load_city
from hexhail.demo import DemoParams, running_city
from hexhail.settings import MANHATTAN

#: Short times, so that silence and expiry come up often enough in a minute; the path after them is the same.
SECTION = {"offer_ttl_s": 6.0, "stale_after_s": 15.0, "silent_after_s": 20.0}
PING_EVERY_S = 4.0
MS = 1e3


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


FULL = Size(
    drivers=700,
    rates=(20, 50, 100, 200),
    seconds=15.0,
    rematch_rate=50,
    rematch_seconds=40.0,
    settle_s=6.0,
    missed_s=40.0,
)
SMALL = Size(drivers=20, rates=(3,), seconds=3.0, rematch_rate=3, rematch_seconds=3.0, settle_s=2.5, missed_s=3.0)


def run(small: bool, report: Report) -> None:
    """Measure everything; ``small`` shrinks all inputs."""
    asyncio.run(_measure(SMALL if small else FULL, report))


@dataclass
class Load:
    """Riders and drivers who know nothing but the public API."""

    url: str
    tokens: Tokens
    city_s: Callable[[], float]
    http: httpx.AsyncClient
    places: Any
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    #: City time by ride: sent by the rider, and on the driver's socket for the first time.
    sent_s: dict[str, float] = field(default_factory=dict)
    received_s: dict[str, float] = field(default_factory=dict)
    rider_of: dict[str, str] = field(default_factory=dict)
    #: What drivers do with an offer; given (load, driver_id, socket, event).
    on_offer: Callable[["Load", str, dict[str, Any]], Any] = lambda *_: None
    #: Rides with which something has gone wrong, and drivers who have vanished.
    wronged: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    errors: int = 0
    reconnects: int = 0
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def post(self, role: Role, who: str, path: str, body: Any = None, **headers: str) -> dict[str, Any] | None:
        """The answer's body, None if it was refused."""
        token = {"Authorization": f"Bearer {self.tokens.issue(role, who)}"}
        try:
            answer = await self.http.post(path, json=body, headers=token | headers)
        except httpx.HTTPError:
            self.errors += 1
            return None
        if answer.status_code >= 500:
            self.errors += 1
        return answer.json() if answer.status_code < 300 else None

    def spawn(self, work: Any) -> None:
        """Let something go on beside."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def place(self) -> dict[str, float]:
        """Somewhere in the city."""
        lat_deg, lng_deg = self.places
        at = int(self.rng.integers(len(lat_deg)))
        return {"lat_deg": float(lat_deg[at]), "lng_deg": float(lng_deg[at])}

    async def drive(self, driver_id: str, ready: asyncio.Semaphore) -> None:
        """On shift at one place, pinging, hearing offers, back after each loss of the socket, until cancelled."""
        headers = {"Authorization": f"Bearer {self.tokens.issue(Role.DRIVER, driver_id)}"}
        url = self.url.replace("http", "ws") + "/v1/drivers/me/stream"
        place = self.place()
        # A generator that is itself late must not take the server for dead.
        sockets = connect(
            url, additional_headers=headers, max_queue=None, proxy=None, open_timeout=60, ping_interval=None
        )
        async for socket in sockets:
            pinging = asyncio.create_task(self._ping(driver_id, socket, place))
            await self.post(Role.DRIVER, driver_id, "/v1/drivers/me/status", {"status": "online", "seats": 4})
            ready.release()
            try:
                async for message in socket:
                    event = json.loads(message)
                    if event.get("event") == "OfferSent":
                        self.received_s.setdefault(event["ride_id"], self.city_s())
                        self.spawn(self.on_offer(self, driver_id, event))
            except ConnectionClosed:
                self.reconnects += 1
            finally:
                pinging.cancel()

    async def _ping(self, driver_id: str, socket: ClientConnection, place: dict[str, float]) -> None:
        await asyncio.sleep(float(self.rng.uniform(0, 1)))
        while True:
            if driver_id not in self.mute:
                await socket.send(json.dumps({"type": "pings", "pings": [{"t_s": self.city_s(), **place}]}))
            await asyncio.sleep(PING_EVERY_S)

    async def quotes(self, count: int) -> list[tuple[str, str]]:
        """(rider, quote) of so many riders, asked for a few at a time."""
        gate, found = asyncio.Semaphore(8), []

        async def ask() -> None:
            async with gate:
                rider = f"rider-{uuid.uuid4().hex[:10]}"
                trip = {"pickup": self.place(), "dropoff": self.place()}
                quote = await self.post(Role.RIDER, rider, "/v1/quotes", trip)
                if quote is not None:
                    found.append((rider, quote["quote_id"]))

        await asyncio.gather(*(ask() for _ in range(count)))
        return found

    async def request(self, rider: str, quote_id: str) -> None:
        """Ask for a ride and note when."""
        sent_s = self.city_s()
        key = {"Idempotency-Key": uuid.uuid4().hex}
        ride = await self.post(Role.RIDER, rider, "/v1/rides", {"quote_id": quote_id}, **key)
        if ride is not None:
            self.sent_s[ride["ride_id"]], self.rider_of[ride["ride_id"]] = sent_s, rider

    async def at_rate(self, rate: int, seconds: float) -> None:
        """Requests at even distances, whatever becomes of them."""
        asked = await self.quotes(int(rate * seconds))
        began = time.monotonic()
        for number, (rider, quote_id) in enumerate(asked):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.spawn(self.request(rider, quote_id))


async def _rider_leaves(load: Load, driver_id: str, event: dict[str, Any]) -> None:
    """The rider cancels as soon as somebody is asked: the driver is free again."""
    ride_id = event["ride_id"]
    while ride_id not in load.rider_of:  # the offer may be quicker than the answer to the request
        await asyncio.sleep(0.05)
    await load.post(Role.RIDER, load.rider_of[ride_id], f"/v1/rides/{ride_id}/cancel")


async def _things_go_wrong(load: Load, driver_id: str, event: dict[str, Any]) -> None:
    """The first driver declines, keeps silent, gives up or vanishes; at the second offer the rider leaves."""
    ride_id, offer = event["ride_id"], f"/v1/offers/{event['offer_id']}"
    if ride_id in load.wronged:
        await _rider_leaves(load, driver_id, event)
        return
    load.wronged.add(ride_id)
    fate = load.rng.choice(["decline", "ignore", "give back", "vanish"], p=[0.5, 0.1, 0.35, 0.05])
    if fate == "decline":
        await load.post(Role.DRIVER, driver_id, f"{offer}/decline")
    elif fate == "give back":
        await load.post(Role.DRIVER, driver_id, f"{offer}/accept")
        await load.post(Role.DRIVER, driver_id, f"/v1/rides/{ride_id}/cancel")
    elif fate == "vanish":
        load.mute.add(driver_id)
        await load.post(Role.DRIVER, driver_id, f"{offer}/accept")


async def _measure(size: Size, report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        city_dir = Path(folder) / "city"
        shutil.copytree(MANHATTAN, city_dir)
        lines = "".join(f"{name} = {value}\n" for name, value in SECTION.items())
        with (city_dir / "city.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[dispatch]\n{lines}")
        cache = Path(os.environ.get("NUMBA_CACHE_DIR", f"{folder}/numba")).parent
        params = DemoParams(city_dir=city_dir, run_dir=Path(folder) / "run", cache_dir=cache, speed=1.0, port=0)
        async with running_city(params, lambda _: None) as demo, _people(demo, size) as load:
            window_ms = DispatchParams().batch_window_s * MS
            store = await SqliteStore.open(Path(folder) / "run" / "hexhail.db")
            try:
                # What goes wrong comes first: the rates end where the machine is overrun.
                await _rematch(load, size, store, window_ms, report)
                rows = [await _latency(load, rate, size, store, window_ms) for rate in size.rates]
                history = await _history(store)
            finally:
                await store.close()
        header = ["requests/s", "offered", "of", "p50 ms", "p99 ms", "p99 - window", "on socket p50", "p99"]
        title = f"From the request sent to the offer committed, and heard by the driver; window {window_ms:.0f} ms"
        report.table(title, header, rows)
        report.figure("violations of the invariants in the whole history", len(check_history(history).violations), "")
        report.figure("answers that were errors of the server, or none", load.errors, "")
        report.figure("sockets lost", load.reconnects, "")
        report.note("load generator, servers and services share the machine's cores")


@contextlib.asynccontextmanager
async def _people(demo: Any, size: Size) -> AsyncIterator[Load]:
    env, graph = demo.env, load_city(MANHATTAN).graph
    offset_s = float(env["HEXHAIL_CLOCK_CITY_S"]) - float(env["HEXHAIL_CLOCK_WALL_S"])
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=demo.url, timeout=30.0, limits=limits) as http:
        tokens = Tokens(json.loads(env["HEXHAIL_TOKEN_SECRETS"]))
        load = Load(demo.url, tokens, lambda: time.time() + offset_s, http, (graph.lat_deg, graph.lng_deg))
        ready = asyncio.Semaphore(0)
        drivers = []
        for number in range(size.drivers):
            drivers.append(asyncio.create_task(load.drive(f"driver-{number:04d}", ready)))
            await asyncio.sleep(0.01)
        for _ in range(size.drivers):
            await asyncio.wait_for(ready.acquire(), 60)
        await asyncio.sleep(PING_EVERY_S)
        try:
            yield load
        finally:
            for task in [*drivers, *load.tasks]:
                task.cancel()
            await asyncio.gather(*drivers, *load.tasks, return_exceptions=True)


async def _rematch(load: Load, size: Size, store: SqliteStore, window_ms: float, report: Report) -> None:
    load.on_offer = _things_go_wrong
    await load.at_rate(size.rematch_rate, size.rematch_seconds)
    await asyncio.sleep(size.missed_s)
    load.mute.clear()
    header = ["what went wrong", "times", "offered again", "p50 ms", "p99 ms", "p99 - window"]
    rows = _mishaps(await _history(store), window_ms)
    report.table(f"To the next offer, at {size.rematch_rate} requests/s", header, rows)


async def _latency(load: Load, rate: int, size: Size, store: SqliteStore, window_ms: float) -> list[Any]:
    load.on_offer = _rider_leaves
    since_s = load.city_s()
    await load.at_rate(rate, size.seconds)
    await asyncio.sleep(size.settle_s)
    return _row(rate, since_s, load, await _history(store), window_ms)


async def _history(store: SqliteStore) -> list[ev.RideEvent]:
    return [decode(payload) for payload in await store.history()]


def _row(rate: int, since_s: float, load: Load, history: Sequence[ev.RideEvent], window_ms: float) -> list[Any]:
    offered_s: dict[str, float] = {}
    for event in history:
        if isinstance(event, ev.OfferSent):
            offered_s.setdefault(event.ride_id, event.at_s)
    asked = {ride_id: sent_s for ride_id, sent_s in load.sent_s.items() if since_s <= sent_s}
    committed = [offered_s[ride_id] - sent_s for ride_id, sent_s in asked.items() if ride_id in offered_s]
    heard = [load.received_s[ride_id] - sent_s for ride_id, sent_s in asked.items() if ride_id in load.received_s]
    p50, p99 = _quantiles_ms(committed)
    return [rate, len(committed), len(asked), p50, p99, p99 - window_ms, *_quantiles_ms(heard)]


def _mishaps(history: Sequence[ev.RideEvent], window_ms: float) -> list[list[Any]]:
    """Per kind of mishap: how often, how often another driver was asked, and how soon after it was known."""
    went_wrong: dict[str, tuple[str, float]] = {}
    times, waits_s = defaultdict(int), defaultdict(list)
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
        p50, p99 = _quantiles_ms(waits_s[kind])
        rows.append([kind, times[kind], len(waits_s[kind]), p50, p99, p99 - window_ms])
    return rows


def _quantiles_ms(values_s: Sequence[float]) -> tuple[float, float]:
    if not values_s:
        return float("nan"), float("nan")
    p50, p99 = np.quantile(values_s, [0.5, 0.99]) * MS
    return float(p50), float(p99)
