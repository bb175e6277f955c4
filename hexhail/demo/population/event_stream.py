"""A person's WebSocket stream: events in order, exactly once, across reconnections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from backing.retry import Backoff
from hexhail.demo.population.figures import PopulationFigures

log = structlog.get_logger(__name__)

Event = dict[str, Any]
# A connection over which nothing comes back for this long is dead; wall seconds.
KEEP_ALIVE_S = 30.0
CLOSE_TIMEOUT_S = 1.0
# A supervisor restarts an API within seconds; a client that waits longer than this would be the slower part.
RECONNECT_S = 0.2
RECONNECT_S_MAX = 5.0


class EventStream:
    """Listens until cancelled; reconnects with a jittered backoff and resumes after the last event seen."""

    def __init__(
        self,
        url: str,
        token_of: Callable[[], str],
        on_ready: Callable[[], None],
        on_event: Callable[[Event], None],
        on_advice: Callable[[Event], None] | None,
        figures: PopulationFigures,
        jitter: random.Random,
    ) -> None:
        self._url = url
        self._token_of = token_of
        self._on_ready = on_ready
        self._on_event = on_event
        self._on_advice = on_advice
        self._figures = figures
        self._backoff = Backoff(RECONNECT_S, RECONNECT_S_MAX, jitter)
        self._socket: ClientConnection | None = None
        self._last_seen = 0

    @property
    def is_connected(self) -> bool:
        """Whether the WebSocket is open."""
        return self._socket is not None

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        while True:
            try:
                await self._listen()
            except (OSError, WebSocketException, TimeoutError) as error:
                self._figures.stream_errors[type(error).__name__] += 1
            self._figures.reconnects += 1
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, frame: bytes) -> bool:
        """Send a text frame, unless there is no connection or it does not keep up; say whether it was sent."""
        socket = self._socket
        if socket is None or socket.transport.get_write_buffer_size() > 0:
            return False
        try:
            await socket.send(frame, text=True)
        except WebSocketException:
            return False
        return True

    async def _listen(self) -> None:
        async with connect(
            f"{self._url}?last_seen={self._last_seen}",
            additional_headers={"Authorization": f"Bearer {self._token_of()}"},
            # Frames of a hundred bytes cost more to compress than to send.
            compression=None,
            proxy=None,
            ping_interval=KEEP_ALIVE_S,
            ping_timeout=KEEP_ALIVE_S,
            close_timeout=CLOSE_TIMEOUT_S,
        ) as socket:
            try:
                async for message in socket:
                    self._receive(socket, message)
            finally:
                self._socket = None

    def _receive(self, socket: ClientConnection, message: str | bytes) -> None:
        try:
            frame = msgspec.json.decode(message)
            kind = frame["type"]
        except (msgspec.DecodeError, TypeError, KeyError):
            log.warning("stream.frame_not_understood", url=self._url, frame=str(message)[:200])
            return
        if kind == "ready":
            self._socket = socket
            self._backoff.reset()
            self._on_ready()
        elif kind == "event" and frame.get("seq", 0) > self._last_seen:
            self._last_seen = frame["seq"]
            self._on_event(frame)
        elif kind == "reset":
            # What was told no longer holds, or some of it was lost: begin anew, and see what the service says now.
            self._last_seen = frame["last_seen"]
            self._figures.stream_resets[str(frame.get("reason", ""))] += 1
            self._on_ready()
        elif kind == "advice" and self._on_advice is not None:
            self._on_advice(frame)
        elif kind == "error":
            self._refused(str(frame.get("code", "")), frame)

    def _refused(self, code: str, frame: Event) -> None:
        # Log one line per code: hundreds of people may get the same one each second.
        if code not in self._figures.frame_errors:
            log.warning("stream.frame_refused", url=self._url, code=code, detail=frame.get("detail"))
        self._figures.frame_errors[code] += 1
