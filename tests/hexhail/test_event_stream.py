"""The stream of the population's people: what they make of frames that end or reset it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from api.streams.sockets import end
from hexhail.demo.population.event_stream import EventStream
from hexhail.demo.population.figures import PopulationFigures
from tests.patience import until


def event(seq: int) -> dict[str, Any]:
    return {"type": "event", "seq": seq, "event": "Numbered"}


RESET = {"type": "reset", "reason": "ahead_of_log", "last_seen": 0}


@asynccontextmanager
async def listening(*connections: tuple[list[dict[str, Any]], int]) -> AsyncIterator[dict[str, Any]]:
    """A person whose connections get these frames in turn and are then closed with a code; what she saw and sent."""
    seen: dict[str, Any] = {"paths": [], "tokens": [], "events": [], "ready": 0, "figures": PopulationFigures()}
    waiting = list(connections)

    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen["paths"].append(socket.request.path)
        seen["tokens"].append(socket.request.headers["Authorization"])
        if not waiting:
            await socket.wait_closed()
            return
        frames, code = waiting.pop(0)
        for frame in ({"type": "ready"}, *frames):
            await socket.send(json.dumps(frame))
        await socket.close(code)

    def on_ready() -> None:
        seen["ready"] += 1

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        stream = EventStream(
            f"ws://127.0.0.1:{port}/stream",
            lambda: f"token-{len(seen['paths'])}",
            on_ready,
            lambda one: seen["events"].append(one["seq"]),
            None,
            seen["figures"],
            random.Random(1),
        )
        task = asyncio.create_task(stream.run())
        try:
            yield seen
        finally:
            await end([task])


async def test_a_reset_stream_takes_what_follows_and_asks_anew_what_is_true() -> None:
    async with listening(([event(5000), RESET, event(3), event(7)], 1012)) as seen:
        await until(lambda: len(seen["paths"]) == 2)
        assert seen["events"] == [5000, 3, 7]
        assert seen["paths"][1].endswith("last_seen=7")
        assert seen["ready"] == 2
        assert seen["figures"].stream_resets == {"ahead_of_log": 1}


async def test_a_stream_whose_token_was_refused_connects_again_with_another_one() -> None:
    async with listening(([event(1)], 4401)) as seen:
        await until(lambda: len(seen["paths"]) == 2)
        assert seen["tokens"] == ["Bearer token-0", "Bearer token-1"]
        assert seen["paths"][1].endswith("last_seen=1")
