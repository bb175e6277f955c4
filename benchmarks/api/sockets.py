"""Ten thousand drivers on one API process by WebSocket, a ping each 4 s; in turns with 500 readers who never read.

What is sent to those who never read costs the server and its stores whether they read or not: 500 others, who do read,
are sent the same in turns of their own. Beside them the not reading shows. The roles `api` and `ingester` as they are
served, with real servers, on loopback. CPU and memory are of the API process, from /proc; latency is from a phone's
ping to its being read from Redis, and of a keep-alive on a stream of its own.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, Tokens
from api.streams.sockets import end
from benchmarks.api.phones import handshake
from benchmarks.common.measure import Report
from benchmarks.common.processes import cpu_s_of
from hexhail.runtime import embedded, limits
from kernel.contracts import redis_keys
from kernel.keyring import KeyRing

REGION = "manhattan"
PING_EVERY_S = 4.0
PROBES = 200
#: Alone, beside readers and beside those who never read, in turns: other work on the machine then meets all.
TURNS = 3
SECRETS = {"k1": "a key of the benchmark, good for nothing else"}
#: Of each event: a ride's have some hundred bytes.
EVENT_BYTES = 2_000
#: What lies in each inbox before its reader comes: more than the server holds for one who does not read.
EVENTS_BEFORE = 100
#: Each then gets an event in so many seconds, a part of them at a time.
EVENT_EVERY_S = 2.0
PUSH_PARTS = 20
#: From the last reader's coming to the measurement: what lay in the inboxes is sent by then, as far as it will be.
SETTLE_S = 2.0


@dataclass
class City:
    """The processes of an installation, by name, and its ports."""

    redis_port: int
    broker_port: int
    api_port: int
    running: dict[str, subprocess.Popen[bytes]]

    def cpu_s(self, name: str) -> float:
        """CPU seconds a process has spent so far."""
        return cpu_s_of(self.running[name].pid)

    def resident_mb(self, name: str) -> float:
        """Memory a process has at the moment."""
        lines = Path(f"/proc/{self.running[name].pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextmanager
def _city() -> Iterator[City]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        city = City(*embedded.free_ports(3), {})
        environment = os.environ | {
            "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{city.redis_port}/0",
            "HEXHAIL_BROKER_URL": f"127.0.0.1:{city.broker_port}",
            "HEXHAIL_BROKER_SESSION_TIMEOUT_S": "3",
            "HEXHAIL_DATABASE_URL": f"sqlite:///{folder / 'rides.db'}",
            "HEXHAIL_API_PORT": str(city.api_port),
            "HEXHAIL_DATA_DIR": str(folder / "workers"),
            "HEXHAIL_TOKEN_SECRETS": json.dumps(SECRETS),
        }
        serve = [sys.executable, "-m", "hexhail", "serve"]
        commands = {
            "Redis": (embedded.valkey_command(city.redis_port, folder / "valkey"), city.redis_port),
            "broker": (embedded.broker_command(city.broker_port), city.broker_port),
            "api": ([*serve, "api"], city.api_port),
            "ingester": ([*serve, "ingester"], None),
        }
        try:
            for role, (command, port) in commands.items():
                with (folder / f"{role}.log").open("wb") as out:
                    city.running[role] = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
                if port is not None:
                    asyncio.run(embedded.wait_for_port(port, f"the {role}", 60.0))
            yield city
        finally:
            for process in city.running.values():
                process.kill()
                process.wait(10)


async def _phones(city: City, tokens: Sequence[str], every: str = str(PING_EVERY_S)) -> asyncio.subprocess.Process:
    """Return the process of the phones when all are connected."""
    command = (sys.executable, "-m", "benchmarks.api.phones", str(city.api_port), str(len(tokens)))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, every, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n".join([*tokens, ""]).encode())
    assert (await process.stdout.readline()).strip() == b"connected"
    return process


@dataclass
class Seconds:
    """What some seconds showed; of several stretches, their means and all their times."""

    api_cpu_share: float
    api_us_per_ping: float
    resident_mb: float
    pings_per_s: float
    to_redis_ms: np.ndarray
    keep_alive_ms: np.ndarray

    @classmethod
    def of(cls, stretches: Sequence["Seconds"]) -> "Seconds":
        """Return stretches of one length as one."""
        names = ("api_cpu_share", "api_us_per_ping", "resident_mb", "pings_per_s")
        means = [float(np.mean([getattr(stretch, name) for stretch in stretches])) for name in names]
        to_redis_ms = np.concatenate([stretch.to_redis_ms for stretch in stretches])
        return cls(*means, to_redis_ms, np.concatenate([stretch.keep_alive_ms for stretch in stretches]))

    def row(self, name: str) -> list[object]:
        """As a row of the table."""
        quantiles = [
            float(np.percentile(ms, q)) if len(ms) else np.inf
            for ms in (self.to_redis_ms, self.keep_alive_ms)
            for q in (50, 99)
        ]
        return [name, self.pings_per_s, self.api_cpu_share, self.api_us_per_ping, self.resident_mb, *quantiles]


async def _watch(city: City, redis: Redis, ids: Sequence[str], seconds_s: float, token: str) -> Seconds:
    """Measure for some seconds, with a stream of its own beside the phones'."""
    to_redis_ms: list[float] = []
    keep_alive_ms: list[float] = []
    asked = [asyncio.create_task(_newest(redis, ids[:PROBES], to_redis_ms))]
    asked.append(asyncio.create_task(_keep_alive(city, token, keep_alive_ms)))
    await asyncio.sleep(0.5)
    to_redis_ms.clear()
    stored = await _stored(redis)
    cpu_s, began_s = city.cpu_s("api"), time.monotonic()
    await asyncio.sleep(seconds_s)
    spent_s, elapsed_s = city.cpu_s("api") - cpu_s, time.monotonic() - began_s
    pings = await _stored(redis) - stored
    await end(asked)
    share, us = spent_s / elapsed_s, 1e6 * spent_s / max(pings, 1)
    memory = city.resident_mb("api")
    return Seconds(share, us, memory, pings / elapsed_s, np.array(to_redis_ms), np.array(keep_alive_ms))


async def _stored(redis: Redis) -> int:
    return int(await redis.hget(redis_keys.totals(REGION), redis_keys.PINGS_ACCEPTED) or 0)


async def _newest(redis: Redis, ids: Sequence[str], latency_ms: list[float]) -> None:
    last: dict[str, bytes] = {}
    while True:
        entries = await redis.hmget(redis_keys.driver_index(REGION), ids)
        now_ms = time.time() * 1e3
        for driver_id, entry in zip(ids, entries, strict=True):
            if entry is not None and entry != last.get(driver_id):
                if driver_id in last:
                    latency_ms.append(now_ms - int(entry.rpartition(b"|")[2]))
                last[driver_id] = entry
        await asyncio.sleep(0.01)


async def _keep_alive(city: City, token: str, round_trip_ms: list[float]) -> None:
    url = f"ws://127.0.0.1:{city.api_port}/v1/drivers/me/stream"
    async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as stream:
        await stream.recv()
        while True:
            began_s = time.perf_counter()
            await stream.send('{"type": "ping"}')
            await stream.recv()
            round_trip_ms.append(1e3 * (time.perf_counter() - began_s))
            await asyncio.sleep(0.05)


async def _deaf(city: City, token: str) -> socket.socket:
    """Return a stream's socket that nobody will read, with as little room as the system gives."""
    loop = asyncio.get_running_loop()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await loop.sock_connect(deaf, ("127.0.0.1", city.api_port))
    await loop.sock_sendall(deaf, handshake("/v1/drivers/me/stream", token))
    return deaf


PAYLOAD = b'{"event":"OfferSent","filler":"%s"}' % (b"x" * EVENT_BYTES)


async def _fill(redis: Redis, names: Sequence[str]) -> None:
    """Put events into inboxes that nobody has asked for yet."""
    for name in names:
        pipeline = redis.pipeline(transaction=False)
        for position in range(1, EVENTS_BEFORE + 1):
            pipeline.xadd(redis_keys.inbox(name), {"payload": PAYLOAD}, id=f"{position}-0")
        await pipeline.execute()


async def _trickle(redis: Redis, names: Sequence[str]) -> None:
    """Send each an event now and then, until cancelled."""
    size = -(-len(names) // PUSH_PARTS)
    position = EVENTS_BEFORE
    while True:
        position += 1
        for start in range(0, len(names), size):
            some = names[start : start + size]
            pipeline = redis.pipeline(transaction=False)
            for name in some:
                pipeline.xadd(redis_keys.inbox(name), {"payload": PAYLOAD}, id=f"{position}-0")
            pipeline.publish(redis_keys.INBOX_NEWS, " ".join(some))
            await pipeline.execute()
            await asyncio.sleep(EVENT_EVERY_S / PUSH_PARTS)


@asynccontextmanager
async def _readers(city: City, tokens: Sequence[str]) -> AsyncIterator[None]:
    """Streams that read all they are sent."""
    process = await _phones(city, tokens, "never")
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _deaf_ones(city: City, tokens: Sequence[str]) -> AsyncIterator[None]:
    """Streams that nobody reads."""
    sockets = [await _deaf(city, token) for token in tokens]
    try:
        yield
    finally:
        for one in sockets:
            one.close()


async def _beside(
    streams: AbstractAsyncContextManager[None],
    names: Sequence[str],
    city: City,
    measure: Callable[[], Awaitable[Seconds]],
) -> Seconds:
    """Measure while streams are sent what lies in their inboxes, and then an event now and then."""
    redis = Redis(port=city.redis_port)
    await _fill(redis, names)
    peak = asyncio.create_task(_peak(city))
    async with streams:
        await asyncio.sleep(SETTLE_S)
        trickle = asyncio.create_task(_trickle(redis, names))
        found = await measure()
        await end([trickle, peak])
    await redis.delete(*map(redis_keys.inbox, names))
    await redis.aclose()
    await asyncio.sleep(1.0)
    return found


async def _measure(city: City, report: Report, drivers: int, readers: int, seconds_s: float) -> None:
    tokens = Tokens(TokenKeys.of_secrets(KeyRing(SECRETS)))
    ids = [f"driver-{number}" for number in range(drivers)]
    token = tokens.issue(Role.DRIVER, "watch")
    redis = Redis(port=city.redis_port)
    empty_mb = city.resident_mb("api")
    began_s = time.monotonic()
    phones = await _phones(city, [tokens.issue(Role.DRIVER, driver_id) for driver_id in ids])
    connected_s = time.monotonic() - began_s
    assert phones.stdout is not None
    while await _stored(redis) < drivers:
        await asyncio.sleep(0.2)
    rows: dict[str, list[Seconds]] = {
        f"{drivers} drivers": [],
        f"and {readers} who read": [],
        f"and {readers} who never read": [],
    }
    alone, hearing, deaf = rows.values()
    measure = partial(_watch, city, redis, ids, seconds_s, token)
    for turn in range(TURNS):
        alone.append(await measure())
        for kind, streams, found in (("reader", _readers, hearing), ("deaf", _deaf_ones, deaf)):
            others = [f"{kind}-{turn}-{number}" for number in range(readers)]
            issued = [tokens.issue(Role.DRIVER, name) for name in others]
            found.append(await _beside(streams(city, issued), [f"driver:{name}" for name in others], city, measure))
    phones.kill()
    said = (await phones.stdout.read()).split(b"\n")[-2].split()
    await phones.wait()
    header = ["", "pings/s", "cores", "CPU µs a ping", "memory MB"]
    header += ["to Redis p50 ms", "p99 ms", "keep-alive p50 ms", "p99 ms"]
    report.table("One API process", header, [Seconds.of(found).row(name) for name, found in rows.items()])
    report.figure("connected and ready in", connected_s, "s")
    report.figure("memory of a connection", 1024 * (alone[0].resident_mb - empty_mb) / drivers, "KB")
    report.figure("memory at most, with those who never read", max(_peak_mb), "MB")
    report.figure("connections lost", float(said[1]), "")
    report.figure("pings answered with an error", float(said[2]), "")
    await redis.aclose()


_peak_mb: list[float] = []


async def _peak(city: City) -> None:
    while True:
        _peak_mb.append(city.resident_mb("api"))
        await asyncio.sleep(0.2)


def run(small: bool, report: Report) -> None:
    """Measure; about two minutes."""
    limits.raise_open_files()
    with _city() as city:
        asyncio.run(_measure(city, report, *((50, 5, 1.0) if small else (10_000, 500, 6.0))))
    report.note(f"load average at the end: {os.getloadavg()[0]:.1f}")
