"""Bodies that trickle in, and the map's feed when something behind it fails."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from api import problems
from api.edges import PictureEdges
from api.limits import BodyLimits
from api.streams import live
from api.streams.advice import AdviceFeed
from api.streams.live import LiveFeed
from tests.patience import PATIENCE_S


async def answer_of(app: FastAPI, *pieces: bytes, hangs: bool = False) -> tuple[int, dict[str, Any]]:
    """What the app answers to a POST whose body comes in these pieces, and then no more."""
    incoming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if not hangs:
        incoming.append({"type": "http.request", "body": b"", "more_body": False})
    outgoing: list[Message] = []

    async def receive() -> Message:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop(0)

    async def send(message: Message) -> None:
        outgoing.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}
    async with asyncio.timeout(PATIENCE_S):
        await app(scope, receive, send)
    return outgoing[0]["status"], json.loads(outgoing[1]["body"])


def echo_app(**limits: Any) -> FastAPI:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(BodyLimits, **limits)

    @app.post("/")
    async def length(request: Request) -> int:
        return len(await request.body())

    return app


async def test_a_body_that_does_not_end_is_given_up() -> None:
    status, problem = await answer_of(echo_app(s_max=0.1), b"{", b'"a"', hangs=True)
    assert (status, problem["code"]) == (408, "body_too_slow")


async def test_a_body_is_counted_over_all_its_pieces() -> None:
    assert await answer_of(echo_app(bytes_max=10), b"12345", b"67890") == (200, 10)
    status, problem = await answer_of(echo_app(bytes_max=10), b"12345", b"67890", b"1", hangs=True)
    assert (status, problem["code"]) == (413, "body_too_large")


class FailingFeed(LiveFeed):
    """Fails at every second frame."""

    def __init__(self) -> None:
        no_edges = cast(PictureEdges, type("NoEdges", (), {"outages": {ConnectionError: "Redis server"}}))
        super().__init__(no_edges, cast(AdviceFeed, None))
        self.made = 0

    async def frame(self) -> dict[str, Any]:
        self.made += 1
        if self.made % 2:
            raise ConnectionError("gone")
        return {"type": "frame", "number": self.made}


async def test_a_frame_that_fails_is_left_out_and_the_feed_ends_with_its_last_watcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "FRAME_EVERY_S", 0.01)
    feed = FailingFeed()
    first, second = feed.watch(), feed.watch()
    async with asyncio.timeout(PATIENCE_S):
        assert [json.loads(await first.get())["number"] for _ in range(3)] == [2, 4, 6]
        assert json.loads(await second.get())["number"] == 6
        feed.leave(first)
        assert json.loads(await second.get())["number"] == 8
        feed.leave(second)
        assert feed._task is not None
        await feed._task
        made = feed.made
        third = feed.watch()
        assert json.loads(await third.get())["number"] > made
    await feed.close()
    assert feed._task.done()
