"""A city on a Valkey Cluster whose primary is killed, and what a primary under sentinels takes with it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from redis.asyncio import Redis
from redis.exceptions import RedisError

from backing.inboxes.redis_inboxes import INBOX_ENTRIES_MAX, RedisInboxes
from backing.inboxes.redis_reader import RedisInboxReader
from backing.outbox.outbox import SqlOutbox
from backing.outbox.relay import HISTORY_ROWS, Relay
from backing.redis.address import parse_address
from backing.redis.opening import open_redis
from dispatch.adapters.event_codec import decode
from dispatch.adapters.redis_leases import RedisLeases
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.errors import DriverBusy, StaleToken
from dispatch.rules.invariants import check_history
from dispatch.service.rides import RideService
from hexhail.demo.demo import Demo, DemoParams, running_city
from hexhail.runtime.database import open_database
from hexhail.runtime.supervisor import Spec
from kernel.contracts import redis_keys
from kernel.contracts.topics import RIDE_EVENTS_STREAM, STREAM_TOPICS
from tests.api.installation import SPEED, Installation, People
from tests.cluster.lives import Witness, drive_again_and_again, lives_until, ride_again_and_again
from tests.dispatch.people import PARAMS, Clock, accept, history, offer, on_shift, request
from tests.patience import PATIENCE_S, eventually
from tests.valkey.servers import ValkeyCluster, WatchedPair, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.servers]

REGION = "manhattan"
#: Rides that must have been completed before the crash, and again after it.
RIDES = 6
AT_ONCE = 4


# -- a city ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def valkey_cluster(tmp_path: Path) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path / "valkey")
    try:
        cluster.start(has_replicas=True)
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
async def city(valkey_cluster: ValkeyCluster, tmp_path: Path) -> AsyncIterator[Demo]:
    cache_dir = Path(os.environ.get("NUMBA_CACHE_DIR", tmp_path))
    params = DemoParams(run_dir=tmp_path, cache_dir=cache_dir, speed=SPEED, port=0, redis_url=valkey_cluster.url)
    async with running_city(params, print) as city:
        for role in ("relay", "matcher"):
            await city.supervisor.start(Spec(f"{role}2", [sys.executable, "-m", "hexhail", "serve", role], city.env))
        yield city


async def test_a_city_goes_on_when_the_primary_of_its_region_is_killed(
    city: Demo, valkey_cluster: ValkeyCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Witness()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=city.url, timeout=PATIENCE_S, trust_env=False, event_hooks={"response": [seen.saw]}
            )
        )
        people = People(Installation(city.url, city.env), http)
        lives = [asyncio.create_task(drive_again_and_again(people.driver(), seen)) for _ in range(AT_ONCE)]
        lives += [asyncio.create_task(ride_again_and_again(people, seen)) for _ in range(AT_ONCE)]
        try:
            await lives_until(lives, lambda: seen.completed >= RIDES)
            victim = await asyncio.to_thread(valkey_cluster.primary_of, redis_keys.fence(REGION))
            await asyncio.to_thread(victim.kill)
            valkey_cluster.primaries.remove(victim)
            killed_s, before = time.monotonic(), seen.completed
            await lives_until(lives, lambda: seen.completed >= before + RIDES)
            recovered_s = time.monotonic() - killed_s
            assert await asyncio.to_thread(valkey_cluster.primary_of, redis_keys.fence(REGION)) is not victim
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        counts = await say_what_is_left(city, seen)
    with capsys.disabled():
        print(f"\n{RIDES} more rides {recovered_s:.1f} s after the kill; answers {dict(seen.codes)}; {counts}")  # noqa: T201 - for whoever runs it


async def say_what_is_left(city: Demo, seen: Witness) -> str:
    assert seen.faults == []
    assert {name: count for name, count in city.supervisor.restarts.items() if count} == {}
    async with await open_database(city.env["HEXHAIL_DATABASE_URL"], packages={}) as database:
        store, outbox = SqlRideStore(database), SqlOutbox(database)

        async def is_published() -> bool:
            committed, published = await store.outbox_progress()
            return committed == published

        await eventually(is_published)
        rides = {ride_id for (ride_id,) in await database.read("SELECT ride_id FROM rides")}
        assert seen.acknowledged <= rides
        events = await history(store)
        assert check_history(events).violations == []
        published = await values_of_topic(city.env["HEXHAIL_BROKER_URL"], STREAM_TOPICS[RIDE_EVENTS_STREAM])
        found = {(event.ride_id, event.sequence) for event in map(decode, published)}
        assert found == {(event.ride_id, event.sequence) for event in events}
        redis = await open_redis(parse_address(city.env["HEXHAIL_REDIS_URL"]))

        async def are_in_the_inboxes() -> bool:
            return await RedisInboxes(redis).newest() == (await outbox.progress())[0]

        await eventually(are_in_the_inboxes)
        await assert_inboxes_hold_what_sql_says(redis, outbox)
        consumed = await redis.hget(redis_keys.totals(REGION), redis_keys.RIDE_EVENTS_CONSUMED)
        await redis.aclose()
    return f"{len(events)} ride events committed, {len(found)} in the topic, {int(consumed or 0)} counted by the pricer"


async def values_of_topic(broker: str, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends, values = await consumer.end_offsets(partitions), list[bytes]()
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                values += [record.value for record in records if record.value]
        return values
    finally:
        await consumer.stop()


async def assert_inboxes_hold_what_sql_says(redis: Redis, outbox: SqlOutbox) -> None:
    expected: dict[str, list[int]] = defaultdict(list)
    for row in await outbox.newest_rows(HISTORY_ROWS):
        for name in row.inboxes:
            expected[name].append(row.position)
    found = await RedisInboxReader(redis).read_many(dict.fromkeys(expected, 0), INBOX_ENTRIES_MAX)
    assert {name: [position for position, _ in page] for name, page in found.items()} == dict(expected)


# -- a primary under sentinels -----------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[WatchedPair]:
    pair = WatchedPair(tmp_path / "pair")
    try:
        pair.start()
        yield pair
    finally:
        pair.kill()


@pytest.fixture
async def redis(pair: WatchedPair) -> AsyncIterator[Redis]:
    client = await open_redis(parse_address(pair.url))
    yield client
    await client.aclose()


class Silent:
    """Topics that take everything."""

    async def append(self, rows: Any) -> None:
        pass


async def fail_over(pair: WatchedPair, redis: Redis) -> None:
    """Kill the primary, and wait until the client writes to the replica in its place."""
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.to_thread(wait_until, pair.is_promoted, "the replica is promoted")

    async def takes_writes() -> bool:
        try:
            return bool(await redis.set("probe", b""))
        except (RedisError, OSError):
            return False

    await eventually(takes_writes)


async def test_a_lease_that_the_replica_had_not_heard_of_gives_no_driver_to_two_rides(
    pair: WatchedPair, redis: Redis, tmp_path: Path
) -> None:
    """A replica that is promoted may hand out the same driver, and the same token, again; SQL takes one of them."""
    async with await open_database(f"sqlite:///{tmp_path}/rides.db") as database:
        store = SqlRideStore(database)
        leases = RedisLeases(redis, REGION, lambda: store.newest_token(REGION))
        rides = RideService(store, leases, PARAMS, Clock())
        await on_shift(rides, "dora", "dan")
        for n, ride_id in enumerate(("one", "two", "three")):
            await rides.handle(request(ride_id, rider_id=f"rider{n}", quote_id=ride_id))
        [first] = await leases.take([("dan", "three")], 0.0, 15.0)  # the replica has this one
        assert int(await redis.wait(1, int(PATIENCE_S * 1e3))) == 1
        await asyncio.to_thread(pair.primary.leave_replicas_behind)
        [lost] = await leases.take([("dora", "one")], 0.0, 15.0)
        await rides.handle(offer("one", "dora", lost or 0))
        await fail_over(pair, redis)

        assert await leases.take([("dan", "two")], 1.0, 15.0) == [None]  # what was replicated still holds
        [again] = await leases.take([("dora", "two")], 1.0, 15.0)
        assert again == lost == (first or 0) + 1, "the lease was not lost: this test shows nothing"
        with pytest.raises((DriverBusy, StaleToken)):
            await rides.handle(offer("two", "dora", again or 0))
        await rides.handle(accept(f"one-{lost}", "dora"))
        [later] = await leases.take([("dora", "two")], 20.0, 15.0)
        with pytest.raises((DriverBusy, StaleToken)):
            await rides.handle(offer("two", "dora", later or 0))
        assert check_history(await history(store)).violations == []
        assert {
            ride_id for ride_id, driver in await database.read("SELECT ride_id, driver_id FROM rides") if driver
        } == {"one"}


async def test_messages_that_the_replica_had_not_heard_of_are_put_into_the_inboxes_from_sql(
    pair: WatchedPair, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the relay goes on: between its look and its push nothing shows that the server is another one."""
    monkeypatch.setattr("backing.outbox.relay.LOOK_EVERY_S", 0.0)
    async with await open_database(f"sqlite:///{tmp_path}/rides.db") as database:
        outbox = SqlOutbox(database)
        rides = RideService(SqlRideStore(database), _NoLeases(), PARAMS, Clock())
        relay, requested = Relay(outbox, Silent(), RedisInboxes(redis)), 0

        async def request_and_relay(count: int) -> None:
            nonlocal requested
            for _ in range(count):
                requested += 1
                await rides.handle(
                    request(f"ride{requested}", rider_id=f"rider{requested % 7}", quote_id=f"{requested}")
                )
                await relay.relay_once()

        await request_and_relay(5)
        assert int(await redis.wait(1, int(PATIENCE_S * 1e3))) == 1
        await asyncio.to_thread(pair.primary.leave_replicas_behind)
        await request_and_relay(5)  # published, as far as SQL knows
        await asyncio.to_thread(pair.primary.kill)
        failures = 0
        while not pair.is_promoted() or failures == 0:
            try:
                await request_and_relay(1)
            except (RedisError, OSError):
                failures += 1
                await asyncio.sleep(0.2)
        await eventually(lambda: _is_drained(relay, outbox))
        await assert_inboxes_hold_what_sql_says(redis, outbox)


async def _is_drained(relay: Relay, outbox: SqlOutbox) -> bool:
    try:
        await relay.relay_once()
    except (RedisError, OSError):
        return False
    committed, published = await outbox.progress()
    return committed == published


class _NoLeases:
    """Leases that nobody takes."""

    async def take(self, pairs: Any, now_s: float, ttl_s: float) -> list[int | None]:
        return [None for _ in pairs]

    async def release(self, driver_id: str, ride_id: str, token: int) -> None:
        pass

    async def restore(self, newest_token: int) -> None:
        pass
