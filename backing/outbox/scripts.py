"""The outbox's part in transactions, as scripts (`backing.sql.scripts`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from backing.outbox import statements as sql
from backing.outbox.rows import KeptMessage, NewRow, OutboxRow
from backing.sql.scripts import Announce, Dialect, Script, Statement
from kernel.contracts.topics import STREAM_TOPICS

#: Any number will do, as long as no other program on the database locks the same.
POSITIONS_LOCK = 7_301_954
#: Where PostgreSQL is told that rows have been committed.
CHANNEL = "hexhail_outbox"


def add(dialect: Dialect, rows: Iterable[NewRow]) -> Script[None]:
    """Write messages into the outbox in the transaction of the change: `yield from add(...)`.

    Raises ValueError for a stream without a topic and for the name of an inbox with a blank; Duplicate, as any
    statement does, for a (stream, key, sequence) that is there.
    """
    is_any = False
    for row in rows:
        if row.stream not in STREAM_TOPICS:
            raise ValueError(f"the stream {row.stream!r} has no topic: add it to kernel.contracts.topics.STREAM_TOPICS")
        names = " ".join(row.inboxes)
        if len(names.split()) != len(row.inboxes):
            raise ValueError(f"names of inboxes have no blanks and are not empty, unlike one of {row.inboxes}")
        yield Statement(sql.ADD[dialect], (row.stream, row.key, row.sequence, row.region_id, names, row.payload))
        is_any = True
    if is_any:
        yield Announce(CHANNEL)


def give_positions() -> Script[None]:
    """Number the rows that have been committed since, in the order in which they came; for PostgreSQL.

    PostgreSQL gives identity values before the commit, so a smaller one can appear after a greater. Positions are
    given here, to what is committed, by one relay at a time. SQLite numbers rows as they are written.
    """
    yield Statement(sql.LOCK_POSITIONS, (POSITIONS_LOCK,))
    waiting = yield Statement(sql.NEEDS_POSITIONS)
    if waiting:
        yield Statement(sql.GIVE_POSITIONS)


def forget(before_s: float, kept_rows: int, limit: int) -> Script[int]:
    """Delete up to ``limit`` of the oldest messages from before a time, city seconds; return how many.

    Only what is published, never one of the newest ``kept_rows``, and none after one that has to stay: inboxes are
    built anew, and policies learn anew, from the newest ones.
    """
    rows = yield Statement(sql.OLDEST_ROWS, (kept_rows, limit))
    last = 0
    for position, payload in rows:
        at_s = at_s_of(payload)
        if at_s is not None and at_s >= before_s:
            break
        last = position
    if not last:
        return 0
    return len((yield Statement(sql.FORGET_ROWS, (last,))))


def of_key(stream: str, key: str) -> Script[list[KeptMessage]]:
    """The messages about one thing that are kept, in their order."""
    rows = yield Statement(sql.OF_KEY, (stream, key))
    return [KeptMessage(sequence, payload, bool(is_published)) for sequence, payload, is_published in rows]


def replace_payload(stream: str, key: str, sequence: int, payload: str) -> Script[None]:
    """Change what a message says that was published; whoever reads it from SQL from now on gets the new payload."""
    yield Statement(sql.REPLACE_PAYLOAD, (payload, stream, key, sequence))


def at_s_of(payload: str) -> float | None:
    """When a message says that it happened, city seconds; None if it does not say."""
    try:
        return msgspec.json.decode(payload, type=_Moment).at_s
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class _Moment(msgspec.Struct):
    at_s: float | None = None


def read_row(row: Sequence[Any]) -> OutboxRow:
    """A row from its columns."""
    stream, key, sequence, region_id, names, payload, position = row
    return OutboxRow(stream, key, sequence, region_id, tuple(names.split()), payload, position)
