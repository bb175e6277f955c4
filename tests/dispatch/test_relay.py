"""The relay through real streams and a real topic: order, repetition, loss and rebuilding."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from backing.inboxes import redis_inboxes
from backing.inboxes.redis_inboxes import INBOX_ENTRIES_MAX, RedisInboxes
from backing.inboxes.redis_reader import RedisInboxReader, listen_for_news
from backing.kafka import create_topics
from backing.outbox import relay as relay_module
from backing.outbox import scripts as outbox_scripts
from backing.outbox.kafka_topics import KafkaTopics
from backing.outbox.outbox import SqlOutbox
from backing.outbox.relay import Relay, WokenRelay
from backing.outbox.rows import NewRow, OutboxRow
from backing.outbox.set_aside import SetAside
from backing.redis.functions import RedisFunctions
from backing.sql.database import Database
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql import scripts as ride_scripts
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.engine import DispatchEngine
from dispatch.ports import Decision, Scope
from dispatch.rules.invariants import check_history
from dispatch.service.rides import RideService
from hexhail.runtime.database import open_database
from hexhail.runtime.repeating import StopEvent, repeat
from kernel.contracts import redis_keys
from kernel.contracts.topics import RIDE_EVENTS_STREAM, STREAM_TOPICS
from location_ingest.adapters.kafka_pings import new_producer
from tests.dispatch.people import (
    PARAMS,
    Clock,
    MemoryLeases,
    accept,
    arrive,
    do,
    drop_off,
    offer,
    pick_up,
    request,
)
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def no_waiting_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backing.outbox.relay.LOOK_EVERY_S", 0.0)


@pytest.fixture
async def topic(broker_port: int) -> Any:
    return await new_topic(broker_port)


async def new_topic(broker_port: int) -> Any:
    name = f"events-{uuid.uuid4().hex}"
    await create_topics(f"kafka://127.0.0.1:{broker_port}", [name], 2)
    return name


@pytest.fixture
async def producer(broker_port: int) -> AsyncIterator[Any]:
    producer = new_producer([f"127.0.0.1:{broker_port}"])
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
def topics(producer: Any, topic: Any) -> Any:
    return KafkaTopics(producer, {RIDE_EVENTS_STREAM: topic}, lambda region_id: 1)


async def topic_values(broker_port: int, topic: Any) -> Any:
    """All values in partition 1, where the tests' region lives."""
    partition = TopicPartition(topic, 1)
    consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{broker_port}", auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        values = []
        while await consumer.position(partition) < end:
            values += [
                record.value for records in (await consumer.getmany(timeout_ms=500)).values() for record in records
            ]
        return values
    finally:
        await consumer.stop()


async def entries(redis: Any, name: str, after: Any = 0) -> Any:
    return await RedisInboxReader(redis).read(name, after, 10_000)


async def inbox(redis: Any, name: str, after: Any = 0) -> Any:
    return [(position, decode(payload)) for position, payload in await entries(redis, name, after)]


async def expected_inboxes(outbox: Any) -> Any:
    """What every inbox should hold by SQL alone."""
    inboxes = defaultdict(list)
    for row in await outbox.newest_rows(1_000_000):
        for name in row.inboxes:
            inboxes[name].append((row.position, decode(row.payload)))
    return inboxes


async def assert_inboxes_are_complete(redis: Any, outbox: Any) -> None:
    expected = await expected_inboxes(outbox)
    assert {key.decode() for key in await redis.keys(redis_keys.INBOXES_MATCH)} == {
        redis_keys.inbox(name) for name in expected
    }
    for name, entries in expected.items():
        assert await inbox(redis, name) == entries


async def lives(rides: Any, count: int, first: Any = 0) -> None:
    """So many whole rides, written side by side."""

    async def life(n: Any) -> None:
        ride_id, driver_id = f"ride{n}", f"driver{n}"
        offer_id = f"{ride_id}-{n + 1}"
        await do(
            rides, request(ride_id, f"rider{n % 3}"), offer(ride_id, driver_id, n + 1), accept(offer_id, driver_id)
        )
        await do(rides, arrive(ride_id, driver_id), pick_up(ride_id, driver_id), drop_off(ride_id, driver_id))

    await asyncio.gather(*(life(n) for n in range(first, first + count)))


async def drain(relay: Any) -> None:
    while await relay.relay_once():
        pass


def a_row(position: Any, inboxes: Any = ("rider:alice",), payload: Any = "{}") -> Any:
    return OutboxRow(RIDE_EVENTS_STREAM, "ride", position, "r", inboxes, payload, position=position)


def reading(rows: Any) -> Any:
    async def read() -> Any:
        return rows

    return read


class Silent:
    """Topics that take everything."""

    async def append(self, rows: Any) -> None:
        pass


# -- the ordinary way --------------------------------------------------------------------------------------------------


async def test_every_row_reaches_topic_and_inboxes_once_and_in_order(
    outbox: Any,
    rides: Any,
    topics: Any,
    empty_redis: Redis,
    broker_port: int,
    topic: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "BATCH_ROWS", 7)
    relay = Relay(outbox, topics, RedisInboxes(empty_redis))
    await asyncio.gather(lives(rides, 15), drain(relay))
    await drain(relay)
    events = [decode(value) for value in await topic_values(broker_port, topic)]
    assert len(events) == 90
    history = check_history(events)
    assert history.violations == []
    assert history.open_rides() == []
    await assert_inboxes_are_complete(empty_redis, outbox)
    assert await outbox.progress() == (90, 90)
    assert await relay.relay_once() == 0


async def test_a_client_goes_on_after_the_last_position_it_saw(
    sqlite_store: Any, sqlite_outbox: Any, empty_redis: Redis
) -> None:
    rides = RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())
    await lives(rides, 1)
    await drain(Relay(sqlite_outbox, Silent(), RedisInboxes(empty_redis)))
    everything = await inbox(empty_redis, "driver:driver0")
    assert [position for position, _ in everything] == [2, 3, 4, 5, 6]
    assert await inbox(empty_redis, "driver:driver0", after=4) == everything[3:]


async def test_the_edges_hear_which_inboxes_have_grown(empty_redis: Redis) -> None:
    rung: list[Any] = asyncio.Queue()
    listening = asyncio.create_task(listen_for_news(empty_redis, rung.put_nowait))
    inboxes = RedisInboxes(empty_redis)
    async with asyncio.timeout(PATIENCE_S):
        while rung.empty():
            await inboxes.push([a_row(1, inboxes=("rider:alice", "driver:dora"))])
            await asyncio.sleep(0.05)
    assert rung.get_nowait() == ["driver:dora", "rider:alice"]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_inboxes_keep_the_newest_entries(empty_redis: Redis) -> None:
    rows = [a_row(n) for n in range(1, 3 * INBOX_ENTRIES_MAX)]
    inboxes = RedisInboxes(empty_redis)
    await inboxes.rebuild(reading(rows))
    assert INBOX_ENTRIES_MAX <= await empty_redis.xlen(redis_keys.inbox("rider:alice")) < INBOX_ENTRIES_MAX * 1.2
    await inboxes.push([a_row(len(rows) + 1)])
    assert (await RedisInboxReader(empty_redis).read("rider:alice", 0, 10_000))[-1][0] == len(rows) + 1
    assert await empty_redis.ttl(redis_keys.inbox("rider:alice")) > 0


async def test_a_row_that_fills_a_request_alone_is_sent_too(topics: Any, broker_port: int, topic: Any) -> None:
    rows = [a_row(n, payload=str(n) * size) for n, size in enumerate([10, 50_000, 3, 20_000, 1])]
    await topics.append(rows)
    assert await topic_values(broker_port, topic) == [row.payload.encode() for row in rows]


# -- another stream ----------------------------------------------------------------------------------------------------

NOTES = "notes"
NOTED_RIDERS, NOTES_EACH = ("alice", "bob", "carol"), 6


def request_and_note(database: Any, rider_id: str, n: Any) -> Any:
    """A transaction of two services: dispatch takes in a ride, and somebody else notes it for the rider."""
    command = request(f"{rider_id}{n}", rider_id)

    def decide(seen: Any) -> Any:
        engine = DispatchEngine(PARAMS, seen)
        return Decision(engine.handle(command, 1000.0), engine.ride(command.ride_id))

    def script() -> Iterator[Any]:
        outcome = yield from ride_scripts.transact(database.dialect, Scope(command.ride_id), decide, None)
        payload = json.dumps({"event": "Noted", "ride_id": command.ride_id, "number": n})
        note = NewRow(NOTES, rider_id, n, "manhattan", (f"rider:{rider_id}",), payload)
        yield from outbox_scripts.add(database.dialect, [note])
        return outcome

    return database.run(script)


async def test_a_second_stream_written_with_a_ride_arrives_in_its_topic_and_in_the_same_inbox_in_order(
    database: Any,
    outbox: Any,
    producer: Any,
    empty_redis: Redis,
    broker_port: int,
    topic: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(STREAM_TOPICS, NOTES, await new_topic(broker_port))
    monkeypatch.setattr(relay_module, "BATCH_ROWS", 5)
    topics = KafkaTopics(producer, STREAM_TOPICS | {RIDE_EVENTS_STREAM: topic}, lambda region_id: 1)
    relay = Relay(outbox, topics, RedisInboxes(empty_redis))

    async def requests_of(rider_id: str) -> None:
        for n in range(1, NOTES_EACH + 1):
            await request_and_note(database, rider_id, n)

    await asyncio.gather(drain(relay), *(requests_of(rider_id) for rider_id in NOTED_RIDERS))
    await drain(relay)
    total = len(NOTED_RIDERS) * NOTES_EACH
    assert await outbox.progress() == (2 * total, 2 * total)
    assert [row.position for row in await outbox.newest_rows(1000)] == list(range(1, 2 * total + 1))
    ride_ids = {decode(value).ride_id for value in await topic_values(broker_port, topic)}
    assert ride_ids == {f"{rider_id}{n}" for rider_id in NOTED_RIDERS for n in range(1, NOTES_EACH + 1)}
    notes = [json.loads(value) for value in await topic_values(broker_port, STREAM_TOPICS[NOTES])]
    assert len(notes) == total
    for rider_id in NOTED_RIDERS:
        own = [note["number"] for note in notes if note["ride_id"].startswith(rider_id)]
        assert own == list(range(1, NOTES_EACH + 1))
        told = [json.loads(payload) for _, payload in await entries(empty_redis, f"rider:{rider_id}")]
        both = [(kind, f"{rider_id}{n}") for n in own for kind in ("RideRequested", "Noted")]
        assert [(message["event"], message["ride_id"]) for message in told] == both
    before = {name: await entries(empty_redis, f"rider:{name}") for name in NOTED_RIDERS}
    await empty_redis.flushall()
    await relay.relay_once()
    assert {name: await entries(empty_redis, f"rider:{name}") for name in NOTED_RIDERS} == before


# -- failures ----------------------------------------------------------------------------------------------------------


class FailingProducer:
    """A producer with a broker that does not answer some requests: the third before it took them, the fifth after."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self.create_batch = producer.create_batch
        self.requests = 0

    async def send_batch(self, batch: Any, topic: Any, *, partition: Any) -> Any:
        self.requests += 1
        if self.requests in (3, 9, 17):
            raise ConnectionError("not sent")
        future = await self._producer.send_batch(batch, topic, partition=partition)
        if self.requests in (5, 12):
            await future
            raise ConnectionError("sent, but nobody heard of it")
        return future


async def test_a_broker_that_fails_in_the_middle_of_a_batch_loses_nothing_and_turns_nothing_round(
    outbox: Any,
    rides: Any,
    producer: Any,
    empty_redis: Redis,
    broker_port: int,
    topic: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer._message_accumulator, "_batch_size", 2500)
    failing = FailingProducer(producer)
    topics = KafkaTopics(failing, {RIDE_EVENTS_STREAM: topic}, lambda region_id: 1)
    relay = Relay(outbox, topics, RedisInboxes(empty_redis))
    await lives(rides, 20)
    failures = 0
    while (await outbox.progress())[1] < 120:
        try:
            await relay.relay_once()
        except ConnectionError:
            failures += 1
    assert failures == 5
    last: Any = defaultdict(int)
    effects = []
    for value in await topic_values(broker_port, topic):  # a reader that drops what it has seen, as the pricer does
        event = decode(value)
        if event.sequence > last[event.ride_id]:
            assert event.sequence == last[event.ride_id] + 1
            last[event.ride_id] = event.sequence
            effects.append(event)
    assert len(effects) == 120
    assert check_history(effects).violations == []
    await assert_inboxes_are_complete(empty_redis, outbox)


async def test_inboxes_that_fail_are_sent_again_and_nothing_is_marked(
    outbox: Any, rides: Any, empty_redis: Redis
) -> None:
    class Away(RedisInboxes):
        async def push(self, rows: Any) -> None:
            await super().push(rows[: len(rows) // 2])
            raise RedisError("gone")

    sent = []

    class Slow(Silent):
        async def append(self, rows: Any) -> None:
            await asyncio.sleep(0.05)
            sent.append(len(rows))

    await lives(rides, 2)
    with pytest.raises(RedisError):
        await Relay(outbox, Slow(), Away(empty_redis)).relay_once()
    assert sent == [12]  # nothing of the batch is on its way any more
    assert await outbox.newest_published() == 0
    await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    await assert_inboxes_are_complete(empty_redis, outbox)


async def test_of_a_batch_that_redis_has_no_memory_for_nothing_is_taken(
    sqlite_store: Any, sqlite_outbox: Any, empty_redis: Redis
) -> None:
    rides = RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())
    relay = Relay(sqlite_outbox, Silent(), RedisInboxes(empty_redis))
    await lives(rides, 1)
    await drain(relay)
    await lives(rides, 1, first=1)
    before = (await empty_redis.config_get("maxmemory"))["maxmemory"]
    await empty_redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisError):
            await relay.relay_once()
    finally:
        await empty_redis.config_set("maxmemory", before)
    assert await sqlite_outbox.newest_published() == 6
    await drain(relay)
    await assert_inboxes_are_complete(empty_redis, sqlite_outbox)


# -- Redis forgets -----------------------------------------------------------------------------------------------------


async def test_after_flushall_the_inboxes_come_back_complete_and_in_order(
    outbox: Any, rides: Any, empty_redis: Redis
) -> None:
    relay = Relay(outbox, Silent(), RedisInboxes(empty_redis))
    await lives(rides, 10)
    await drain(relay)
    await empty_redis.flushall()
    await relay.relay_once()
    await assert_inboxes_are_complete(empty_redis, outbox)
    await lives(rides, 5, first=10)
    await drain(relay)
    await assert_inboxes_are_complete(empty_redis, outbox)


@pytest.mark.parametrize("lives_after", [0, 2], ids=["while nothing happens", "with new events"])
async def test_a_new_database_beside_an_old_redis_gets_inboxes_of_its_own(
    outbox: Any, rides: Any, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch, lives_after: int
) -> None:
    """Also a database that lost its last commits, as a replica may that takes over."""
    monkeypatch.setattr(redis_inboxes, "CLEAR_KEYS", 2)
    old = [a_row(n, inboxes=(f"rider:old{n % 7}", "rider:rider0", "driver:driver0")) for n in range(1, 100)]
    await RedisInboxes(empty_redis).rebuild(reading(old))
    await lives(rides, lives_after)
    with capture_logs() as logged:
        await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    assert [line["event"] for line in logged] == ["inboxes_of_another_database"]
    reader = RedisInboxReader(empty_redis)
    _, restored, _ = await reader.look(())
    assert restored is not None, "streams that are open learn that positions went back"
    await lives(rides, 2, first=lives_after)
    await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    await assert_inboxes_are_complete(empty_redis, outbox)
    newest, still, kept = await reader.look({("rider:nobody", 1)})
    assert (newest, still, kept) == ((await outbox.progress())[0], restored, set())


async def test_inboxes_that_are_ahead_of_what_is_marked_are_not_cleared(
    outbox: Any, rides: Any, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that dies between sending and marking leaves them so."""
    await lives(rides, 3)
    await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    await lives(rides, 1, first=3)
    await RedisInboxes(empty_redis).push(await outbox.unpublished(100))
    monkeypatch.setattr(RedisInboxes, "clear", None)
    await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    await assert_inboxes_are_complete(empty_redis, outbox)


async def test_a_flushall_in_the_middle_of_a_batch_is_noticed_too(
    outbox: Any, rides: Any, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BATCH_ROWS", 11)

    class Flushed(Silent):
        async def append(self, rows: Any) -> None:
            await empty_redis.flushall()

    await lives(rides, 8)
    await drain(Relay(outbox, Flushed(), RedisInboxes(empty_redis)))
    await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    await assert_inboxes_are_complete(empty_redis, outbox)


async def test_a_server_that_lost_only_the_newest_entries_gets_them_back(
    sqlite_store: Any, sqlite_outbox: Any, empty_redis: Redis
) -> None:
    """As a replica does that is promoted before it has heard of everything."""
    rides = RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())
    relay = Relay(sqlite_outbox, Silent(), RedisInboxes(empty_redis))
    await lives(rides, 2)
    await drain(relay)
    dump = {key: await empty_redis.dump(key) for key in await empty_redis.keys("inbox*")}
    await lives(rides, 2, first=2)
    await drain(relay)
    await empty_redis.flushdb()
    for key, value in dump.items():
        await empty_redis.restore(key, 0, value)
    await relay.relay_once()
    await assert_inboxes_are_complete(empty_redis, sqlite_outbox)


async def test_a_rebuild_keeps_what_another_relay_pushed_meanwhile(
    sqlite_store: Any, sqlite_outbox: Any, empty_redis: Redis
) -> None:
    rides = RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())
    inboxes = RedisInboxes(empty_redis)
    await lives(rides, 2)
    old_rows = await sqlite_outbox.newest_rows(100)
    await lives(rides, 2, first=2)
    new_rows = await sqlite_outbox.newest_rows(12)
    await inboxes.push(new_rows)
    assert await inboxes.newest() is None  # a push alone does not make them complete
    await inboxes.rebuild(reading(old_rows))
    await assert_inboxes_are_complete(empty_redis, sqlite_outbox)


async def test_a_flushall_in_the_middle_of_a_rebuild_is_noticed_too(
    sqlite_store: Any, sqlite_outbox: Any, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_inboxes, "REBUILD_INBOXES", 1)
    rides = RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())
    relay = Relay(sqlite_outbox, Silent(), RedisInboxes(empty_redis))
    await lives(rides, 3)
    await drain(relay)
    await empty_redis.flushall()
    rebuild_some = RedisFunctions.call_many

    async def forgets_once(self: Any, function: str, calls: Any) -> Any:
        answers = await rebuild_some(self, function, calls)
        if function == "hexhail_inbox_rebuild":
            monkeypatch.undo()
            await empty_redis.flushall()
        return answers

    monkeypatch.setattr(RedisFunctions, "call_many", forgets_once)
    await relay.relay_once()
    assert await RedisInboxes(empty_redis).newest() is None
    await relay.relay_once()
    await assert_inboxes_are_complete(empty_redis, sqlite_outbox)


async def test_inboxes_without_buckets_are_read_as_long_as_a_relay_of_the_version_before_writes_them(
    sqlite_store: Any, sqlite_outbox: Any, empty_redis: Redis
) -> None:
    """A rolling upgrade, the readers first: nobody waits for the new relay, and nobody loses a position by it."""
    rides = RideService(sqlite_store, MemoryLeases(), PARAMS, Clock())

    async def relay_of_before() -> None:
        rows = await sqlite_outbox.unpublished(100)
        for row in rows:
            for name in row.inboxes:
                key = redis_keys.unbucketed_inbox(name)
                await empty_redis.xadd(key, {"payload": row.payload}, id=f"{row.position}-0")
        await empty_redis.xadd(redis_keys.UNBUCKETED_INBOXES_COMPLETE, {"": ""}, id=f"{rows[-1].position}-0", maxlen=1)
        await sqlite_outbox.mark_published(rows[-1].position)

    async def seen(after: int) -> list[int]:
        newest, _, _ = await reader.look(())
        assert newest == (await sqlite_outbox.progress())[1]
        return [position for position, _ in await reader.read("driver:driver0", after, 100)]

    reader = RedisInboxReader(empty_redis)
    await lives(rides, 1)
    await relay_of_before()
    assert await seen(0) == [2, 3, 4, 5, 6]
    await drain(Relay(sqlite_outbox, Silent(), RedisInboxes(empty_redis)))
    assert await seen(4) == [5, 6]
    _, _, kept = await reader.look({("driver:driver0", 4), ("driver:driver0", 7)})
    assert kept == {("driver:driver0", 4)}, "a position of before is one of now; others are told that it is gone"
    assert not await empty_redis.exists(redis_keys.UNBUCKETED_INBOXES_COMPLETE)
    await do(rides, request("again", "rider0"), offer("again", "driver0", 99))
    await drain(Relay(sqlite_outbox, Silent(), RedisInboxes(empty_redis)))
    assert await seen(6) == [8]
    await do(rides, accept("again-99", "driver0"))
    await relay_of_before()  # the upgrade is taken back
    assert await seen(8) == [9]


# -- more than one relay -----------------------------------------------------------------------------------------------


async def test_several_relays_at_once_over_a_redis_that_forgets_do_no_harm(
    outbox: Any, rides: Any, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BATCH_ROWS", 9)
    relays = [Relay(outbox, Silent(), RedisInboxes(empty_redis)) for _ in range(3)]

    async def forget() -> None:
        for _ in range(5):
            await asyncio.sleep(0.02)
            await empty_redis.flushall()

    async def run(relay: Any) -> None:
        while (await outbox.progress())[1] < 240:
            await relay.relay_once()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(lives(rides, 40), forget(), *(run(relay) for relay in relays))
    await drain(relays[0])
    await assert_inboxes_are_complete(empty_redis, outbox)


async def test_a_relay_that_was_paused_sends_again_without_effect(outbox: Any, rides: Any, empty_redis: Redis) -> None:
    goes_on = asyncio.Event()

    class Paused(Silent):
        async def append(self, rows: Any) -> None:
            await goes_on.wait()

    class PausedInboxes(RedisInboxes):
        async def push(self, rows: Any) -> None:
            await goes_on.wait()
            await super().push(rows)

    await lives(rides, 2)
    old = asyncio.create_task(Relay(outbox, Paused(), PausedInboxes(empty_redis)).relay_once())
    await asyncio.sleep(0.1)
    await lives(rides, 2, first=2)
    await drain(Relay(outbox, Silent(), RedisInboxes(empty_redis)))
    goes_on.set()
    assert await old == 12
    assert await outbox.progress() == (24, 24)
    await assert_inboxes_are_complete(empty_redis, outbox)
    assert await RedisInboxes(empty_redis).newest() == 24


# -- one that cannot be delivered --------------------------------------------------------------------------------------


async def test_a_row_of_a_stream_without_a_topic_is_set_aside_and_the_others_arrive(
    topics: Any, broker_port: int, topic: Any
) -> None:
    rows = [a_row(1, payload="1"), OutboxRow("newer.stream", "k", 1, "r", (), "2", position=2), a_row(3, payload="3")]
    with capture_logs() as logs:
        await topics.append(rows)
    assert await topic_values(broker_port, topic) == [b"1", b"3"]
    [said] = [line for line in logs if line["event"] == "message_set_aside"]
    assert (said["stream"], said["position"]) == ("newer.stream", 2)


class SmallBroker:
    """A broker that takes no request of more than 300 bytes, as one with a small `message.max.bytes`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self.create_batch = producer.create_batch

    async def send_batch(self, batch: Any, topic: Any, *, partition: Any) -> Any:
        if batch.size() > 300:
            raise MessageSizeTooLargeError("too large")
        return await self._producer.send_batch(batch, topic, partition=partition)


async def test_a_row_that_the_broker_finds_too_large_is_set_aside_and_the_others_arrive_in_order(
    producer: Any, broker_port: int, topic: Any
) -> None:
    counter = Counter("set_aside", "of the test", ["receiver"], registry=CollectorRegistry())
    topics = KafkaTopics(SmallBroker(producer), {RIDE_EVENTS_STREAM: topic}, lambda region_id: 1, SetAside(counter))
    await topics.append([a_row(n, payload=str(n) * size) for n, size in enumerate([10, 20, 900, 30, 40])])
    arrived = await topic_values(broker_port, topic)
    assert arrived == [str(n).encode() * size for n, size in [(0, 10), (1, 20), (3, 30), (4, 40)]]
    assert counter.labels("topic")._value.get() == 1.0


async def test_a_key_that_is_no_inbox_stops_no_other_inbox_and_a_rebuild_mends_it(empty_redis: Redis) -> None:
    inboxes = RedisInboxes(empty_redis)
    await inboxes.rebuild(reading([]))
    await empty_redis.set(redis_keys.inbox("rider:bad"), "no stream")
    rows = [a_row(1, ("rider:alice", "rider:bad")), a_row(2, ("rider:bad",)), a_row(3)]
    with capture_logs() as logs:
        await inboxes.push(rows)
    assert [position for position, _ in await entries(empty_redis, "rider:alice")] == [1, 3]
    assert await inboxes.newest() == 3
    [said] = [line for line in logs if line["event"] == "inbox_set_aside"]
    assert (said["inbox"], said["messages"]) == ("rider:bad", 2)
    await inboxes.rebuild(reading(rows))
    assert [position for position, _ in await entries(empty_redis, "rider:bad")] == [1, 2]


async def test_a_relay_that_waits_for_news_publishes_what_another_process_commits_and_asks_nothing_meanwhile(
    postgres_database: Database,
    postgres_url_of_own: str,
    topics: Any,
    empty_redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "LOOK_BESIDES_S", 10 * PATIENCE_S)  # by the clock it would find nothing
    async with await open_database(postgres_url_of_own, packages={}) as own:
        outbox, asked = SqlOutbox(own), list[int]()
        relay = Relay(outbox, topics, RedisInboxes(empty_redis))
        woken = WokenRelay(relay, own.listen(outbox_scripts.CHANNEL))
        unpublished = outbox.unpublished

        async def counted(limit: int) -> list[OutboxRow]:
            asked.append(limit)
            return await unpublished(limit)

        monkeypatch.setattr(outbox, "unpublished", counted)
        relaying = asyncio.create_task(repeat(woken.step, lambda: relay_module.POLL_S, StopEvent()))
        try:
            rides = RideService(SqlRideStore(postgres_database), MemoryLeases(), PARAMS, Clock())
            for n in range(3):
                await rides.handle(request(f"ride{n}", rider_id=f"rider{n}", quote_id=f"quote{n}"))

                async def is_published(n: int = n) -> bool:
                    return await outbox.progress() == (n + 1, n + 1)

                await eventually(is_published)
            await asyncio.sleep(20 * relay_module.POLL_S)
            count = len(asked)
            await asyncio.sleep(20 * relay_module.POLL_S)
            assert len(asked) == count
        finally:
            relaying.cancel()
            await asyncio.gather(relaying, return_exceptions=True)
