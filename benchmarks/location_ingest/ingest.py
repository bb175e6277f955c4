"""Pings through a real gateway, broker, worker and Redis: sustained rate, latency, CPU of each process, the usual way.

Four processes of the product's own code and servers. The gateway gets frames of ten pings (GPS at 10 Hz, a frame each
second) over a local socket, without HTTP; what sockets cost is the benchmark `sockets`. CPU is of whole processes, from
/proc; latency is from the time of a ping to its being read from Redis, for a sample of the drivers.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from api.streams.sockets import end
from backing import faust_worker, kafka
from benchmarks.common.measure import Report
from benchmarks.common.processes import Processes, servers
from benchmarks.location_ingest.inputs import FRAME_EVERY_S, FRAME_PINGS, REGIONS, Fleet, Frames
from hexhail.runtime import embedded
from kernel.contracts import redis_keys
from location_ingest.adapters.kafka_pings import new_producer
from location_ingest.adapters.ping_codec import encode_columns
from location_ingest.columns import PingColumns

TICK_S = 0.02
LOOK_EVERY_S = 0.01
PROBES = 100
P99_MS_MAX = 250.0
PARTITIONS = len(REGIONS)


def _start_worker(processes: Processes, name: str, way: str, topic: str) -> None:
    """Start a worker of the topic's group."""
    processes.start(
        name,
        "benchmarks.location_ingest.worker_process",
        way,
        *processes.addresses,
        topic,
        str(processes.folder / name),
    )


@dataclass
class Step:
    """Results of one offered load."""

    offered_per_s: float
    stored_per_s: float
    latency_ms: np.ndarray
    cpu_us: dict[str, float]

    @property
    def p99_ms(self) -> float:
        """Milliseconds from ping to Redis, infinite if nothing arrived."""
        return float(np.percentile(self.latency_ms, 99)) if len(self.latency_ms) else np.inf

    @property
    def is_sustained(self) -> bool:
        """Whether all came through, and in time."""
        return self.stored_per_s > 0.97 * self.offered_per_s and self.p99_ms <= P99_MS_MAX

    def row(self) -> list[object]:
        """As a row of the table."""
        p50 = float(np.median(self.latency_ms)) if len(self.latency_ms) else np.inf
        return [
            self.offered_per_s,
            self.stored_per_s,
            p50,
            self.p99_ms,
            *self.cpu_us.values(),
            sum(self.cpu_us.values()),
        ]


async def _stored(redis: Redis) -> int:
    counts = [await redis.hget(redis_keys.totals(region_id), redis_keys.PINGS_ACCEPTED) for region_id in REGIONS]
    return sum(int(count or 0) for count in counts)


async def _until_stored(redis: Redis, wanted: int, within_s: float) -> float:
    """Return when so many were stored, by the monotonic clock; raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while await _stored(redis) < wanted:
            await asyncio.sleep(LOOK_EVERY_S)
    return time.monotonic()


class _Phones:
    """Send the frames of a fleet evenly over each second."""

    def __init__(self, writer: asyncio.StreamWriter, pings_per_s: float) -> None:
        drivers = int(pings_per_s / FRAME_PINGS * FRAME_EVERY_S)
        self.fleet = Fleet(drivers)
        self._frames = Frames(self.fleet)
        self._writer = writer
        self.sent = 0

    @property
    def frame_bytes(self) -> int:
        """The size that the gateway must know."""
        return self._frames.size

    async def run(self) -> None:
        """Send until cancelled."""
        drivers = len(self.fleet.driver_ids)
        began_s, frames_sent = time.time(), 0
        while True:
            now_s = time.time()
            due = int((now_s - began_s) / FRAME_EVERY_S * drivers)
            driver = np.arange(frames_sent, due) % drivers
            if len(driver):
                self._writer.write(self._frames.at(driver, now_s))
                await self._writer.drain()
            frames_sent = due
            self.sent = due * FRAME_PINGS
            await asyncio.sleep(max(0.0, TICK_S - (time.time() - now_s)))


async def _watch(redis: Redis, fleet: Fleet, latency_ms: list[float]) -> None:
    """Note how old each new position of some drivers is when it is first read."""
    probes = [[d for d in range(PROBES) if fleet.region_id[d] == number] for number in range(len(REGIONS))]
    last: dict[str, bytes] = {}
    while True:
        for region_id, own in zip(REGIONS, probes, strict=True):
            names = [fleet.driver_ids[driver] for driver in own]
            entries = await redis.hmget(redis_keys.driver_index(region_id), names)
            now_ms = time.time() * 1e3
            for name, entry in zip(names, entries, strict=True):
                if entry is not None and entry != last.get(name):
                    last[name] = entry
                    latency_ms.append(now_ms - int(entry.rpartition(b"|")[2]))
        await asyncio.sleep(LOOK_EVERY_S)


async def _step(processes: Processes, port: int, pings_per_s: float, settle_s: float, measured_s: float) -> Step:
    redis = Redis(port=processes.redis_port)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    phones = _Phones(writer, pings_per_s)
    writer.write(phones.frame_bytes.to_bytes(4, "little"))
    sending = asyncio.create_task(phones.run())
    await asyncio.sleep(settle_s)
    latency_ms: list[float] = []
    watching = asyncio.create_task(_watch(redis, phones.fleet, latency_ms))
    await asyncio.sleep(0.3)
    latency_ms.clear()
    cpu_s, stored, began_s = processes.cpu_s(), await _stored(redis), time.monotonic()
    await asyncio.sleep(measured_s)
    spent = {name: after - cpu_s[name] for name, after in processes.cpu_s().items()}
    pings = await _stored(redis) - stored
    elapsed_s = time.monotonic() - began_s
    await end([sending, watching])
    writer.close()
    # What is still on its way would count in the next step, and its drivers send nothing older than this.
    await asyncio.sleep(1.5)
    await redis.flushall()
    await redis.aclose()
    cpu_us = {name: 1e6 * value / max(pings, 1) for name, value in sorted(spent.items())}
    return Step(pings_per_s, pings / elapsed_s, np.array(latency_ms), cpu_us)


async def _sustained(processes: Processes, report: Report, *, small: bool) -> Step:
    """Step the offered load until it is too much; return the last that was sustained (or the first)."""
    port = embedded.free_port()
    await kafka.create_topics(processes.addresses[0], ["steps", "steps.dead"], PARTITIONS)
    processes.start("gateway", "benchmarks.location_ingest.gateway_process", *processes.addresses, "steps", str(port))
    _start_worker(processes, "worker", "columns", "steps")
    await embedded.wait_for_port(port, "the gateway", 60.0)
    await _warm(processes, port)
    steps: list[Step] = []
    for pings_per_s in (2_000.0,) if small else (50_000.0, 75_000.0, 100_000.0, 125_000.0, 150_000.0):
        settle_s, measured_s = (0.5, 1.0) if small else (3.0, 7.0)
        steps.append(await _step(processes, port, pings_per_s, settle_s, measured_s))
        if not small and not steps[-1].is_sustained and len(steps) > 1:
            # Once more: other work on the machine also makes pings late.
            again = await _step(processes, port, pings_per_s, settle_s, measured_s)
            steps.append(again)
            if not again.is_sustained:
                break
    header = ["offered pings/s", "stored pings/s", "p50 ms", "p99 ms", *(f"{n} µs" for n in steps[0].cpu_us), "all µs"]
    report.table("One worker, CPU µs a ping", header, [step.row() for step in steps])
    processes.stop("gateway", "worker")
    return max([step for step in steps if step.is_sustained] or steps[:1], key=lambda step: step.offered_per_s)


async def _warm(processes: Processes, port: int) -> None:
    """Return once pings come through: a worker needs seconds to join its group."""
    redis = Redis(port=processes.redis_port)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    phones = _Phones(writer, 1_000.0)
    writer.write(phones.frame_bytes.to_bytes(4, "little"))
    sending = asyncio.create_task(phones.run())
    await _until_stored(redis, 1, 90.0)
    await asyncio.sleep(1.0)
    sending.cancel()
    writer.close()
    await asyncio.sleep(1.5)
    await redis.flushall()
    await redis.aclose()


async def _drain(processes: Processes, workers: int, messages: int) -> tuple[float, dict[str, float]]:
    """Return (pings/s, CPU µs a ping) of workers whose log is filled as fast as one process can write it.

    Groups of 1,000 pings of 1,000 drivers each; of a driver who is in a batch several times one position is written.
    """
    topic = f"drain{workers}"
    await kafka.create_topics(processes.addresses[0], [topic, f"{topic}.dead"], PARTITIONS)
    producer = new_producer(kafka.bootstrap_servers(processes.addresses[0]))
    await producer.start()
    redis = Redis(port=processes.redis_port)
    await redis.flushall()
    fleet = Fleet(40_000)
    try:
        await _fill(producer, topic, fleet, PARTITIONS, 0)
        for number in range(workers):
            _start_worker(processes, f"worker {number + 1}", "columns", topic)
        await _until_stored(redis, PARTITIONS * 1_000, 90.0)
        # A second worker makes the first one join anew: wait until both have had time for it.
        await asyncio.sleep(1.0 if workers == 1 else 8.0)
        stored = await _stored(redis)
        before = processes.cpu_s()
        began_s = await _fill(producer, topic, fleet, messages, PARTITIONS)
        elapsed_s = await _until_stored(redis, stored + 1_000 * messages, 120.0) - began_s
        spent = {name: after - before[name] for name, after in processes.cpu_s().items()}
    finally:
        processes.stop(*[name for name in processes.running if name.startswith("worker")])
        await producer.stop()
        await redis.aclose()
    pings = 1_000 * messages
    return pings / elapsed_s, {name: 1e6 * value / pings for name, value in sorted(spent.items())}


async def _fill(producer: AIOKafkaProducer, topic: str, fleet: Fleet, messages: int, first: int) -> float:
    """Write groups of 1,000 drivers' positions, to all regions in turn; returns when it began, monotonic."""
    now_s = time.time() - 60.0
    numbers = np.arange(len(fleet.driver_ids)).reshape(-1, len(REGIONS))
    groups = []
    for message in range(first, first + messages):
        turn, region_id = divmod(message, len(REGIONS))
        own = numbers[(np.arange(1_000) + 1_000 * turn) % len(numbers), region_id]
        t_s = np.full(len(own), now_s + 0.1 * (turn // 10))
        columns = [t_s, fleet.lat_deg(own, t_s), fleet.lng_deg[own], np.zeros(len(own)), np.full(len(own), 10.0)]
        values = np.column_stack([*columns, np.full(len(own), 5.0)])
        group = PingColumns(REGIONS[region_id], now_s + 60.0, [fleet.driver_ids[driver] for driver in own], values)
        groups.append((encode_columns(group), region_id))
    began_s = time.monotonic()
    for start in range(0, len(groups), 64):
        sends = [await producer.send(topic, value, partition=p) for value, p in groups[start : start + 64]]
        await asyncio.gather(*sends)
    return began_s


async def _usual(processes: Processes, pings: int) -> tuple[float, dict[str, float]]:
    """Return (pings/s, CPU µs a ping) of one message a ping, GEOADD and HSET a ping; the writer is this process."""
    await kafka.create_topics(processes.addresses[0], ["usual"], PARTITIONS)
    producer = new_producer(kafka.bootstrap_servers(processes.addresses[0]))
    await producer.start()
    redis = Redis(port=processes.redis_port)
    await redis.flushall()
    fleet = Fleet(10_000)
    _start_worker(processes, "worker", "usual", "usual")

    async def reached(count: int, within_s: float) -> float:
        async with asyncio.timeout(within_s):
            while int(await redis.get("count") or 0) < count:
                await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic()

    async def write(first: int, count: int) -> None:
        for start in range(first, first + count, 500):
            sends = [
                await producer.send("usual", _usual_ping(fleet, number), partition=number % PARTITIONS)
                for number in range(start, min(start + 500, first + count))
            ]
            await asyncio.gather(*sends)

    try:
        await write(0, 4)
        await reached(4, 90.0)
        before, own_s = processes.cpu_s(), time.process_time()
        began_s = time.monotonic()
        await write(4, pings)
        own_s = time.process_time() - own_s
        elapsed_s = await reached(4 + pings, 120.0) - began_s
        spent = {name: after - before[name] for name, after in processes.cpu_s().items()} | {"gateway": own_s}
    finally:
        processes.stop("worker")
        await producer.stop()
        await redis.aclose()
    return pings / elapsed_s, {name: 1e6 * value / pings for name, value in sorted(spent.items())}


def _usual_ping(fleet: Fleet, number: int) -> bytes:
    driver, t_s = number % len(fleet.driver_ids), time.time()
    lat_deg = fleet.lat_deg(np.array([driver]), np.array([t_s]))[0]
    ping: dict[str, Any] = {"driver_id": fleet.driver_ids[driver], "t_s": t_s, "lat_deg": float(lat_deg)}
    return msgspec.json.encode(ping | {"lng_deg": float(fleet.lng_deg[driver]), "heading_deg": 0.0, "speed_mps": 10.0})


def run(small: bool, report: Report) -> None:
    """Measure all of it; about three minutes, seconds if small."""
    faust_worker.use_uvloop()
    with servers() as processes:
        best = asyncio.run(_sustained(processes, report, small=small))
    ways: dict[str, tuple[float, dict[str, float]]] = {}
    for name, workers in (
        (("one worker, no gateway", 1),) if small else (("one worker, no gateway", 1), ("two workers", 2))
    ):
        with servers() as processes:
            ways[name] = asyncio.run(_drain(processes, workers, 8 if small else 1_200))
    with servers() as processes:
        ways["the usual way"] = usual = asyncio.run(_usual(processes, 200 if small else 40_000))
    rows = [
        [name, rate, "  ".join(f"{part} {us:.2f}" for part, us in cpu_us.items()), sum(cpu_us.values())]
        for name, (rate, cpu_us) in ways.items()
    ]
    report.table("Pings/s, and CPU µs a ping", ["way", "pings/s", "of each process", "all"], rows)
    report.figure("sustained by one worker", best.offered_per_s if best.is_sustained else 0.0, "pings/s")
    report.figure("p99 from ping to Redis at that rate", best.p99_ms, "ms")
    report.figure("CPU of the worker at that rate", best.cpu_us["worker"], "µs a ping")
    report.figure("CPU of all processes at that rate", sum(best.cpu_us.values()), "µs a ping")
    report.figure("CPU of the usual way, times ours", sum(usual[1].values()) / sum(best.cpu_us.values()), "")
    report.note(f"load average at the end: {os.getloadavg()[0]:.1f}; other work on the machine lowers rates, not CPU")
