"""Streams: in order, resumable, and bounded in what they cost."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio
from websockets.asyncio.client import connect

from api import inboxes
from api.auth.tokens import Role
from api.streams import sockets as api_sockets
from api.streams import websocket_protocol
from api.streams.people import FRAME_BYTES_MAX
from api.streams.sockets import STREAMS_MAX, end
from backing.inboxes.redis_inboxes import RedisInboxes
from backing.outbox.rows import OutboxRow
from kernel.contracts import redis_keys
from tests.api.installation import People, Person, Valkey
from tests.api.served import Served
from tests.patience import PATIENCE_S, eventually, until

pytestmark = pytest.mark.servers

GARBAGE: dict[str, str | bytes] = {
    "empty": "",
    "a word": "hello",
    "an array": "[]",
    "null": "null",
    "an object without a type": "{}",
    "of an unknown type": '{"type":"shout"}',
    "pings without pings": '{"type":"pings"}',
    "no pings": '{"type":"pings","pings":[]}',
    "an unknown field": '{"type":"ping","more":1}',
    "nested deeply": "[" * 100_000,
    "half a surrogate pair": '{"type":"\\ud800"}',
    "an endless number": "9" * 5000,
    "bytes that are no UTF-8": b"\xff\xfe",
    "null characters": b"\x00" * 100,
}


async def fill_inbox(valkey: Valkey, person: Person, positions: range, padding: str = "") -> None:
    """Put events where the relay would put them."""
    name = f"{person.role}:{person.id}"
    async with redis.asyncio.Redis(port=valkey.port) as client:
        pipeline = client.pipeline(transaction=False)
        for position in positions:
            payload = json.dumps({"event": "Numbered", "number": position, "padding": padding})
            pipeline.xadd(redis_keys.inbox(name), {"payload": payload}, id=f"{position}-0")
        pipeline.publish(redis_keys.INBOX_NEWS, name)
        await pipeline.execute()


async def test_a_stream_resumes_after_the_last_event_seen_without_loss_or_repetition(
    served: Served, served_people: People, own_valkey: Valkey
) -> None:
    rider = served_people.rider()
    await fill_inbox(own_valkey, rider, range(3, 700, 3))
    seen: list[int] = []
    for frames in (1, 99, 100, 32):
        async with rider.stream(last_seen=seen[-1] if seen else 0) as stream:
            seen += [(await stream.frame())["seq"] for _ in range(frames)]
    async with rider.stream(last_seen=seen[-1]) as stream:
        await fill_inbox(own_valkey, rider, range(700, 705))
        seen += [(await stream.frame())["seq"] for _ in range(6)]
    assert seen == [*range(3, 700, 3), *range(700, 705)]


async def test_news_reach_every_stream_of_a_principal_at_once(
    served: Served, served_people: People, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "LOOK_AGAIN_S", 2 * PATIENCE_S)  # the news alone can bring them
    driver = served_people.driver()
    async with redis.asyncio.Redis(port=own_valkey.port) as client:

        async def is_listened_to() -> bool:
            [(_, listeners)] = await client.pubsub_numsub(redis_keys.INBOX_NEWS)
            return bool(listeners)

        await eventually(is_listened_to)
    async with driver.stream() as phone, driver.stream() as tablet:
        for position in range(1, 20):
            await fill_inbox(own_valkey, driver, range(position, position + 1))
            for stream in (phone, tablet):
                assert (await stream.frame())["number"] == position


def rows_of(person: Person, *positions: int) -> list[OutboxRow]:
    """Committed events of a person, as the relay reads them from SQL."""
    name = f"{person.role}:{person.id}"
    return [
        OutboxRow(
            position=position,
            stream="ride.events",
            key="ride",
            sequence=position,
            region_id="manhattan",
            inboxes=(name,),
            payload=json.dumps({"event": "Numbered", "number": position}),
        )
        for position in positions
    ]


async def rebuild(valkey: Valkey, rows: list[OutboxRow]) -> None:
    """Build the inboxes anew with the rows, as the relay does."""

    async def read() -> list[OutboxRow]:
        return rows

    async with redis.asyncio.Redis(port=valkey.port) as client:
        await RedisInboxes(client).rebuild(read)


async def test_a_client_ahead_of_the_log_is_told_so_and_gets_what_there_is(
    served: Served, served_people: People, own_valkey: Valkey
) -> None:
    rider = served_people.rider()
    await rebuild(own_valkey, rows_of(rider, 3, 7))
    async with rider.stream(last_seen=5000) as stream:
        frame = await stream.frame()
        assert (frame["type"], frame["reason"], frame["last_seen"]) == ("reset", "ahead_of_log", 0)
        assert frame["detail"]
        assert "read your rides anew" in frame["hint"]
        assert [(await stream.frame())["number"] for _ in range(2)] == [3, 7]


async def test_a_client_whose_last_event_is_no_longer_kept_is_told_so(
    served: Served, served_people: People, own_valkey: Valkey
) -> None:
    rider = served_people.rider()
    await rebuild(own_valkey, rows_of(rider, 30, 31))
    async with rider.stream(last_seen=20) as stream:
        assert (await stream.frame())["reason"] == "not_kept"
        assert [(await stream.frame())["number"] for _ in range(2)] == [30, 31]


async def test_nobody_hears_silence_after_sql_was_restored_to_an_older_state(
    served: Served, served_people: People, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "LOOK_AGAIN_S", 0.2)
    rider, other = served_people.rider(), served_people.driver()
    await rebuild(own_valkey, rows_of(rider, 90, 100))
    async with rider.stream() as open_stream, other.stream() as without_events:
        assert [(await open_stream.frame())["number"] for _ in range(2)] == [90, 100]
        # SQL is at 90 again; the relay sees that the inboxes are ahead of it, as `Relay._complete_inboxes` does.
        async with redis.asyncio.Redis(port=own_valkey.port) as client:
            await RedisInboxes(client).clear()
        await rebuild(own_valkey, rows_of(rider, 90))
        assert (await open_stream.frame())["reason"] in ("log_restored", "ahead_of_log")
        assert (await open_stream.frame())["number"] == 90
        await fill_inbox(own_valkey, rider, range(91, 93))
        assert [(await open_stream.frame())["number"] for _ in range(2)] == [91, 92]
        await without_events.say({"type": "ping"})
        assert await without_events.frame() == {"type": "pong"}


@pytest.mark.parametrize("last_seen", ["-1", "x", "1.5", "9007199254740993", "\u0663", "1" * 50])
async def test_a_stream_refuses_a_last_seen_that_is_no_position(people: People, last_seen: str) -> None:
    rider = people.rider()
    url = people.installation.url.replace("http", "ws") + "/v1/riders/me/stream"
    async with connect(f"{url}?last_seen={quote(last_seen)}", additional_headers=rider.headers, proxy=None) as socket:
        await socket.wait_closed()
        assert socket.close_code == 4422


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_frame_is_answered_with_an_error_and_the_stream_lives_on_if_it_is(people: People, garbage: str) -> None:
    async with people.driver().stream() as stream:
        await stream.say(GARBAGE[garbage])
        frame = await stream.frame()
        assert (frame["type"], frame["code"]) == ("error", "invalid_frame")
        assert frame["detail"]
        assert frame["hint"]
        await stream.say({"type": "ping"})
        assert await stream.frame() == {"type": "pong"}


async def test_a_frame_that_is_too_large_ends_the_stream(people: People) -> None:
    async with people.driver().stream() as stream:
        await stream.say("x" * (FRAME_BYTES_MAX + 1))
        assert await stream.close_code() == 1009


async def test_one_stream_too_many_ends_the_oldest(people: People) -> None:
    rider = people.rider()
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(rider.stream()) for _ in range(STREAMS_MAX[Role.RIDER] + 1)]
        assert await streams[0].close_code() == api_sockets.REPLACED
        for stream in streams[1:]:
            await stream.say({"type": "ping"})
            assert await stream.frame() == {"type": "pong"}
        streams.append(await stack.enter_async_context(rider.stream()))
        assert await streams[1].close_code() == api_sockets.REPLACED


async def test_a_client_that_stops_reading_is_disconnected_and_delays_nobody(
    served: Served, served_people: People, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_sockets, "SEND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(websocket_protocol, "LAST_BYTES_S", 0.5)
    slow, quick = served_people.rider(), served_people.rider()
    await fill_inbox(own_valkey, slow, range(1, 1000), padding="x" * 20_000)
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        port = int(served.url.rpartition(":")[2])
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", port))
        request = (
            "GET /v1/riders/me/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: {slow.headers['Authorization']}\r\n\r\n"
        )
        await loop.sock_sendall(raw, request.encode())
        async with quick.stream() as stream:
            await until(lambda: served.server.server_state.connections and len(_open_streams(served)) == 2)
            await fill_inbox(own_valkey, quick, range(1, 2))
            assert (await stream.frame())["number"] == 1
            await until(lambda: len(_open_streams(served)) == 1 and len(served.server.server_state.connections) == 1)


def _open_streams(served: Served) -> dict[Any, Any]:
    streams: dict[Any, Any] = served.app.state.open_streams._of
    return streams


async def test_a_stopping_server_closes_its_streams_and_ends_in_time(
    served: Served, served_people: People, own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        # More than redis-py has connections.
        people = [served_people.driver() for _ in range(130)]
        streams = [await stack.enter_async_context(person.stream()) for person in people]
        async with asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(fill_inbox(own_valkey, person, range(1, 2)))
        assert {(await stream.frame())["number"] for stream in streams} == {1}
        # Every stream reads its inbox at the moment of the end.
        async with redis.asyncio.Redis(port=own_valkey.port) as client:
            await client.publish(redis_keys.INBOX_NEWS, " ".join(f"driver:{person.id}" for person in people))
        # In time: what has not ended by itself until then, uvicorn cancels, and says so in the log.
        served.server.config.timeout_graceful_shutdown = int(PATIENCE_S)
        await served.stop()
        assert {await stream.close_code() for stream in streams} == {1012}
    assert "Traceback" not in caplog.text
    assert "Cancel" not in caplog.text


async def test_a_task_that_loses_its_first_cancellation_is_ended_all_the_same() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await end([task])
    assert task.cancelled()
    assert lost == 3
