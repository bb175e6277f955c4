"""A whole installation as its users see it: riders and drivers with tokens, requests and streams, nothing else."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, Tokens
from hexhail.runtime import embedded
from kernel.keyring import KeyRing
from tests.patience import PATIENCE_S

#: City seconds in a wall second: an offer lasts three of them, a round comes each 0.4.
SPEED = 5.0

#: Crossings of Manhattan. The first two are near each other, the third is a ride away.
TIMES_SQUARE = {"lat_deg": 40.7580, "lng_deg": -73.9855}
BRYANT_PARK = {"lat_deg": 40.7536, "lng_deg": -73.9832}
UNION_SQUARE = {"lat_deg": 40.7359, "lng_deg": -73.9911}
BERLIN = {"lat_deg": 52.52, "lng_deg": 13.405}
TRIP = {"pickup": TIMES_SQUARE, "dropoff": UNION_SQUARE, "seats": 1}

TABLES = ("rides", "offers", "shifts", "idempotency", "outbox_rows")


@dataclass
class Installation:
    """Where it is and how to look behind it."""

    url: str
    env: dict[str, str]
    #: By what listens there: `relay_metrics`.
    ports: dict[str, int] = field(default_factory=dict, kw_only=True)

    @property
    def tokens(self) -> Tokens:
        return Tokens(TokenKeys.of_secrets(KeyRing(json.loads(self.env["HEXHAIL_TOKEN_SECRETS"]))))

    @property
    def redis_port(self) -> int:
        return int(self.env["HEXHAIL_REDIS_URL"].rpartition(":")[2].split("/")[0])

    @property
    def broker_port(self) -> int:
        return int(self.env["HEXHAIL_BROKER_URL"].rpartition(":")[2])

    def now_s(self) -> float:
        speed, city_s, wall_s = (float(self.env[f"HEXHAIL_CLOCK_{name}"]) for name in ("SPEED", "CITY_S", "WALL_S"))
        return city_s + (time.time() - wall_s) * speed

    def in_sql(self) -> dict[str, list[Any]]:
        """Everything that riders and drivers can change, as it is committed."""
        path = self.env["HEXHAIL_DATABASE_URL"].removeprefix("sqlite:///")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            rows = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}
        connection.close()
        return rows


class Stream:
    """A WebSocket of a rider or driver; keeps all it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []

    async def frame(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.heard.append(frame)
        return frame

    async def event(self, name: str, **facts: Any) -> dict[str, Any]:
        """The next event of that name with these facts; what comes before it is kept in `heard`."""
        while True:
            frame = await self.frame()
            if frame.get("event") == name and facts.items() <= frame.items():
                return frame

    async def say(self, frame: dict[str, Any] | str | bytes) -> None:
        await self.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def close_code(self) -> int:
        """Wait for the server to hang up."""
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code

    @property
    def events(self) -> list[str]:
        return [frame["event"] for frame in self.heard if frame["type"] == "event"]


@dataclass
class Person:
    """Somebody with a token."""

    installation: Installation
    role: Role
    id: str
    http: httpx.AsyncClient
    rides: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.installation.tokens.issue(self.role, self.id)}"}

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(path, headers=self.headers, **more)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self.headers | headers)

    @asynccontextmanager
    async def stream(self, last_seen: int = 0) -> AsyncIterator[Stream]:
        """This person's stream, ready."""
        url = self.installation.url.replace("http", "ws") + f"/v1/{self.role}s/me/stream?last_seen={last_seen}"
        # Without a limit to what it holds: a client that does not read would not hear the end of its own goodbye.
        async with connect(url, additional_headers=self.headers, max_queue=None, proxy=None) as socket:
            stream = Stream(socket)
            assert await stream.frame() == {"type": "ready", "last_seen": last_seen}
            yield stream


class Rider(Person):
    """Wants to go."""

    async def quote(self, **changes: Any) -> str:
        answer = await self.post("/v1/quotes", TRIP | changes)
        assert answer.status_code == 201, answer.text
        quote_id: str = answer.json()["quote_id"]
        return quote_id

    async def request_ride(self) -> str:
        """A new ride of the usual trip; returns its id."""
        answer = await self.post("/v1/rides", {"quote_id": await self.quote()}, **{"Idempotency-Key": uuid.uuid4().hex})
        assert answer.status_code == 201, answer.text
        self.rides.append(answer.json()["ride_id"])
        return self.rides[-1]

    async def ride(self, ride_id: str) -> dict[str, Any]:
        answer = await self.get(f"/v1/rides/{ride_id}")
        assert answer.status_code == 200, answer.text
        ride: dict[str, Any] = answer.json()
        return ride

    async def go_home(self) -> None:
        for ride_id in self.rides:
            await self.post(f"/v1/rides/{ride_id}/cancel")


class Driver(Person):
    """Drives."""

    async def report_place(self, place: dict[str, float] = BRYANT_PARK) -> None:
        ping = {"t_s": self.installation.now_s(), **place}
        answer = await self.post("/v1/drivers/me/pings", {"pings": [ping]})
        assert answer.status_code == 202, answer.text

    @asynccontextmanager
    async def on_shift(self, place: dict[str, float] = BRYANT_PARK) -> AsyncIterator[Stream]:
        """On shift, with a stream, at a place that is said again and again."""
        async with self.stream() as stream:
            pinging = asyncio.create_task(self._ping(stream, place))
            answer = await self.post("/v1/drivers/me/status", {"status": "online"})
            assert answer.status_code == 200, answer.text
            try:
                yield stream
            finally:
                pinging.cancel()
                with suppress(asyncio.CancelledError):
                    await pinging
                await self._go_home()

    async def accept(self, offer: dict[str, Any]) -> httpx.Response:
        answer = await self.post(f"/v1/offers/{offer['offer_id']}/accept")
        if answer.status_code == 200:
            self.rides.append(offer["ride_id"])
        return answer

    async def take(self, stream: Stream) -> str:
        """Wait for an offer and accept it; returns the ride's id."""
        offer = await stream.event("OfferSent")
        answer = await self.accept(offer)
        assert answer.status_code == 200, answer.text
        ride_id: str = offer["ride_id"]
        return ride_id

    async def step(self, ride_id: str, *steps: str) -> dict[str, Any]:
        for step in steps:
            answer = await self.post(f"/v1/rides/{ride_id}/{step}")
            assert answer.status_code == 200, answer.text
        ride: dict[str, Any] = answer.json()
        return ride

    async def _ping(self, stream: Stream, place: dict[str, float]) -> None:
        while True:
            await stream.say({"type": "pings", "pings": [{"t_s": self.installation.now_s(), **place}]})
            await asyncio.sleep(2.0)

    async def _go_home(self) -> None:
        for ride_id in self.rides:
            for step in ("arrived", "picked-up", "dropped-off"):
                await self.post(f"/v1/rides/{ride_id}/{step}")
        await self.post("/v1/drivers/me/status", {"status": "offline"})


@dataclass
class People:
    """Makes people with ids that nobody had before, and sends the riders home."""

    installation: Installation
    http: httpx.AsyncClient
    riders: list[Rider] = field(default_factory=list)

    def rider(self) -> Rider:
        self.riders.append(Rider(self.installation, Role.RIDER, f"rider-{uuid.uuid4().hex[:8]}", self.http))
        return self.riders[-1]

    def driver(self) -> Driver:
        return Driver(self.installation, Role.DRIVER, f"driver-{uuid.uuid4().hex[:8]}", self.http)

    def operator(self) -> Person:
        return Person(self.installation, Role.OPERATOR, "operator", self.http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for rider in self.riders:
            await rider.go_home()


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Say that the answer is this problem, complete; returns its body."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] == f"urn:hexhail:problem:{code}"
    assert all(isinstance(body[name], str) and body[name] for name in ("title", "detail", "hint")), body
    return body


@dataclass
class Valkey:
    """A server that can be killed and started again on the same port, without its data."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = embedded.valkey_command(self.port, self.folder)
        command[command.index("--appendonly") + 1] = "no"
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + PATIENCE_S
        while embedded.is_free(self.port):
            assert time.monotonic() < deadline_s, "Valkey does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)
