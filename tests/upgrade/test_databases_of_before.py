"""A database that the version before packages and streams wrote is opened, and its rides go on to their end.

`tables.*.sql` and `rows.sql` are such a database: five rides in different states, fourteen events published and six
not, two idempotency keys, prices on record. JSON bodies say `region`, as that version did.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from api.auth.revocations import revoke_token
from api.auth.sql.revocations import SqlRevocations
from backing.inboxes.redis_inboxes import RedisInboxes
from backing.inboxes.redis_reader import RedisInboxReader
from backing.outbox.kafka_topics import KafkaTopics
from backing.outbox.outbox import SqlOutbox
from backing.outbox.relay import Relay
from backing.sql import migrate
from backing.sql.database import Database
from dispatch import commands as cmd
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql.driver_list import SqlDriverList
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.errors import IdempotencyConflict
from dispatch.model import Intervention, Party, RideState
from dispatch.rules.invariants import check_history
from dispatch.service.rides import RideService
from hexhail.runtime.database import SQL_PACKAGES, open_database
from kernel.contracts.topics import RIDE_EVENTS_STREAM
from location_ingest.adapters.kafka_pings import new_producer
from pricing.adapters.sql.record import SqlPriceRecord
from pricing.model.surge import RecordedPrice
from tests.dispatch.people import (
    PARAMS,
    Clock,
    MemoryLeases,
    accept,
    arrive,
    do,
    drop_off,
    key,
    offer,
    pick_up,
    rate,
    request,
)
from tests.dispatch.sql.test_durability import start_writer
from tests.dispatch.test_relay import drain, new_topic, topic_values
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers

HERE = Path(__file__).parent
ROWS = (HERE / "rows.sql").read_text()
#: PostgreSQL gives positions when the relay looks: the last rows that were written have none yet.
LAST_WITHOUT_POSITION = "UPDATE outbox SET position = NULL WHERE position > 17;"
PUBLISHED, COMMITTED = 14, 20
NEXT_S = 1031.5


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database as the version before wrote it, of each kind in turn."""
    tables = (HERE / f"tables.{request.param}.sql").read_text()
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "before.db") as connection:
            connection.executescript(tables + ROWS)
        connection.close()
        return f"sqlite:///{tmp_path}/before.db"
    address: str = request.getfixturevalue("postgres_url_of_own")
    asyncio.run(_write_into_postgres(address, tables + ROWS + LAST_WITHOUT_POSITION))
    return address


async def _write_into_postgres(address: str, text: str) -> None:
    import asyncpg

    server = await asyncpg.connect(address)
    await server.execute(text)
    await server.close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with await open_database(url) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> SqlRideStore:
    return SqlRideStore(database)


@pytest.fixture
def rides(store: SqlRideStore) -> RideService:
    clock = Clock()
    clock.now_s = NEXT_S
    return RideService(store, MemoryLeases(), PARAMS, clock)


@pytest.fixture
async def topic(broker_port: int) -> str:
    name: str = await new_topic(broker_port)
    return name


@pytest.fixture
async def relay(database: Database, empty_redis: Redis, broker_port: int, topic: str) -> AsyncIterator[Relay]:
    """The real relay, to real inboxes and a topic of its own."""
    producer = new_producer([f"127.0.0.1:{broker_port}"])
    await producer.start()
    topics = KafkaTopics(producer, {RIDE_EVENTS_STREAM: topic}, lambda region_id: 1)
    yield Relay(SqlOutbox(database), topics, RedisInboxes(empty_redis))
    await producer.stop()


async def test_every_ride_goes_on_to_its_end_and_every_event_is_published_once_and_in_order(
    database: Database,
    store: SqlRideStore,
    rides: RideService,
    relay: Relay,
    topic: str,
    empty_redis: Redis,
    broker_port: int,
) -> None:
    outbox = SqlOutbox(database)
    assert await outbox.progress() == (COMMITTED, PUBLISHED)
    assert await store.count_rides() == dict.fromkeys(("COMPLETED", "ON_TRIP", "ASSIGNED", "OFFERED", "REQUESTED"), 1)
    await do(rides, drop_off("on-trip", "eve"), rate("on-trip", "bob", 5))
    await drain(relay)
    await do(rides, arrive("assigned"), pick_up("assigned"), drop_off("assigned"))
    await do(rides, accept("offered-5", "dan"), arrive("offered", "dan"), pick_up("offered", "dan"))
    token = await store.newest_token("manhattan") + 1
    await do(rides, offer("requested", "dora", token), accept(f"requested-{token}", "dora"), arrive("requested"))
    await do(rides, pick_up("requested"), drop_off("requested"), drop_off("offered", "dan"))
    await drain(relay)

    assert token == 6
    assert await store.count_rides() == {"COMPLETED": 5}
    events = [decode(payload) for payload in await store.history()]
    history = check_history(events)
    assert (history.violations, history.open_rides()) == ([], [])
    assert Counter(event.region_id for event in events) == {"manhattan": len(events)}
    assert [row.position for row in await outbox.newest_rows(1000)] == list(range(1, len(events) + 1))
    assert await outbox.progress() == (len(events), len(events))
    sent = [decode(value) for value in await topic_values(broker_port, topic)]
    assert sorted((e.ride_id, e.sequence) for e in sent) == sorted((e.ride_id, e.sequence) for e in events[PUBLISHED:])
    for ride_id in ("on-trip", "assigned", "offered", "requested"):
        sequences = [event.sequence for event in sent if event.ride_id == ride_id]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    told = await RedisInboxReader(empty_redis).read("rider:carol", 0, 100)
    assert [position for position, _ in told][:2] == [13, 17]  # those of before, with the positions of before
    assert {json.loads(payload)["region_id"] for _, payload in told} == {"manhattan"}
    assert (await store.free_drivers())["eve"][2:4] == (4 + 5, 2)


async def test_a_request_that_was_answered_before_is_answered_the_same_again(rides: RideService) -> None:
    outcome = await rides.handle(request("offered", "dave"), key("key-of-dave", "sha-of-dave", "rider:dave"))
    assert outcome.is_replay
    assert (outcome.ride.state, outcome.ride.region_id, outcome.ride.sequence) == (RideState.REQUESTED, "manhattan", 1)
    with pytest.raises(IdempotencyConflict):
        await rides.handle(request("other", "dave"), key("key-of-dave", "another body", "rider:dave"))


async def test_an_operator_ends_a_ride_that_hung_in_it_and_that_is_on_record(
    store: SqlRideStore, rides: RideService
) -> None:
    ended = cmd.EndRide("on-trip", Party.OPERATOR, "its driver's phone died")
    why = Intervention("operator:olga", "end", ended.reason)
    outcome = await rides.handle_locked("on-trip", lambda ride, now_s: ended, why)
    assert (outcome.ride.state, outcome.ride.owed_cents) == (RideState.COMPLETED, outcome.ride.fare_cents)
    (kept,) = await store.interventions("manhattan", "on-trip", 10)
    assert (kept.sequence, kept.intervention) == (outcome.ride.sequence, why)


async def test_the_record_of_prices_is_kept_and_the_first_pricer_goes_on_from_it(database: Database) -> None:
    record = SqlPriceRecord(database)
    assert await record.newest_prices("manhattan") == {0x882A100D61FFFFF: RecordedPrice(1.2, 1_400_000_015.5)}
    assert await record.claim("manhattan") > 0
    history = await record.history("manhattan", 0x882A100D61FFFFF, 0.0, 10)
    assert [(change.multiplier_before, change.multiplier) for change in history] == [(1.1, 1.2), (1.0, 1.1)]
    assert [(order.reason, order.operator) for order in await record.orders("manhattan", 10)] == [("a flood", "olga")]


async def test_answers_given_before_are_counted_and_everybody_may_drive_until_there_is_a_list(
    database: Database, rides: RideService, store: SqlRideStore
) -> None:
    rows = await database.read("SELECT driver_id, state FROM offers")
    answers = Counter((driver_id, state) for driver_id, state in map(tuple, rows) if state not in ("SENT", "WITHDRAWN"))
    kept = await database.read("SELECT driver_id, offers_accepted, offers_answered FROM shifts")
    for driver_id, accepted, answered in map(tuple, kept):
        own = {state: count for (name, state), count in answers.items() if name == driver_id}
        assert (accepted, answered) == (own.get("ACCEPTED", 0), sum(own.values()))
    await do(rides, accept("offered-5", "dan"))
    (dan,) = await database.read("SELECT offers_accepted, offers_answered FROM shifts WHERE driver_id = 'dan'")
    assert tuple(dan) == (
        answers["dan", "ACCEPTED"] + 1,
        sum(n for (name, _), n in answers.items() if name == "dan") + 1,
    )
    assert await SqlDriverList(database, "manhattan").may_drive("anybody")


async def test_revocations_are_kept_from_now_on(database: Database) -> None:
    kept = SqlRevocations(database)
    assert await kept.read() == []
    await kept.add(revoke_token("t1", time.time(), "olga", "a lost phone"))
    assert [(one.token_id, one.by) for one in await kept.read()] == [("t1", "olga")]


async def test_all_packages_are_at_their_newest_version_and_nothing_old_is_left(database: Database) -> None:
    present = await database.run(lambda: migrate.applied(database.dialect))
    newest = migrate.newest_versions(database.dialect, SQL_PACKAGES)
    assert {(file.package, file.version) for file in present} == {
        (package, n) for package, last in newest.items() for n in range(1, last + 1)
    }
    for table in ("outbox", "relay"):
        with pytest.raises(Exception, match=table):
            await database.read(f"SELECT * FROM {table}")


async def test_processes_that_are_started_at_once_bring_it_up_once_and_all_of_them_write(url: str) -> None:
    writers = [start_writer(url, f"writer{n}", 20) for n in range(3)]
    lines = [await asyncio.to_thread(writer.communicate, timeout=PATIENCE_S) for writer in writers]
    assert [len(out.splitlines()) for out, _ in lines] == [20, 20, 20]
    assert not any("refused" in out for out, _ in lines)
    async with await open_database(url) as database:
        rows = await SqlOutbox(database).unpublished(1000)
        assert [row.position for row in rows] == list(range(PUBLISHED + 1, COMMITTED + 60 + 1))
