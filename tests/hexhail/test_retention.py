"""What is old is deleted in small steps; what is unpublished, new, or needed to build inboxes anew never is."""

from __future__ import annotations

import time

from backing.outbox import scripts
from backing.outbox.outbox import SqlOutbox
from backing.outbox.rows import NewRow
from backing.sql.database import Database
from backing.sql.scripts import Batch, Statement, one
from dispatch.adapters.sql.answers import SqlKeptAnswers
from hexhail.runtime.retention import DAY_S, STEP_ROWS, Pruner, kinds_of
from hexhail.runtime.settings import Settings
from kernel.idempotency import IdempotencyKey

SETTINGS = Settings(keep_messages_days=90.0, keep_answers_days=7.0, keep_price_changes_days=365.0)
CHANGE = (
    "INSERT INTO surge_changes (region_id, cell, at_s, multiplier, multiplier_before, requests, quotes, idle_drivers,"
    " supply, target, wanted, bounds, reason, version)"
    " VALUES ('town', 'cell', ?1, 1.1, 1.0, 1.0, 0.0, 1.0, 1.0, 1.1, 1.1, 0, 'demand', 'v')"
)


def pruner(database: Database, kept_rows: int) -> Pruner:
    return Pruner(kinds_of(SETTINGS, database, kept_rows))


async def positions(database: Database) -> list[int]:
    return [row[0] for row in await database.read("SELECT position FROM outbox_rows ORDER BY position")]


async def write_messages(database: Database, ages_days: list[float]) -> None:
    now_s = SETTINGS.clock().now_s()
    rows = [
        NewRow("ride.events", f"ride{number}", 1, "town", (), f'{{"at_s": {now_s - age * DAY_S}}}')
        for number, age in enumerate(ages_days)
    ]
    await database.run(lambda: scripts.add(database.dialect, rows))
    await SqlOutbox(database).unpublished(1)  # gives positions in PostgreSQL


async def prune_all(pruning: Pruner) -> int:
    steps = 0
    while await pruning.step():
        steps += 1
    return steps


async def test_old_messages_go_and_unpublished_ones_and_the_newest_stay(database: Database) -> None:
    await write_messages(database, [100.0] * 8 + [10.0] * 2)
    pruning = pruner(database, kept_rows=4)
    assert await pruning.step() == 0  # nothing is published
    await SqlOutbox(database).mark_published(5)
    await prune_all(pruning)
    assert await positions(database) == [6, 7, 8, 9, 10]
    await SqlOutbox(database).mark_published(10)
    await prune_all(pruning)
    assert await positions(database) == [7, 8, 9, 10]  # so many of the newest stay, however old
    await prune_all(pruner(database, kept_rows=1))
    assert await positions(database) == [9, 10]  # younger than 90 days
    assert await SqlOutbox(database).progress() == (10, 10)
    await write_messages(database, [])


async def test_positions_go_on_after_a_deletion(database: Database) -> None:
    await write_messages(database, [100.0] * 5)
    await SqlOutbox(database).mark_published(5)
    await prune_all(pruner(database, kept_rows=1))
    rows = [NewRow("ride.events", "next", 1, "town", (), '{"at_s": 0.0}')]
    await database.run(lambda: scripts.add(database.dialect, rows))
    assert [row.position for row in await SqlOutbox(database).unpublished(10)] == [6]


async def test_a_deletion_goes_in_small_steps(database: Database) -> None:
    await write_messages(database, [100.0] * (2 * STEP_ROWS + 10))
    await SqlOutbox(database).mark_published(2 * STEP_ROWS + 10)
    pruning = pruner(database, kept_rows=1)
    assert [await pruning.step() for _ in range(4)] == [STEP_ROWS, STEP_ROWS, 9, 0]


async def test_an_answer_is_kept_for_as_long_as_is_promised(database: Database) -> None:
    answers, old, new = SqlKeptAnswers(database), IdempotencyKey("rider:a", "old", "0"), IdempotencyKey("b", "new", "0")
    for key in (old, new):
        await answers.keep(key, "{}")
    age = Statement("UPDATE idempotency SET added_s = ?1 WHERE key = 'old'", (time.time() - 7.1 * DAY_S,))
    await database.run(lambda: one(age))
    await prune_all(pruner(database, kept_rows=1))
    assert (await answers.find(old), await answers.find(new)) == (None, "{}")


async def test_old_changes_of_prices_go(database: Database) -> None:
    now_s = SETTINGS.clock().now_s()
    ages = Batch(CHANGE, [(now_s - days * DAY_S,) for days in (400.0, 366.0, 364.0, 1.0)])
    await database.run(lambda: one(ages))
    await prune_all(pruner(database, kept_rows=1))
    assert len(await database.read("SELECT at_s FROM surge_changes")) == 2


async def test_nothing_goes_that_is_kept_for_ever(database: Database) -> None:
    settings = Settings(keep_messages_days=0.0, keep_answers_days=0.0, keep_price_changes_days=0.0)
    await write_messages(database, [10_000.0] * 5)
    await SqlOutbox(database).mark_published(5)
    assert await Pruner(kinds_of(settings, database, 1)).step() == 0
