"""A person's WebSocket for greenlets: events in order, each once, also over a new connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
import websocket
from locust.env import Environment

from benchmarks.load.people.process import tell_locust

Event = dict[str, Any]
#: Wall seconds for the handshake, and for a frame to be sent.
ANSWER_S_MAX = 30.0
#: Wall seconds before somebody whose stream was lost connects again.
RECONNECT_S = 0.5
#: What the socket takes for "do not wait"; 0 would mean another kind of socket.
AT_ONCE_S = 0.001
_LOST = (OSError, websocket.WebSocketException)


class Stream:
    """Connects at once and again after each loss; losses and refusals are failures in locust's figures."""

    def __init__(self, url: str, token: str, environment: Environment) -> None:
        self._url = url
        self._header = [f"Authorization: Bearer {token}"]
        self._environment = environment
        self._last_seen = 0
        self._socket: websocket.WebSocket | None = None
        self.is_closed = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment."""
        return self._socket is not None

    def connect(self) -> None:
        """Return with a stream that is ready, or once it is closed."""
        while self._socket is None and not self.is_closed:
            began_s = time.perf_counter()
            try:
                self._socket = self._open()
            except _LOST as error:
                self._tell(began_s, error)
                gevent.sleep(RECONNECT_S)
            else:
                self._tell(began_s, None)

    def _open(self) -> websocket.WebSocket:
        opened = websocket.create_connection(
            f"{self._url}?last_seen={self._last_seen}",
            timeout=ANSWER_S_MAX,
            header=self._header,
            http_no_proxy=["*"],
            enable_multithread=False,
            skip_utf8_validation=True,
        )
        opened.recv()  # it says that it is ready
        return opened

    def hear(self, until_s: float, on_frame: Callable[[Event], None]) -> None:
        """Pass on the next frame, if one comes before a wall time; a lost stream is connected again."""
        self.connect()
        if self._socket is None:
            return
        began_s = time.perf_counter()
        self._socket.settimeout(max(until_s - time.time(), AT_ONCE_S))
        try:
            text = self._socket.recv()
        except websocket.WebSocketTimeoutException:
            return
        except _LOST as error:
            self._lose(began_s, error)
            return
        if not text:  # the server said goodbye
            self._lose(began_s, websocket.WebSocketConnectionClosedException("closed by the server"))
            return
        frame = msgspec.json.decode(text)
        if frame["type"] == "reset":
            self._last_seen = frame["last_seen"]
        elif frame["type"] != "event":
            on_frame(frame)
        elif frame["seq"] > self._last_seen:
            self._last_seen = frame["seq"]
            on_frame(frame)

    def send(self, text: bytes) -> bool:
        """Send a text frame; say whether there was a connection for it."""
        if self._socket is None:
            return False
        began_s = time.perf_counter()
        self._socket.settimeout(ANSWER_S_MAX)
        try:
            self._socket.send(text)
        except _LOST as error:
            self._lose(began_s, error)
            return False
        return True

    def close(self) -> None:
        """Hang up for good."""
        self.is_closed = True
        self._hang_up()

    def _lose(self, began_s: float, error: Exception) -> None:
        self._hang_up()
        if not self.is_closed:
            self._tell(began_s, error)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.shutdown()  # type: ignore[no-untyped-call]
            self._socket = None

    def _tell(self, began_s: float, error: Exception | None) -> None:
        took_ms = 1e3 * (time.perf_counter() - began_s)
        tell_locust(self._environment, "WS", self._url.partition("/v1")[2], took_ms, error)
