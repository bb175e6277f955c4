"""Writing into the outbox: with the change or not at all, each message of a key once, only to streams with a topic."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from backing.outbox.backlog import BacklogMetrics
from backing.outbox.outbox import Backlog, SqlOutbox
from backing.outbox.rows import NewRow
from backing.outbox.scripts import add
from backing.sql.database import Database
from backing.sql.scripts import Duplicate, Script
from kernel.contracts.topics import STREAM_TOPICS

NOTES, OTHERS = "notes", "others"


@pytest.fixture(autouse=True)
def made_up_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (NOTES, OTHERS):
        monkeypatch.setitem(STREAM_TOPICS, stream, stream)


@pytest.fixture
def outbox(database: Database) -> SqlOutbox:
    return SqlOutbox(database)


def note(sequence: int, stream: str = NOTES, key: str = "key", region_id: str = "town") -> NewRow:
    return NewRow(stream, key, sequence, region_id, ("rider:alice", "driver:dora"), f'{{"number": {sequence}}}')


async def write(database: Database, *rows: NewRow) -> None:
    await database.run(lambda: add(database.dialect, rows))


async def test_what_is_written_is_read_back_with_its_position(database: Database, outbox: SqlOutbox) -> None:
    await write(database, note(1), note(2))
    await write(database, note(1, OTHERS))
    rows = await outbox.unpublished(10)
    assert [(row.stream, row.key, row.sequence, row.region_id, row.inboxes, row.payload) for row in rows] == [
        (one.stream, one.key, one.sequence, one.region_id, one.inboxes, one.payload)
        for one in (note(1), note(2), note(1, OTHERS))
    ]
    assert [row.position for row in rows] == [1, 2, 3]


async def test_who_follows_a_stream_in_a_region_gets_nothing_of_others(database: Database, outbox: SqlOutbox) -> None:
    await write(database, note(1), note(1, OTHERS), note(1, key="abroad", region_id="elsewhere"), note(2), note(3))
    await outbox.unpublished(10)
    assert await outbox.since(NOTES, "town", 1, 1) == [(4, note(2).payload)]
    assert [position for position, _ in await outbox.since(NOTES, "town", 0, 10)] == [1, 4, 5]
    assert await outbox.history(OTHERS) == [note(1).payload]


async def test_a_message_of_a_key_is_there_once(database: Database, outbox: SqlOutbox) -> None:
    await write(database, note(1))
    with pytest.raises(Duplicate):
        await write(database, note(2), note(1))
    await write(database, note(1, OTHERS), note(1, key="another"))
    assert [row.position for row in await outbox.unpublished(10)] == [1, 2, 3]


async def test_a_transaction_that_fails_writes_no_message_and_leaves_no_gap(
    database: Database, outbox: SqlOutbox
) -> None:
    def script() -> Script[None]:
        yield from add(database.dialect, [note(1), note(2)])
        raise RuntimeError("the change is refused")

    with pytest.raises(RuntimeError, match="the change is refused"):
        await database.run(script)
    await write(database, note(1))
    assert [(row.sequence, row.position) for row in await outbox.unpublished(10)] == [(1, 1)]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([note(1), note(1, "unheard of")], "'unheard of' has no topic"),
        ([note(1), NewRow(NOTES, "key", 2, "town", ("rider:alice liddell",), "{}")], "have no blanks"),
        ([note(1), NewRow(NOTES, "key", 2, "town", ("",), "{}")], "are not empty"),
    ],
)
async def test_a_message_that_the_relay_could_not_deliver_is_refused_with_its_change(
    database: Database, outbox: SqlOutbox, rows: Iterable[NewRow], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        await write(database, *rows)
    assert await outbox.progress() == (0, 0)


async def test_the_backlog_is_what_nobody_published_yet_and_since_when(database: Database, outbox: SqlOutbox) -> None:
    assert await outbox.backlog() == Backlog(0, None)
    for number, at_s in enumerate((100.0, 130.0, 170.0), start=1):
        await write(database, NewRow(NOTES, "key", number, "town", (), f'{{"at_s": {at_s}}}'))
    # In PostgreSQL nobody has numbered them yet.
    assert await outbox.backlog() == Backlog(3, 100.0)
    await outbox.unpublished(10)
    assert await outbox.backlog() == Backlog(3, 100.0)
    registry = CollectorRegistry()
    metrics = BacklogMetrics(outbox, lambda: 190.0, registry)
    for published, waiting, age_s in ((0, 3, 90.0), (2, 1, 20.0), (3, 0, 0.0)):
        await outbox.mark_published(published)
        await metrics.look()
        assert registry.get_sample_value("hexhail_outbox_unpublished") == waiting
        assert registry.get_sample_value("hexhail_outbox_oldest_unpublished_city_seconds") == age_s
