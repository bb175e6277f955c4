"""The inboxes of many streams are read in batches, and slow streams delay no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from api import inboxes
from api.inboxes import EVENTS_A_TURN, INBOXES_AT_ONCE, InboxReads, Page
from api.streams.sockets import end
from tests.patience import PATIENCE_S, until


class ToldReader:
    """Inboxes in memory; counts the questions, and fails when told so."""

    def __init__(self) -> None:
        self.events: dict[str, Page] = {}
        self.questions: list[list[str]] = []
        self.asked_s: list[float] = []
        self.failure: Exception | None = None

    async def read_many(self, after: Mapping[str, int], limit: int) -> dict[str, Page]:
        self.questions.append(list(after))
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        pages = {name: [e for e in self.events.get(name, []) if e[0] > least][:limit] for name, least in after.items()}
        return {name: page for name, page in pages.items() if page}

    def put(self, name: str, *positions: int) -> None:
        self.events.setdefault(name, []).extend((position, b"{}") for position in positions)


@pytest.fixture
async def reads(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InboxReads]:
    monkeypatch.setattr(inboxes, "LOOK_AGAIN_S", 0.3)
    monkeypatch.setattr(inboxes, "AWAY_S", 0.02)
    reads = InboxReads(ToldReader())
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
