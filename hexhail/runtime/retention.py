"""How long rows are kept that nobody needs any more, and their deletion in small steps."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from backing.outbox.outbox import SqlOutbox
from backing.outbox.relay import HISTORY_ROWS
from backing.sql.database import Database
from dispatch.adapters.sql.answers import SqlKeptAnswers
from hexhail.runtime.settings import Settings
from pricing.adapters.sql.record import SqlPriceRecord

log = structlog.get_logger(__name__)

#: Rows of a step: SQLite's one writer is held for some ten milliseconds.
STEP_ROWS = 500
#: Wall seconds between two looks while nothing is old, and between two steps while something is.
LOOK_EVERY_S = 60.0
STEP_EVERY_S = 0.25
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one kind."""

    name: str
    #: 0 for ever.
    keep_days: float
    #: The clock of the rows' times.
    now: Callable[[], float]
    #: Deletes up to so many rows from before a time; returns how many.
    forget: Callable[[float, int], Awaitable[int]]
    oldest_s: Callable[[], Awaitable[float | None]]


def kinds_of(settings: Settings, database: Database, kept_rows: int = HISTORY_ROWS) -> list[Kind]:
    """Every kind of rows that are deleted when they are old; ``kept_rows`` of the newest messages always stay."""
    outbox, answers, prices = SqlOutbox(database), SqlKeptAnswers(database), SqlPriceRecord(database)
    city_now = settings.clock().now_s

    async def forget_messages(before_s: float, limit: int) -> int:
        return await outbox.forget(before_s, kept_rows, limit)

    return [
        Kind("messages", settings.keep_messages_days, city_now, forget_messages, outbox.oldest_s),
        Kind("answers", settings.keep_answers_days, time.time, answers.forget, answers.oldest_s),
        Kind("price changes", settings.keep_price_changes_days, city_now, prices.forget, prices.oldest_s),
    ]


class Pruner:
    """Deletes what is old, one small step at a time."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._kinds = kinds
        self.wait_s = LOOK_EVERY_S

    async def step(self) -> int:
        """Delete up to `STEP_ROWS` of each kind; return how many rows, and know in `wait_s` when to go on."""
        deleted = 0
        for kind in self._kinds:
            if kind.keep_days:
                deleted += await kind.forget(kind.now() - kind.keep_days * DAY_S, STEP_ROWS)
        self.wait_s = STEP_EVERY_S if deleted else LOOK_EVERY_S
        return deleted
