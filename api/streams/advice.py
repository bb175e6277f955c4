"""Advice to idle drivers, sent to their streams when a new plan is made. Advice is not an event: the newest counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import structlog
from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.edges import AdviceReads
from api.streams import sockets
from pricing.model.advice import DriverAdvice

log = structlog.get_logger(__name__)

#: How often a process asks whether there is a new plan; plans are minutes apart.
LOOK_EVERY_S = 1.0


def frame_of(advice: DriverAdvice) -> dict[str, Any]:
    """The stream frame that carries advice to a driver."""
    return {
        "type": "advice",
        "lat_deg": advice.lat_deg,
        "lng_deg": advice.lng_deg,
        "drive_s": advice.drive_s,
        "given_s": advice.given_s,
        "expires_s": advice.expires_s,
    }


class AdviceFeed:
    """Knows the newest plan and the streams of the drivers who are connected to this process."""

    def __init__(self, reads: AdviceReads, now: Callable[[], float]) -> None:
        self._reads = reads
        self._now = now
        self._streams: dict[str, set[WebSocket]] = {}
        self._standing: Mapping[str, DriverAdvice] = {}
        self._planned_ms: int | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def standing(self) -> dict[str, DriverAdvice]:
        """The advice that has not expired, as of the last look."""
        now_s = self._now()
        return {driver_id: one for driver_id, one in self._standing.items() if one.expires_s > now_s}

    @contextmanager
    def listening(self, driver_id: str, socket: WebSocket) -> Iterator[None]:
        """Send the driver's advice to the socket: what stands at once, and what is new as it comes."""
        self._streams.setdefault(driver_id, set()).add(socket)
        one = self.standing().get(driver_id)
        if one is not None:
            self._start_sending(socket, one)
        try:
            yield
        finally:
            self._streams[driver_id].discard(socket)
            if not self._streams[driver_id]:
                del self._streams[driver_id]

    async def run(self) -> None:
        """Look for new plans until cancelled; while Redis is unavailable, drivers keep the advice they have."""
        while True:
            try:
                await self._look()
            except Exception as error:
                log.warning("advice_not_read", error=repr(error), retry_s=LOOK_EVERY_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        planned_ms = await self._reads.planned_ms()
        if planned_ms == self._planned_ms:
            return
        before, self._standing = self._standing, await self._reads.read()
        self._planned_ms = planned_ms
        for driver_id, one in self.standing().items():
            if before.get(driver_id) != one:
                for socket in self._streams.get(driver_id, ()):
                    self._start_sending(socket, one)

    def _start_sending(self, socket: WebSocket, advice: DriverAdvice) -> None:
        """In a task of its own: a phone that does not read holds nobody else up."""
        task = asyncio.create_task(_send(socket, advice))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def _send(socket: WebSocket, advice: DriverAdvice) -> None:
    with suppress(WebSocketDisconnect):
        await sockets.send_json(socket, frame_of(advice))


async def _feed_of(connection: HTTPConnection) -> AdviceFeed:
    feed: AdviceFeed = connection.app.state.advice
    return feed


AdviceFeedDep = Annotated[AdviceFeed, Depends(_feed_of)]
