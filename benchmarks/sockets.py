"""Ten thousand drivers on one API process by WebSocket, a ping each 4 s; in turns with 500 readers who never read.

The roles `api` and `ingester` as they are served, with real servers, on loopback. CPU and memory are of the API
process, from /proc; latency is from a phone's ping to its being read from Redis, and of a keep-alive on a stream of its
own.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from api.sockets import end
from api.tokens import Role, Tokens
from benchmarks._sockets_phones import handshake
from benchmarks.measure import Report
from dispatch.adapters.redis_inboxes import NEWS_CHANNEL, inbox_key
from hexhail import embedded, limits

REGION = "manhattan"
PING_EVERY_S = 4.0
PROBES = 200
#: With and without those who never read, in turns: other work on the machine then meets both.
TURNS = 3
SECRETS = {"k1": "a key of the benchmark, good for nothing else"}
#: Of each event that is pushed at those who do not read: a ride's events have some hundred bytes.
EVENT_BYTES = 2_000
#: They are filled in so many parts, one after the other, within two seconds.
PUSH_PARTS = 100
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class City:
    """The processes of an installation, by name, and its ports."""

    redis_port: int
    broker_port: int
    api_port: int
    running: dict[str, subprocess.Popen[bytes]]

    def cpu_s(self, name: str) -> float:
        """CPU seconds a process has spent so far."""
        stat = Path(f"/proc/{self.running[name].pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

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


async def _phones(city: City, tokens: Sequence[str]) -> asyncio.subprocess.Process:
    """Return the process of the phones when all are connected."""
    command = (sys.executable, "-m", "benchmarks._sockets_phones", str(city.api_port), str(len(tokens)))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, str(PING_EVERY_S), stdin=pipe, stdout=pipe)
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
    return int(await redis.hget(f"{{{REGION}}}:totals", "pings_accepted") or 0)


async def _newest(redis: Redis, ids: Sequence[str], latency_ms: list[float]) -> None:
    last: dict[str, bytes] = {}
    while True:
        entries = await redis.hmget(f"{{{REGION}}}:index", ids)
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


async def _push(redis: Redis, ids: Sequence[str]) -> None:
    """Fill the inboxes of those who do not read, 10 KB a second each, until cancelled.

    Some at a time: filling all at once would hold up this process, which also looks at the time.
    """
    payload = b'{"event":"OfferSent","filler":"%s"}' % (b"x" * EVENT_BYTES)
    size = -(-len(ids) // PUSH_PARTS)
    position = 0
    while True:
        for start in range(0, len(ids), size):
            some = [f"driver:{driver_id}" for driver_id in ids[start : start + size]]
            pipeline = redis.pipeline(transaction=False)
            for _ in range(10):
                position += 1
                for name in some:
                    pipeline.xadd(inbox_key(name), {"payload": payload}, id=f"{position}-0", maxlen=100)
            pipeline.publish(NEWS_CHANNEL, " ".join(some))
            await pipeline.execute()
            await asyncio.sleep(2.0 / PUSH_PARTS)


async def _beside_the_deaf(
    city: City, redis: Redis, ids: Sequence[str], deaf: dict[str, str], seconds_s: float, token: str
) -> Seconds:
    """Measure while those who never read (token by id) are sent as much as their streams take."""
    sockets = [await _deaf(city, deaf_token) for deaf_token in deaf.values()]
    asked = [asyncio.create_task(_push(redis, list(deaf))), asyncio.create_task(_peak(city))]
    try:
        return await _watch(city, redis, ids, seconds_s, token)
    finally:
        await end(asked)
        for one in sockets:
            one.close()
        await asyncio.sleep(1.0)


async def _measure(city: City, report: Report, drivers: int, readers: int, seconds_s: float) -> None:
    tokens = Tokens(SECRETS)
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
    alone: list[Seconds] = []
    beside: list[Seconds] = []
    for turn in range(TURNS):
        alone.append(await _watch(city, redis, ids, seconds_s, token))
        deaf_ids = [f"deaf-{turn}-{number}" for number in range(readers)]
        deaf = {driver_id: tokens.issue(Role.DRIVER, driver_id) for driver_id in deaf_ids}
        beside.append(await _beside_the_deaf(city, redis, ids, deaf, seconds_s, token))
    phones.kill()
    said = (await phones.stdout.read()).split(b"\n")[-2].split()
    header = ["", "pings/s", "cores", "CPU µs a ping", "memory MB"]
    header += ["to Redis p50 ms", "p99 ms", "keep-alive p50 ms", "p99 ms"]
    rows = [Seconds.of(alone).row(f"{drivers} drivers"), Seconds.of(beside).row(f"and {readers} who never read")]
    report.table("One API process", header, rows)
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
    """Measure both; about a minute and a half."""
    limits.raise_open_files()
    with _city() as city:
        asyncio.run(_measure(city, report, *((50, 5, 1.0) if small else (10_000, 500, 10.0))))
    report.note(f"load average at the end: {os.getloadavg()[0]:.1f}")
