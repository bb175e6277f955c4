"""SQL transactions as scripts: generators that yield statements and are sent the rows.

A script knows SQL but no driver, so the same lines run in SQLite's writer thread and over PostgreSQL's connections.
`yield from` joins scripts of several services into one transaction.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

Dialect = Literal["sqlite", "postgres"]
T = TypeVar("T")


class Statement(NamedTuple):
    """One statement; its parameters are numbered `?1`, `?2`, … in the text. Its rows are sent back."""

    text: str
    parameters: tuple[Any, ...] = ()


class Batch(NamedTuple):
    """One statement, run with each of many tuples of parameters; no rows are sent back."""

    text: str
    parameters: Sequence[tuple[Any, ...]]


class Announce(NamedTuple):
    """Wakes those who listen to a channel (`Database.listen`) soon after the commit; no rows are sent back.

    A hint that may get lost with its process: who listens looks now and then besides.
    """

    channel: str


Step = Statement | Batch | Announce
Rows = Sequence[Sequence[Any]]
Script = Generator[Step, Rows, T]


class Duplicate(Exception):
    """A unique index refused a row; raised inside the script in place of rows.

    The script may only raise an error of its own: PostgreSQL accepts no further statement in this transaction.
    """


def one(step: Step) -> Script[Rows]:
    """A transaction of a single statement; returns its rows."""
    return (yield step)
