"""Riders and drivers of the dispatch benchmark, who know nothing but the public API.

Their connections are raw protocols: with a client library of comfort this side took more of the machine than the
service that is measured.
"""

import asyncio
import json
import struct
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from api.auth.tokens import Role, Tokens
from benchmarks.api.phones import handshake

PING_EVERY_S = 4.0
FIRST_PING_S_MAX = 1.0
CONNECTIONS_MAX = 64
ANSWER_S_MAX = 30.0
#: Wall seconds before a driver whose socket was lost connects again.
RECONNECT_S = 0.5


class HttpConnection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # Not asserted: uvloop's transports are of no such class.
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Send a request; the future gets status and body, or ConnectionError."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Answer when head and body are whole; the service always says how long a body is."""
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) >= length:
            self._buffer = rest[length:]
            if self._answer is not None and not self._answer.done():
                self._answer.set_result((int(head[9:12]), rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self.is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("hung up"))


class HttpClient:
    """An HTTP client with a bounded pool of connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[HttpConnection] = deque()
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)

    async def post(self, path: str, token: str, body: Any = None, headers: str = "") -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError or TimeoutError."""
        content = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{kind}{headers}"
        async with self._free, asyncio.timeout(ANSWER_S_MAX):
            line = await self._line()
            answer = await line.ask(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            self._idle.append(line)
            return answer

    async def _line(self) -> HttpConnection:
        while self._idle:
            line = self._idle.pop()
            if not line.is_lost:  # the server hangs up on who is silent for long
                return line
        _, line = await asyncio.get_running_loop().create_connection(HttpConnection, "127.0.0.1", self._port)
        return line

    def close(self) -> None:
        """Hang up."""
        for line in self._idle:
            line.transport.close()


class Stream(asyncio.Protocol):
    """A WebSocket client that passes every text to `hear`; covers RFC 6455 for unfragmented frames up to 64 KiB."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._buffer = b""
        self._is_open = False
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, payload: bytes, opcode: int = 0x1) -> None:
        """Send a frame of less than 64 KiB; the mask is 0, which leaves the payload as it is."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
        self.transport.write(bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        """Take frames apart."""
        self._buffer += data
        if not self._is_open:
            _, mark, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._is_open = bool(mark)
        while self._is_open and (frame := self._next_frame()) is not None:
            opcode, payload = frame
            if opcode == 0x9:
                self.send(payload, 0xA)
            elif b'"type":"ready"' in payload:
                self.ready.set_result(None)
            elif opcode == 0x1:
                self._hear(payload)

    def _next_frame(self) -> tuple[int, bytes] | None:
        frame = self._buffer
        begin = 4 if frame[1:2] == b"\x7e" else 2
        if len(frame) < begin:
            return None
        end = begin + (frame[1] if begin == 2 else int.from_bytes(frame[2:4]))
        if len(frame) < end:
            return None
        self._buffer = frame[end:]
        return frame[0] & 0xF, frame[begin:end]

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the driver."""
        for future in (self.ready, self.lost):
            if not future.done():
                future.set_result(None)


@dataclass
class Load:
    """All riders and drivers of the load, and their measurements."""

    port: int
    tokens: Tokens
    city_s: Callable[[], float]
    places: Any
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    #: City time by ride: sent by the rider, and on the driver's socket for the first time.
    sent_s: dict[str, float] = field(default_factory=dict)
    received_s: dict[str, float] = field(default_factory=dict)
    rider_of: dict[str, str] = field(default_factory=dict)
    #: What drivers do with an offer; given (load, driver_id, event).
    on_offer: Callable[["Load", str, dict[str, Any]], Any] = lambda *_: None
    #: Rides with which something has gone wrong, and drivers who have vanished.
    wronged: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    errors: int = 0
    reconnects: int = 0
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rest = HttpClient(self.port)
        self._token_of: dict[tuple[Role, str], str] = {}

    def token(self, role: Role, who: str) -> str:
        """The person's token, signed once."""
        key = role, who
        if key not in self._token_of:
            self._token_of[key] = self.tokens.issue(role, who)
        return self._token_of[key]

    async def post(self, role: Role, who: str, path: str, body: Any = None, headers: str = "") -> dict[str, Any] | None:
        """The answer's body, None if it was refused."""
        try:
            status, answer = await self.rest.post(path, self.token(role, who), body, headers)
        except (OSError, TimeoutError):
            self.errors += 1
            return None
        self.errors += status >= 500
        return json.loads(answer) if status < 300 else None

    def spawn(self, work: Any) -> None:
        """Let something go on beside."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def place(self) -> dict[str, float]:
        """Somewhere in the city."""
        lat_deg, lng_deg = self.places
        at = int(self.rng.integers(len(lat_deg)))
        return {"lat_deg": float(lat_deg[at]), "lng_deg": float(lng_deg[at])}

    async def drive(self, driver_id: str, ready: asyncio.Semaphore) -> None:
        """On shift at one place, pinging, hearing offers, back after each loss of the socket, until cancelled."""
        place, last_seen = self.place(), 0
        first_ping_s = float(self.rng.uniform(0, FIRST_PING_S_MAX))

        def hear(text: bytes) -> None:
            nonlocal last_seen
            event = json.loads(text)
            last_seen = 0 if event.get("type") == "reset" else event.get("seq", last_seen)
            if event.get("event") == "OfferSent":
                self.received_s.setdefault(event["ride_id"], self.city_s())
                self.spawn(self.on_offer(self, driver_id, event))

        while True:
            try:
                stream = await self._connect(driver_id, lambda: last_seen, hear)
                await self.post(Role.DRIVER, driver_id, "/v1/drivers/me/status", {"status": "online", "seats": 4})
                ready.release()
                await asyncio.sleep(first_ping_s)
                await self._ping_until_lost(driver_id, stream, place)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
            self.reconnects += 1

    async def _connect(self, driver_id: str, last_seen: Callable[[], int], hear: Callable[[bytes], None]) -> Stream:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: Stream(hear), "127.0.0.1", self.port)
        path = f"/v1/drivers/me/stream?last_seen={last_seen()}"
        stream.transport.write(handshake(path, self.token(Role.DRIVER, driver_id)))
        await stream.ready
        return stream

    async def _ping_until_lost(self, driver_id: str, stream: Stream, place: dict[str, float]) -> None:
        try:
            while not stream.lost.done():
                if driver_id not in self.mute:
                    ping = {"t_s": self.city_s(), **place}
                    stream.send(json.dumps({"type": "pings", "pings": [ping]}).encode())
                await asyncio.wait([stream.lost], timeout=PING_EVERY_S)
        finally:
            stream.transport.close()

    async def quotes(self, count: int) -> list[tuple[str, str]]:
        """(rider, quote) of so many riders, asked for a few at a time."""
        gate, found = asyncio.Semaphore(8), []

        async def ask() -> None:
            async with gate:
                rider = f"rider-{uuid.uuid4().hex[:10]}"
                trip = {"pickup": self.place(), "dropoff": self.place()}
                quote = await self.post(Role.RIDER, rider, "/v1/quotes", trip)
                if quote is not None:
                    found.append((rider, quote["quote_id"]))

        await asyncio.gather(*(ask() for _ in range(count)))
        return found

    async def request(self, rider: str, quote_id: str) -> None:
        """Ask for a ride and note when."""
        sent_s = self.city_s()
        key = f"Idempotency-Key: {uuid.uuid4().hex}\r\n"
        ride = await self.post(Role.RIDER, rider, "/v1/rides", {"quote_id": quote_id}, key)
        if ride is not None:
            self.sent_s[ride["ride_id"]], self.rider_of[ride["ride_id"]] = sent_s, rider

    async def at_rate(self, rate: int, asked: list[tuple[str, str]]) -> None:
        """Request the rides of these (rider, quote) at even distances, whatever becomes of them."""
        began = time.monotonic()
        for number, (rider, quote_id) in enumerate(asked):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.spawn(self.request(rider, quote_id))


async def rider_leaves(load: Load, driver_id: str, event: dict[str, Any]) -> None:
    """The rider cancels as soon as somebody is asked: the driver is free again."""
    ride_id = event["ride_id"]
    while ride_id not in load.rider_of:  # the offer may be quicker than the answer to the request
        await asyncio.sleep(0.05)
    await load.post(Role.RIDER, load.rider_of[ride_id], f"/v1/rides/{ride_id}/cancel")


async def things_go_wrong(load: Load, driver_id: str, event: dict[str, Any]) -> None:
    """The first driver declines, keeps silent, gives up or vanishes; at the second offer the rider leaves."""
    ride_id, offer = event["ride_id"], f"/v1/offers/{event['offer_id']}"
    if ride_id in load.wronged:
        await rider_leaves(load, driver_id, event)
        return
    load.wronged.add(ride_id)
    fate = load.rng.choice(["decline", "ignore", "give back", "vanish"], p=[0.5, 0.1, 0.35, 0.05])
    if fate == "decline":
        await load.post(Role.DRIVER, driver_id, f"{offer}/decline")
    elif fate == "give back":
        await load.post(Role.DRIVER, driver_id, f"{offer}/accept")
        await load.post(Role.DRIVER, driver_id, f"/v1/rides/{ride_id}/cancel")
    elif fate == "vanish":
        load.mute.add(driver_id)
        await load.post(Role.DRIVER, driver_id, f"{offer}/accept")
