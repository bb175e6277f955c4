"""How long data is kept that nobody needs any more, and its deletion in small steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from backing.outbox.outbox import SqlOutbox
from backing.outbox.relay import HISTORY_ROWS
from backing.sql.database import Database
from dispatch.adapters.round_folder import RoundFolder
from dispatch.adapters.sql.answers import SqlKeptAnswers
from dispatch.adapters.sql.places import SqlPlaces
from hexhail.cities.served import surge_resolutions
from hexhail.runtime.settings import Settings
from pricing.adapters.sql.record import SqlPriceRecord

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge

#: Rows of a step: SQLite's one writer is held for some ten milliseconds.
STEP_ROWS = 500
#: Rides of a step whose places are made coarse: each has some messages besides its own row.
STEP_RIDES = 100
#: Wall seconds between two looks while nothing is old, and between two steps while something is.
LOOK_EVERY_S = 60.0
STEP_EVERY_S = 0.25
DAY_S = 86_400.0


class Prunable(Protocol):
    """Data of one kind that is deleted when it is old."""

    @property
    def name(self) -> str:
        """What it is called in doctor and metrics."""
        ...

    async def delete_old(self) -> int:
        """Delete a small step of what is old; return how much, 0 if nothing is."""
        ...


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
    #: Rows of a step.
    step_rows: int = STEP_ROWS

    async def delete_old(self) -> int:
        """See `Prunable.delete_old`."""
        return await self.forget(self.now() - self.keep_days * DAY_S, self.step_rows) if self.keep_days else 0


@dataclass(frozen=True, slots=True)
class RecordedRounds:
    """The rounds that matchers record in a folder of this machine."""

    folder: RoundFolder
    #: What they take, bytes; None where nobody asks.
    size: Gauge | None = None
    name: str = "recorded rounds"

    async def delete_old(self) -> int:
        """See `Prunable.delete_old`."""
        deleted = await self.folder.forget()
        if self.size is not None:
            self.size.set((await asyncio.to_thread(self.folder.kept)).size_bytes)
        return deleted


def kinds_of(settings: Settings, database: Database, kept_rows: int = HISTORY_ROWS) -> list[Kind]:
    """Every kind of rows that are deleted when they are old; ``kept_rows`` of the newest messages always stay."""
    outbox, answers, prices = SqlOutbox(database), SqlKeptAnswers(database), SqlPriceRecord(database)
    places = SqlPlaces(database, surge_resolutions(settings.city_folders))
    city_now = settings.clock().now_s

    async def forget_messages(before_s: float, limit: int) -> int:
        return await outbox.forget(before_s, kept_rows, limit)

    return [
        Kind("messages", settings.keep_messages_days, city_now, forget_messages, outbox.oldest_s),
        Kind("answers", settings.keep_answers_days, time.time, answers.forget, answers.oldest_s),
        Kind("price changes", settings.keep_price_changes_days, city_now, prices.forget, prices.oldest_s),
        Kind("places of rides", places_days(settings), city_now, places.forget, places.oldest_s, STEP_RIDES),
    ]


def places_days(settings: Settings) -> float:
    """Days for which the places of ended rides stay exact, 0 for ever.

    Recorded rounds are decided again on the places in the events: as long as the rounds are kept, so are the places.
    """
    if not settings.keep_places_days or settings.record_dir is None:
        return settings.keep_places_days
    if not settings.keep_rounds_days:
        return 0.0
    # A file of rounds is written for a day and kept for so many after that.
    return max(settings.keep_places_days, settings.keep_rounds_days + 2.0)


def recorded_rounds(settings: Settings) -> RoundFolder | None:
    """The folder of recorded rounds with its limits; None if they are not recorded."""
    if settings.record_dir is None:
        return None
    return RoundFolder(settings.record_dir, settings.keep_rounds_days * DAY_S, settings.keep_rounds_bytes)


def deletions(registry: CollectorRegistry) -> Counter:
    """The metric of what a process deletes because it is old, for `Pruner`."""
    from prometheus_client import Counter

    about = "Rows, files and places of rides that were deleted because they were older than the settings keep them."
    return Counter("hexhail_retention_deleted_total", about, ["kind"], registry=registry)


class Pruner:
    """Deletes what is old, one small step at a time."""

    def __init__(self, kinds: Sequence[Prunable], deleted: Counter | None = None) -> None:
        """``deleted`` counts with the label kind."""
        self._kinds = kinds
        self._deleted = deleted
        self.wait_s = LOOK_EVERY_S

    async def step(self) -> int:
        """Delete a small step of each kind; return how much, and know in `wait_s` when to go on."""
        deleted = 0
        for kind in self._kinds:
            count = await kind.delete_old()
            if count and self._deleted is not None:
                self._deleted.labels(kind.name).inc(count)
            deleted += count
        self.wait_s = STEP_EVERY_S if deleted else LOOK_EVERY_S
        return deleted
