"""The inboxes of many streams are read in batches, and slow streams delay no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from api import inboxes
from api.cursors import Gap, LogState, judge_open, judge_resumption
from api.inboxes import EVENTS_A_TURN, INBOXES_AT_ONCE, InboxCursor, InboxReads, Page
from api.streams.sockets import end
from tests.patience import PATIENCE_S, until


class ScriptedReader:
    """Inboxes in memory; counts the reads, and fails as a test sets it."""

    def __init__(self) -> None:
        self.events: dict[str, Page] = {}
        self.questions: list[list[str]] = []
        self.asked_s: list[float] = []
        self.failure: Exception | None = None
        self.log = LogState(None, None)

    async def read_many(self, after: Mapping[str, int], limit: int) -> dict[str, Page]:
        self.questions.append(list(after))
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        pages = {name: [e for e in self.events.get(name, []) if e[0] > least][:limit] for name, least in after.items()}
        return {name: page for name, page in pages.items() if page}

    async def look_at_log(self, positions: Collection[tuple[str, int]]) -> tuple[LogState, set[tuple[str, int]]]:
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        return self.log, {(name, at) for name, at in positions if any(at == e[0] for e in self.events.get(name, []))}

    def put(self, name: str, *positions: int) -> None:
        self.events.setdefault(name, []).extend((position, b"{}") for position in positions)


@pytest.fixture
async def reads(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InboxReads]:
    monkeypatch.setattr(inboxes, "LOOK_AGAIN_S", 0.3)
    monkeypatch.setattr(inboxes, "AWAY_S", 0.02)
    reads = InboxReads(ScriptedReader())
    running = asyncio.create_task(reads.run())
    yield reads
    await end([running])


async def wait_idle() -> None:
    await asyncio.sleep(0.02)


async def test_ten_thousand_idle_streams_are_asked_for_in_a_few_questions(reads: Any) -> None:
    reader = reads._reader
    streams = [asyncio.create_task(reads.next_page(f"driver:{n}", 0)) for n in range(10_000)]
    while sum(map(len, reader.questions)) < 10_000:
        await asyncio.sleep(0.01)
    # Forty would do; on a slow machine the next look begins meanwhile.
    assert len(reader.questions) <= 3 * 10_000 / INBOXES_AT_ONCE
    # Nobody told of this one; it is found all the same.
    reader.put("driver:7777", 3)
    async with asyncio.timeout(PATIENCE_S):
        assert await streams[7777] == [(3, b"{}")]
    await end(streams)
    assert reads._waiting == {}


async def test_news_are_read_before_those_whose_turn_it_is(reads: Any) -> None:
    reader = reads._reader
    reads._to_look_at = dict.fromkeys(f"driver:{n}" for n in range(1_000))
    reader.put("driver:told", 1)
    assert await reads.next_page("driver:told", 0) == [(1, b"{}")]
    assert "driver:told" in reader.questions[0]


async def test_two_phones_of_one_person_each_get_what_they_lack(reads: Any) -> None:
    reads._reader.put("driver:d", 1, 2, 3)
    behind, ahead, done = (asyncio.create_task(reads.next_page("driver:d", after)) for after in (0, 2, 3))
    assert await behind == [(1, b"{}"), (2, b"{}"), (3, b"{}")]
    assert await ahead == [(3, b"{}")]
    await wait_idle()
    assert not done.done()
    reads._reader.put("driver:d", 4)
    reads.ring(["driver:d"])
    assert await done == [(4, b"{}")]


async def test_a_phone_that_comes_while_another_ones_page_is_read_misses_nothing(reads: Any) -> None:
    reader = reads._reader
    reader.put("driver:d", 1, 2, 3, 4)
    ahead = asyncio.create_task(reads.next_page("driver:d", 3))
    while not reader.questions:  # and not a turn longer: the answer is a millisecond away
        await asyncio.sleep(0)
    behind = asyncio.create_task(reads.next_page("driver:d", 0))
    assert await ahead == [(4, b"{}")]
    assert [position for position, _ in await behind] == [1, 2, 3, 4]


async def test_an_inbox_longer_than_a_page_is_read_page_by_page_without_news(reads: Any) -> None:
    reads._reader.put("driver:d", *range(1, 3 * inboxes.PAGE + 2))
    seen: list[int] = []
    while len(seen) < 3 * inboxes.PAGE + 1:
        page = await reads.next_page("driver:d", seen[-1] if seen else 0)
        assert len(page) <= inboxes.PAGE
        seen += [position for position, _ in page]
    assert seen == list(range(1, 3 * inboxes.PAGE + 2))


async def test_news_that_come_between_two_pages_are_not_lost(reads: Any) -> None:
    reads._reader.put("driver:d", 1)
    assert await reads.next_page("driver:d", 0) == [(1, b"{}")]
    reads._reader.put("driver:d", 2)
    reads.ring(["driver:d"])
    async with asyncio.timeout(PATIENCE_S):
        assert await reads.next_page("driver:d", 1) == [(2, b"{}")]


async def test_streams_wait_while_redis_is_away_and_go_on_when_it_is_back(reads: Any) -> None:
    reader = reads._reader
    reader.failure = ConnectionError("away")
    reader.put("driver:d", 1)
    waiting = asyncio.create_task(reads.next_page("driver:d", 0))
    await until(lambda: len(reader.questions) >= 4)
    assert not waiting.done()
    assert all(later_s - earlier_s >= inboxes.AWAY_S for earlier_s, later_s in pairwise(reader.asked_s))
    reader.failure = None
    assert await waiting == [(1, b"{}")]


async def test_delivering_many_events_yields_to_other_tasks(reads: Any) -> None:
    """A keep-alive that comes in between must not wait for five hundred pages to be sent."""
    handed: list[int] = []
    at_turn: list[int] = []

    async def stream(name: str) -> None:
        handed.append(len(await reads.next_page(name, 0)))

    async def others() -> None:
        while True:
            at_turn.append(sum(handed))
            await asyncio.sleep(0)

    for n in range(500):
        reads._reader.put(f"driver:{n}", *range(1, 11))
    asked = asyncio.create_task(others())
    await asyncio.gather(*[stream(f"driver:{n}") for n in range(500)])
    await end([asked])
    at_turn.append(sum(handed))
    assert max(b - a for a, b in pairwise(at_turn)) <= EVENTS_A_TURN + 10


async def test_a_stream_that_ends_while_it_waits_leaves_nothing_behind(reads: Any) -> None:
    waiting = asyncio.create_task(reads.next_page("driver:d", 0))
    await wait_idle()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert reads._waiting == {}
    reads.ring(["driver:d"])
    assert reads._grown == {}


# -- positions that are none of the log's ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "newest", "is_kept", "gap"),
    [
        (0, 100, False, None),
        (50, 100, True, None),
        (50, 100, False, Gap.NOT_KEPT),
        (100, 100, True, None),
        (101, 100, False, Gap.AHEAD),
        (101, None, False, None),
    ],
)
def test_a_position_that_a_client_names_is_compared_with_what_is_kept(
    after: int, newest: int | None, is_kept: bool, gap: Gap | None
) -> None:
    assert judge_resumption(after, LogState(newest, None), is_kept=is_kept) is gap


def test_an_open_stream_is_told_of_a_log_that_went_back_and_of_nothing_else() -> None:
    before, after = LogState(100, "a"), LogState(80, "b")
    assert judge_open(50, before, after) is Gap.RESTORED
    assert judge_open(50, LogState(100, None), after) is Gap.RESTORED
    assert judge_open(0, before, after) is None, "a stream that was told nothing has nothing to forget"
    assert judge_open(50, before, LogState(None, "b")) is None, "the inboxes are still being built"
    assert judge_open(50, before, LogState(100, None)) is None, "Redis has forgotten"
    assert judge_open(50, before, LogState(120, "a")) is None
    assert judge_open(90, None, after) is Gap.AHEAD


async def test_a_client_ahead_of_the_log_is_told_and_gets_what_there_is(reads: Any) -> None:
    reads._reader.put("driver:d", 3, 7)
    reads._reader.log = LogState(9, None)
    cursor = InboxCursor(reads, "driver:d", 5000)
    assert await cursor.next() is Gap.AHEAD
    assert await cursor.next() == [(3, b"{}"), (7, b"{}")]


async def test_a_client_whose_last_event_is_no_longer_kept_is_told_before_it_gets_the_rest(reads: Any) -> None:
    reads._reader.put("driver:d", 30, 31)
    reads._reader.log = LogState(40, None)
    cursor = InboxCursor(reads, "driver:d", 20)
    assert await cursor.next() is Gap.NOT_KEPT
    assert await cursor.next() == [(30, b"{}"), (31, b"{}")]


async def test_a_client_whose_last_event_is_kept_goes_on_without_a_word(reads: Any) -> None:
    reads._reader.put("driver:d", 20, 31)
    reads._reader.log = LogState(40, "a")
    assert await InboxCursor(reads, "driver:d", 20).next() == [(31, b"{}")]


async def test_an_open_stream_hears_of_a_restored_log_and_then_all_that_is_kept(reads: Any) -> None:
    reader = reads._reader
    reader.put("driver:d", 90, 100)
    reader.log = LogState(100, None)
    waiting, sending = InboxCursor(reads, "driver:d", 0), InboxCursor(reads, "driver:d", 0)
    for cursor in (waiting, sending):
        assert await cursor.next() == [(90, b"{}"), (100, b"{}")]
    told = asyncio.create_task(waiting.next())
    await wait_idle()
    # Positions went back to 92 and have passed 100 since: neither stream would notice by its position.
    reader.events["driver:d"] = [(90, b"{}"), (93, b"{}"), (101, b"{}")]
    reader.log = LogState(101, "restored")
    assert await told is Gap.RESTORED
    assert await sending.next() is Gap.RESTORED
    for cursor in (waiting, sending):
        assert await cursor.next() == [(90, b"{}"), (93, b"{}"), (101, b"{}")]


async def test_an_open_stream_hears_that_it_is_ahead_where_redis_forgot_the_restoration(reads: Any) -> None:
    reads._reader.put("driver:d", 100)
    reads._reader.log = LogState(100, None)
    cursor = InboxCursor(reads, "driver:d", 0)
    assert await cursor.next() == [(100, b"{}")]
    reads._reader.events["driver:d"] = [(60, b"{}")]
    reads._reader.log = LogState(60, None)
    async with asyncio.timeout(PATIENCE_S):
        assert await cursor.next() is Gap.AHEAD
        assert await cursor.next() == [(60, b"{}")]


async def test_while_the_inboxes_are_built_anew_nobody_is_told_of_gaps(reads: Any) -> None:
    reads._reader.put("driver:d", 30)
    told = asyncio.create_task(InboxCursor(reads, "driver:d", 20).next())
    assert await told == [(30, b"{}")]
