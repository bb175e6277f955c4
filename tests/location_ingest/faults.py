"""Injects faults between gateway and cells, one after the other, and counts lost and reordered numbered pings.

A fault is a function that does it and undoes it while phones go on sending. `python -m benchmarks faults` runs them
all, the tests the essential ones.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backing import kafka
from hexhail.runtime import embedded
from kernel.contracts import redis_keys
from location_ingest.adapters.kafka_pings import KafkaPings, new_producer
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import GatewayParams
from location_ingest.service import PingGateway
from tests.location_ingest.processes import Server, Worker, start_worker
from tests.location_ingest.street import Count, Phones, Witness, count, everywhere, numbered_ping
from tests.patience import PATIENCE_S, eventually

#: The partitions of each region: both are in use, so that both of two workers have something to do, and share one.
REGIONS = {"north": (0,), "east": (1,), "south": (1, 0)}
PARTITIONS = 2
DRIVERS_PER_REGION = 60
#: Small, so that a redelivery is several batches and an older position over a newer one would be seen.
BATCH_MESSAGES = 10
#: How long phones send before the fault.
CALM_S = 1.5


@dataclass
class FaultTarget:
    """The servers, processes and clients that a fault may affect."""

    broker: Server
    valkey: Server
    topic: str
    folder: Path
    session_s: float
    producer: AIOKafkaProducer
    redis: Redis
    witness: Witness
    worker_options: tuple[str, ...] = ()
    workers: list[Worker] = field(default_factory=list)
    phones: list[Phones] = field(default_factory=list)
    #: When the fault began; a fault that needs preparations sets it after them.
    began_s: float = 0.0
    #: Positions from before this went with the store's data.
    data_since_s: float = 0.0
    garbage: int = 0

    def start_worker(self) -> Worker:
        options = ("--session-s", str(self.session_s), "--batch-messages", str(BATCH_MESSAGES), *self.worker_options)
        folder = self.folder / f"worker-{len(self.workers)}"
        self.workers.append(start_worker(self.broker, self.valkey, self.topic, folder, *options))
        return self.workers[-1]

    async def start_second_worker(self) -> Worker:
        """Return when it is up and the group has settled."""
        worker = self.start_worker()

        async def is_up() -> bool:
            return "worker started" in worker.log.read_text()

        await eventually(is_up)
        await asyncio.sleep(self.session_s + 1.0)
        return worker

    async def restart(self, worker: Worker) -> None:
        """Wait for a worker's death and start the next one, as the supervisor does."""
        await asyncio.to_thread(worker.process.wait, PATIENCE_S)
        self.start_worker()


Fault = Callable[[FaultTarget], Awaitable[None]]


async def worker_killed_in_the_middle_of_a_batch(target: FaultTarget) -> None:
    target.workers[0].process.send_signal(signal.SIGUSR2)
    await target.restart(target.workers[0])


async def store_killed_and_restarted_with_its_data(target: FaultTarget) -> None:
    target.valkey.kill()
    await asyncio.sleep(1.0)
    await asyncio.to_thread(target.valkey.start)


async def store_killed_and_restarted_without_its_data(target: FaultTarget) -> None:
    # What was stored by now is gone, also of drivers who never ping again; what is on its way must not be.
    target.valkey.kill()
    target.data_since_s = time.time()
    target.valkey.forget()
    target.witness.forget()
    await asyncio.sleep(1.0)
    await asyncio.to_thread(target.valkey.start)


async def broker_paused_for_10_s(target: FaultTarget) -> None:
    target.broker.signal(signal.SIGSTOP)
    await asyncio.sleep(10.0)
    target.broker.signal(signal.SIGCONT)


async def worker_paused_for_longer_than_its_session(target: FaultTarget) -> None:
    await target.start_second_worker()
    target.began_s = time.time()
    paused = target.workers[0].process
    paused.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2.5 * target.session_s + 2.0)
    paused.send_signal(signal.SIGCONT)


async def second_worker_joins_and_leaves(target: FaultTarget) -> None:
    second = await target.start_second_worker()
    assert await asyncio.to_thread(second.stop, PATIENCE_S) == 0, second.log.read_text()[-2000:]


async def exception_in_the_batch_handler(target: FaultTarget) -> None:
    target.workers[0].process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(1.0)


async def one_frame_of_a_hundred_is_garbage(target: FaultTarget) -> None:
    """As many bad messages in three seconds as a hundredth of all, of every kind."""
    rng = random.Random(1)
    for _ in range(3):
        partition = rng.randrange(PARTITIONS)
        for value in (rng.randbytes(rng.randrange(200)), b"", b"\x93\x01\x02"):
            await target.producer.send_and_wait(target.topic, value, partition=partition)
            target.garbage += 1
        await asyncio.sleep(1.0)


FAULTS: tuple[Fault, ...] = (
    worker_killed_in_the_middle_of_a_batch,
    store_killed_and_restarted_with_its_data,
    store_killed_and_restarted_without_its_data,
    broker_paused_for_10_s,
    worker_paused_for_longer_than_its_session,
    second_worker_joins_and_leaves,
    exception_in_the_batch_handler,
    one_frame_of_a_hundred_is_garbage,
)


@dataclass(frozen=True)
class Outcome:
    """What a fault has done."""

    fault: str
    count: Count
    older_over_newer: int
    dead_letters: int
    garbage: int
    #: From the beginning of the fault until every region's positions in the store are fresh again, for good.
    recovery_s: float


async def run_faults(
    faults: Sequence[Fault],
    broker: Server,
    valkey: Server,
    folder: Path,
    *,
    session_s: float = 3.0,
    settle_s: float = 3.0,
    worker_options: tuple[str, ...] = (),
    copies: kafka.Copies | None = None,
) -> list[Outcome]:
    """Run each fault on a topic of its own with a worker of its own, one after the other."""
    outcomes = []
    for number, fault in enumerate(faults):
        topic = f"faults-{number}-{int(time.time())}"
        async with _scene(broker, valkey, topic, folder / topic, session_s, worker_options, copies) as target:
            outcomes.append(await _run(fault, target, settle_s))
    return outcomes


@asynccontextmanager
async def _scene(
    broker: Server,
    valkey: Server,
    topic: str,
    folder: Path,
    session_s: float,
    worker_options: tuple[str, ...],
    copies: kafka.Copies | None,
) -> AsyncIterator[FaultTarget]:
    broker_url = f"kafka://127.0.0.1:{broker.port}"
    await kafka.create_topics(broker_url, [topic, f"{topic}.dead"], PARTITIONS, copies)
    producer = new_producer(kafka.bootstrap_servers(broker_url), request_timeout_s=2.0)
    await producer.start()
    # Once more after a lost connection: the store may have been another process.
    redis = Redis(port=valkey.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 2))
    await redis.flushall()
    witness = Witness(valkey.port)
    watching = asyncio.create_task(witness.watch())
    target = FaultTarget(broker, valkey, topic, folder, session_s, producer, redis, witness, worker_options)
    try:
        yield target
    finally:
        watching.cancel()
        for worker in target.workers:
            worker.kill()
        await producer.stop()
        await redis.aclose()


async def _run(fault: Fault, target: FaultTarget, settle_s: float) -> Outcome:
    gateways = [_gateway(target, region_id) for region_id in REGIONS]
    stop = asyncio.Event()
    target.start_worker()
    await _until_the_worker_works(target, gateways)
    target.phones = [
        Phones(gateway, region_id, DRIVERS_PER_REGION, 30.0)
        for gateway, region_id in zip(gateways, REGIONS, strict=True)
    ]
    sending = [asyncio.create_task(phones.run(stop)) for phones in target.phones]
    await asyncio.sleep(CALM_S)
    target.began_s = time.time()
    await fault(target)
    await _until_well(target, time.time(), settle_s)
    stop.set()
    await asyncio.gather(*sending)
    counted = await _final_count(target)
    for gateway in gateways:
        await gateway.close()
    return Outcome(
        fault.__name__.replace("_", " "),
        counted,
        target.witness.older_over_newer,
        await _dead_letters(target),
        target.garbage,
        target.witness.late_until_s(target.began_s) - target.began_s,
    )


def _gateway(target: FaultTarget, region_id: str) -> PingGateway:
    log = KafkaPings(target.producer, target.topic, REGIONS.__getitem__)
    # Small groups: many messages, so that a fault meets some of them.
    params = GatewayParams(group_pings_max=20)
    metrics = GatewayMetrics(CollectorRegistry())
    return PingGateway(log, RedisCells(target.redis), [region_id], everywhere, metrics=metrics, params=params)


async def _until_the_worker_works(target: FaultTarget, gateways: Sequence[PingGateway]) -> None:
    for gateway, region_id in zip(gateways, REGIONS, strict=True):
        now_s = time.time()
        await gateway.submit([numbered_ping(f"{region_id}-first", now_s, 0)], now_s)

    async def every_region_has_a_position() -> bool:
        with suppress(ConnectionError):
            return all([await target.redis.exists(redis_keys.driver_index(region_id)) for region_id in REGIONS])
        return False

    await eventually(every_region_has_a_position)
    for region_id in REGIONS:
        await target.redis.delete(redis_keys.totals(region_id))


async def _until_well(target: FaultTarget, since_s: float, settle_s: float) -> None:
    """Return when every region's positions have been fresh for a while, not before `since_s`."""
    deadline_s = time.time() + PATIENCE_S
    healthy_since_s = None
    while time.time() < deadline_s:
        now_s = time.time()
        fresh = [times_s[-1] for times_s in target.witness.fresh_s.values() if times_s[-1] > since_s]
        if len(fresh) == len(REGIONS) and min(fresh) > now_s - 0.7:
            healthy_since_s = healthy_since_s or now_s
            if now_s - healthy_since_s > settle_s:
                return
        else:
            healthy_since_s = None
        await asyncio.sleep(0.05)


async def _final_count(target: FaultTarget) -> Count:
    """Wait until nothing is missing any more, or for so long that it never will come."""
    found = await count(target.redis, target.phones, target.data_since_s)
    deadline_s = time.time() + PATIENCE_S
    while found.lost and time.time() < deadline_s:
        await asyncio.sleep(0.1)
        found = await count(target.redis, target.phones, target.data_since_s)
    return found


async def _dead_letters(target: FaultTarget) -> int:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{target.broker.port}")
    await consumer.start()
    try:
        partitions = [TopicPartition(f"{target.topic}.dead", number) for number in range(PARTITIONS)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


def durable_valkey(folder: Path) -> Server:
    """A store that a fault may kill: its append-only file brings the data back."""
    return Server(embedded.valkey_command, folder)
