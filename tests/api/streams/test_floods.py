"""Clients that send too much, or never finish what they began: the server hangs up and serves the others."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from api import http_protocol, penalties
from api.streams import websocket_protocol
from api.streams.budgets import SOCKET_LIMITS
from tests.api.installation import People, Person, assert_problem
from tests.api.served import Served
from tests.patience import PATIENCE_S, until

pytestmark = pytest.mark.servers

TEXT, PING, CONTINUATION = 0x1, 0x9, 0x0
FLOOD = 50_000


def frame(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    """A masked frame of less than 126 bytes; the mask is 0, which leaves the payload as it is."""
    return struct.pack(">BBI", opcode | (0x80 if is_last else 0), 0x80 | len(payload), 0) + payload


FLOODS = {
    "messages": frame(TEXT, b'{"type":"ping"}') * FLOOD,
    "control pings": frame(PING, b"x" * 125) * FLOOD,
    "empty fragments": frame(TEXT, b"{", is_last=False) + frame(CONTINUATION, b"", is_last=False) * FLOOD,
}


@asynccontextmanager
async def connection(url: str, sent: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection without any library, which would keep to the rules, after something was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def handshake(token: str) -> bytes:
    """The request that opens a driver's stream."""
    return (
        "GET /v1/drivers/me/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def raw_stream(
    person: Person, token: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A driver's stream that is ready; IncompleteReadError with what was said instead."""
    request = handshake(token or person.installation.tokens.issue(person.role, person.id))
    async with connection(person.installation.url, request) as (reader, writer):
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b'"last_seen":0}')
        yield reader, writer


async def send_all(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send until everything is sent or the server has hung up."""
    try:
        for start in range(0, len(data), 1 << 16):
            writer.write(data[start : start + (1 << 16)])
            await writer.drain()
    except ConnectionError:
        pass


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the server's hanging up."""
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        try:
            while more := await reader.read(1 << 16):
                received += more
        except ConnectionError:  # what we sent after its close met a closed socket
            pass
    return received


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_is_cut_off_within_its_budget_whatever_the_frames_are(
    served: Served, served_people: People, flood: str
) -> None:
    async with raw_stream(served_people.driver()) as (reader, writer):
        sending = asyncio.create_task(send_all(writer, FLOODS[flood]))
        received = await rest_of(reader)
        await sending
    pongs = received.count(b"pong") + received.count(bytes([0x80 | 0xA, 125]))
    assert pongs < FLOOD / 10
    await until(lambda: not served.server.server_state.connections)


@pytest.mark.parametrize("flood", ["messages", "empty fragments"])
async def test_a_stream_that_sends_too_many_frames_is_closed_with_4429(
    served: Served, served_people: People, flood: str
) -> None:
    # Few enough that all of them have arrived before the server hangs up: the goodbye is then read.
    few = FLOODS[flood][: len(frame(TEXT, b'{"type":"ping"}')) * 300]
    async with raw_stream(served_people.driver()) as (reader, writer):
        await send_all(writer, few)
        received = await rest_of(reader)
    assert struct.pack(">H", websocket_protocol.TOO_MUCH) + b"too_many_frames" in received


async def test_a_token_that_was_cut_off_has_to_wait_and_others_need_not(
    served: Served, served_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalties, "PENALTY_S", 2 * PATIENCE_S)
    monkeypatch.setattr(http_protocol, "PENALTY_S", 0.3)
    greedy, modest = served_people.driver(), served_people.driver()
    token = served.tokens.issue(greedy.role, greedy.id)
    async with raw_stream(greedy, token) as (reader, writer):
        await send_all(writer, FLOODS["messages"][: 21 * 300])
        await rest_of(reader)
    async with connection(served.url, handshake(token)) as (reader, _):
        assert b"429 Too Many Requests" in (answer := await rest_of(reader))
        assert b'"code":"too_many_frames"' in answer
    async with modest.stream() as stream:
        await stream.say({"type": "ping"})
        assert await stream.frame() == {"type": "pong"}


async def test_a_person_with_many_tokens_has_one_budget(served: Served, served_people: People) -> None:
    greedy = served_people.driver()
    for _ in range(2):
        async with raw_stream(greedy) as (reader, writer):
            await send_all(writer, FLOODS["messages"][: 21 * 300])
            await rest_of(reader)
    with pytest.raises(asyncio.IncompleteReadError) as refused:
        async with raw_stream(greedy):
            pass
    assert struct.pack(">H", 4429) + b"too_many_frames" in refused.value.partial


def test_a_penalty_ends_and_the_oldest_gives_way() -> None:
    box = penalties.PenaltyBox()
    box.put(b"a", 0.0)
    assert box.waits(b"a", penalties.PENALTY_S - 0.1)
    assert not box.waits(b"a", penalties.PENALTY_S)
    assert not box.waits(b"b", 0.0)
    for number in range(penalties.TOKENS_MAX + 1):
        box.put(b"%d" % number, 1.0)
    assert [box.waits(b"%d" % number, 1.0) for number in (0, 1, penalties.TOKENS_MAX)] == [False, True, True]


async def test_a_stream_that_sends_too_many_bytes_is_closed_with_4429(served: Served, served_people: People) -> None:
    async with served_people.driver().stream() as stream:
        for _ in range(4):
            await stream.say("x" * 500_000)
        assert await stream.close_code() == websocket_protocol.TOO_MUCH


async def test_pongs_that_nobody_reads_do_not_pile_up(served: Served, served_people: People) -> None:
    async with raw_stream(served_people.driver()) as (_, writer):
        [connection] = [
            one
            for one in served.server.server_state.connections
            if isinstance(one, websocket_protocol.BoundedWebSockets)
        ]
        connection.pause_writing()  # as the transport says when the peer does not read
        for _ in range(100):
            writer.write(frame(PING, b"x" * 125))
        await writer.drain()
        await asyncio.sleep(0.2)
        assert connection.transport.get_write_buffer_size() == 0
        connection.resume_writing()


async def test_a_steady_phone_is_never_cut_off(served: Served, served_people: People) -> None:
    async with served_people.driver().stream() as stream:
        for _ in range(int(SOCKET_LIMITS.frames_burst) // 2):
            await stream.say({"type": "ping"})
            assert await stream.frame() == {"type": "pong"}


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"\r\n"])
async def test_a_connection_whose_head_never_ends_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S_MAX", 0.3)
    async with connection(served.url, sent) as (reader, _):
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"head_too_slow"' in answer


async def test_a_head_that_trickles_after_an_answered_request_is_closed_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S_MAX", 0.3)
    async with connection(served.url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (reader, writer):
        await reader.readuntil(b'"ok"')
        writer.write(b"GET /healthz HTTP/1.1\r\nX-")
        assert b"HTTP/1.1 408 " in await rest_of(reader)


async def test_a_body_that_nobody_waits_for_has_its_time_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_S_MAX", 0.3)
    half = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"
    async with connection(served.url, half) as (reader, _):
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("head", "status"), [(b"X-Long: " + b"x" * 200_000, b"431"), (b"a: b\r\n" * 5_000, b"400")], ids=["long", "many"]
)
async def test_a_head_that_is_too_large_is_refused(served: Served, head: bytes, status: bytes) -> None:
    async with connection(served.url, b"GET /healthz HTTP/1.1\r\n" + head) as (reader, _):
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 " + status)


async def test_a_request_in_time_is_answered_however_long_the_connection_lasts(
    served: Served, served_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S_MAX", 1.0)
    for _ in range(4):
        assert (await served_people.http.get("/healthz")).status_code == 200
        await asyncio.sleep(0.5)


async def test_a_stream_outlives_the_time_that_a_head_has(
    served: Served, served_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S_MAX", 0.2)
    monkeypatch.setattr(http_protocol, "BODY_S_MAX", 0.2)
    async with served_people.driver().stream() as stream:
        for _ in range(4):
            await asyncio.sleep(0.2)
            await stream.say({"type": "ping"})
            assert await stream.frame() == {"type": "pong"}


async def test_every_answer_forbids_guessing_its_type(served: Served, served_people: People) -> None:
    answers = [
        await served_people.http.get("/healthz"),
        await served_people.http.get("/metrics"),
        await served_people.http.get("/no/such/route"),
        await served_people.driver().post("/v1/drivers/me/pings", {"pings": []}),
    ]
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}
    assert_problem(answers[2], 404, "no_such_route")
