"""End-to-end ingestion: gateway, broker, worker process and cells, with injected faults."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backing import kafka
from geo.cells import cells_to_strings, latlng_to_cells
from geo.positions import unpack
from kernel.contracts import redis_keys
from kernel.contracts.partitions import partition_by_name
from location_ingest.adapters.kafka_pings import KafkaPings, new_producer
from location_ingest.adapters.ping_codec import encode_columns
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.columns import PingColumns
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import DriverPing, GatewayParams, PingGroup, Reason
from location_ingest.service import PingGateway
from tests.location_ingest.street import everywhere
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.servers

PARTITIONS = 2
LAT_DEG, LNG_DEG = 40.75, -73.98


def cell_of(ping: DriverPing, resolution: int = 9) -> str:
    return cells_to_strings(latlng_to_cells(ping.lat_deg, ping.lng_deg, resolution))[0]


def make_ping(driver_id: str, t_s: float, step: int = 0) -> DriverPing:
    """A driver who goes north by 111 m a step."""
    return DriverPing(driver_id, t_s, LAT_DEG + 0.001 * step, LNG_DEG, 90.0, 7.5, 5.0)


async def everything_in(redis: Redis) -> dict[bytes, Any]:
    """Return all keys with their values, to compare."""
    values: dict[bytes, Any] = {}
    for key in sorted(await redis.keys("*")):
        kind = await redis.type(key)
        values[key] = await (redis.zrange(key, 0, -1, withscores=True) if kind == b"zset" else redis.hgetall(key))
    return values


class Street:
    """One topic with its worker, a gateway for each region asked for, and the cells."""

    def __init__(self, broker: Any, valkey: Any, topic: str) -> None:
        self.broker_url = f"kafka://127.0.0.1:{broker.port}"
        self.topic = topic
        self.redis = Redis(port=valkey.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
        self.cells = RedisCells(self.redis)
        self.producer: AIOKafkaProducer | None = None
        self.gateways: list[PingGateway] = []

    async def open(self) -> None:
        await kafka.create_topics(self.broker_url, [self.topic, f"{self.topic}.dead"], PARTITIONS)
        self.producer = new_producer(kafka.bootstrap_servers(self.broker_url), request_timeout_s=1.0)
        await self.producer.start()

    async def close(self) -> None:
        for gateway in self.gateways:
            await gateway.close()
        await self.producer.stop()
        await self.redis.aclose()

    def gateway(self, region_id: str, params: GatewayParams | None = None) -> PingGateway:
        log = KafkaPings(self.producer, self.topic, lambda region_id: (self.partition_of(region_id),))
        metrics = GatewayMetrics(CollectorRegistry())
        params = params or GatewayParams(submit_s_max=PATIENCE_S, last_times_s_max=PATIENCE_S)
        self.gateways.append(PingGateway(log, self.cells, [region_id], everywhere, metrics=metrics, params=params))
        return self.gateways[-1]

    @staticmethod
    def partition_of(region_id: str) -> int:
        return partition_by_name(region_id, PARTITIONS)

    async def write(self, region_id: str, value: bytes) -> None:
        """Write past the gateway."""
        await self.producer.send_and_wait(self.topic, value, partition=self.partition_of(region_id))

    async def accepted(self, region_id: str) -> int:
        return int(await self.redis.hget(redis_keys.totals(region_id), redis_keys.PINGS_ACCEPTED) or 0)

    async def await_accepted(self, region_id: str, count: int) -> None:
        async def reached() -> bool:
            return await self.accepted(region_id) >= count

        await eventually(reached)
        assert await self.accepted(region_id) == count


@pytest.fixture
async def street_of() -> AsyncIterator[Callable[..., Awaitable[Street]]]:
    streets: list[Street] = []

    async def make(broker: Any, valkey: Any, topic: str) -> Street:
        streets.append(Street(broker, valkey, topic))
        await streets[-1].open()
        return streets[-1]

    yield make
    for street in streets:
        await street.close()


@pytest.fixture(scope="session")
def early_workers(broker: Any, valkey: Any, start_shared_worker: Any) -> Iterator[Any]:
    """Two workers that start together, for that takes seconds: a sound one, and one whose first batches fail."""
    topics = ["shared", "shared.dead", "failing", "failing.dead"]
    asyncio.run(kafka.create_topics(f"kafka://127.0.0.1:{broker.port}", topics, PARTITIONS))
    worker = start_shared_worker(broker, valkey, "shared")
    start_shared_worker(broker, valkey, "failing", "--fail", "4")
    yield worker
    assert {path.name for path in worker.log.parent.iterdir()} == {"log", "data"}
    assert worker.process.poll() is None, worker.log.read_text()[-3000:]


@pytest.fixture
async def street(broker: Any, valkey: Any, early_workers: Any, street_of: Any) -> Any:
    return await street_of(broker, valkey, "shared")


async def test_pings_end_in_the_right_cells_and_a_replay_changes_nothing(street: Any) -> None:
    now_s = time.time()
    pings = [make_ping(f"d{n}", now_s - 20 + 5 * step, step) for step in range(3) for n in range(40)]
    gateway = street.gateway("north")
    await gateway.submit(pings, now_s)
    await street.await_accepted("north", 120)
    last = pings[-40:]
    found = await street.cells.read("north", sorted({cell_of(ping) for ping in pings}))
    assert set(found) == {ping.driver_id for ping in last}
    assert set(await street.cells.read("north", [cell_of(last[0])])) == set(found)
    record = unpack([found["d0"]])[0]
    assert (record["t_ms"], record["speed_cmps"], record["heading_cdeg"]) == (round(last[0].t_s * 1e3), 750, 9000)
    assert np.isclose(record["lat_e7"] / 1e7, last[0].lat_deg)

    before = await everything_in(street.redis)
    for start in (0, 60):
        group = PingGroup("north", now_s, tuple(pings[start : start + 60]))
        await street.write("north", encode_columns(PingColumns.of(group)))
    behind = PingGroup("north", now_s, (make_ping("behind", now_s),))
    await street.write("north", encode_columns(PingColumns.of(behind)))
    await street.await_accepted("north", 121)
    await street.cells.remove("north", ["behind"])
    await street.redis.hincrby(redis_keys.totals("north"), "pings_accepted", -1)
    assert await everything_in(street.redis) == before


async def test_the_edge_refuses_what_is_not_newer_also_when_another_process_took_it(street: Any) -> None:
    now_s = time.time()
    await street.gateway("south").submit([make_ping("a", now_s - 1), make_ping("b", now_s)], now_s)
    await street.await_accepted("south", 2)
    fresh = street.gateway("south")
    again = [make_ping("c", now_s), make_ping("a", now_s - 1), make_ping("b", now_s - 1)]
    late = ((1, Reason.DUPLICATE_TIME, "t_s"), (2, Reason.OUT_OF_ORDER, "t_s"))
    assert await fresh.submit(again, now_s) == (1, late)
    await street.await_accepted("south", 3)


async def test_garbage_goes_to_the_dead_letters_and_the_next_message_is_processed(street: Any) -> None:
    now_s = time.time()
    garbage = [
        b"",
        b"\xc1",
        b"not msgpack",
        msgspec.msgpack.encode({"region": "east"}),
        msgspec.msgpack.encode({"region": "atlantis", "received_s": now_s, "driver_ids": [], "values": b""}),
        msgspec.msgpack.encode({"region": "east", "received_s": now_s, "driver_ids": ["d"], "values": b"short"}),
    ]
    for value in garbage:
        await street.write("east", value)
    await street.gateway("east").submit([make_ping("d", now_s)], now_s)
    await street.await_accepted("east", 1)
    partition = TopicPartition("shared.dead", street.partition_of("east"))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers(street.broker_url))
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        letters: list[Any] = []

        async def all_read() -> bool:
            batch = await consumer.getmany(partition, timeout_ms=200)
            letters.extend(msgspec.msgpack.decode(record.value) for record in batch.get(partition, []))
            return len(letters) >= len(garbage)

        await eventually(all_read)
    finally:
        await consumer.stop()
    assert [letter["value"] for letter in letters] == garbage
    assert all(letter["reason"] and letter["partition"] == partition.partition for letter in letters)
    assert len({letter["offset"] for letter in letters}) == len(garbage)


async def test_a_stale_driver_is_swept(street: Any) -> None:
    now_s = time.time()
    await street.gateway("west").submit([make_ping("stale", now_s - 119.0), make_ping("fresh", now_s)], now_s)
    await street.await_accepted("west", 2)

    async def swept() -> bool:
        return await street.redis.hkeys(redis_keys.driver_index("west")) == [b"fresh"]

    await eventually(swept)
    assert set(await street.cells.read("west", [cell_of(make_ping("fresh", now_s), 8)])) == {"fresh"}


async def test_positions_come_back_after_the_store_was_emptied_and_restarted(
    broker: Any, own_valkey: Any, start_worker: Any, street_of: Any
) -> None:
    street = await street_of(broker, own_valkey, "restart")
    start_worker(broker, own_valkey, "restart")
    gateway = street.gateway("north")
    now_s = time.time()
    await gateway.submit([make_ping("d", now_s - 10)], now_s)
    await street.await_accepted("north", 1)
    await street.redis.flushall()
    await gateway.submit([make_ping("d", now_s - 9)], now_s)
    await street.await_accepted("north", 1)
    own_valkey.kill()
    await gateway.submit([make_ping("d", now_s - 8, 1), make_ping("e", now_s - 8)], now_s)
    await asyncio.sleep(0.5)
    own_valkey.start()
    await street.await_accepted("north", 2)
    assert set(await street.cells.read("north", [cell_of(make_ping("d", 0.0, 1))])) >= {"d"}


async def test_batches_that_fail_lose_nothing(broker: Any, valkey: Any, early_workers: Any, street_of: Any) -> None:
    street = await street_of(broker, valkey, "failing")
    gateway = street.gateway("brooklyn")
    now_s = time.time()
    for step in range(20):
        batch = [make_ping(f"d{n}", now_s + 0.1 * step, step % 2) for n in range(10)]
        await gateway.submit(batch, now_s + 0.1 * step)
    await street.await_accepted("brooklyn", 200)


async def test_a_worker_without_progress_exits_to_be_restarted(
    broker: Any, valkey: Any, start_worker: Any, street_of: Any
) -> None:
    street = await street_of(broker, valkey, "stuck")
    now_s = time.time()
    await street.gateway("north").submit([make_ping("stuck", now_s)], now_s)
    worker = start_worker(broker, valkey, "stuck", "--fail", "1000000", "--stuck-after-s", "1.0")
    assert await asyncio.to_thread(worker.process.wait, PATIENCE_S) == 1
    assert "WorkerStuck" in worker.log.read_text()


async def test_topics_are_created_once_and_must_have_their_partitions(broker: Any) -> None:
    url = f"kafka://127.0.0.1:{broker.port}"
    await kafka.create_topics(url, ["one", "two"], 2)
    await kafka.create_topics(url, ["one", "two", "three"], 2)
    with pytest.raises(kafka.TopicsDiffer, match="topic one has 2 partitions, not 3"):
        await kafka.create_topics(url, ["one"], 3)


async def test_sigterm_stops_a_worker_whose_store_is_away_and_the_next_one_loses_nothing(
    broker: Any, own_valkey: Any, start_worker: Any, street_of: Any
) -> None:
    street = await street_of(broker, own_valkey, "stopping")
    worker = start_worker(broker, own_valkey, "stopping")
    gateway = street.gateway("north")
    now_s = time.time()
    await gateway.submit([make_ping("d", now_s - 10), make_ping("e", now_s - 10)], now_s)
    await street.await_accepted("north", 2)
    own_valkey.process.send_signal(signal.SIGSTOP)
    for step in range(5):
        await gateway.submit([make_ping(name, now_s - 9 + step, step % 2) for name in "de"], now_s)
    await asyncio.sleep(1.2)
    assert worker.stop(PATIENCE_S) == 0, worker.log.read_text()[-3000:]
    own_valkey.process.send_signal(signal.SIGCONT)
    start_worker(broker, own_valkey, "stopping")
    await street.await_accepted("north", 12)


async def test_without_a_broker_submit_gives_up_in_time_holds_a_bounded_buffer_and_works_again_after(
    own_broker: Any, valkey: Any, street_of: Any
) -> None:
    street = await street_of(own_broker, valkey, "away")
    params = GatewayParams(held_pings_max=300, submit_s_max=0.5, group_pings_max=50)
    gateway = street.gateway("away", params)
    now_s = time.time()

    async def takes(ping: DriverPing) -> bool:
        try:
            await gateway.submit([ping], now_s)
        except PingLogUnavailable:
            return False
        except PingsRefused as refused:  # an earlier try was taken although its answer came too late
            return refused.refusals == ((0, Reason.DUPLICATE_TIME, "t_s"),)
        return True

    await eventually(lambda: takes(make_ping("d", now_s - 5)))
    own_broker.process.send_signal(signal.SIGSTOP)
    batches = [[make_ping(f"{b}-{n}", now_s) for n in range(40)] for b in range(50)]
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*[gateway.submit(batch, now_s) for batch in batches], return_exceptions=True)
    assert all(isinstance(answer, PingLogUnavailable) and answer.retry_after_s > 0 for answer in answers)
    assert 0 < gateway.pings_held <= params.held_pings_max
    own_broker.process.send_signal(signal.SIGCONT)
    await eventually(lambda: takes(make_ping("d", now_s - 4)))


async def test_a_closing_gateway_sends_what_waits(broker: Any, valkey: Any, street_of: Any) -> None:
    street = await street_of(broker, valkey, "closing")
    gateway = street.gateway("north", GatewayParams(group_wait_s=30.0))
    now_s = time.time()
    waiting = asyncio.create_task(gateway.submit([make_ping("d", now_s)], now_s))
    await asyncio.sleep(0.1)
    assert gateway.pings_held == 1
    await gateway.close()
    await waiting
    with pytest.raises(PingLogUnavailable):
        await gateway.submit([make_ping("d", now_s + 1)], now_s + 1)
