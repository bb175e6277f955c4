"""uvicorn's HTTP protocol with limits on a request's head and on the time that a request may take to arrive."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.penalties import HELD_MAX, PENALTY_S, PenaltyBox, credential_of

#: Wall seconds from the connection, or from a request's first byte, to the end of its head. A phone on a poor line
#: sends its kilobyte within this.
HEAD_S_MAX = 10.0
#: Wall seconds from the end of the head to the end of the body, read or not: a little more than `BodyLimits` gives, so
#: that a slow body is still told why.
BODY_S_MAX = 25.0
#: Deadlines are later by up to this share: a thousand connections that came at once are not closed at once.
SPREAD_SHARE = 0.1
#: Bytes of a head: eight times the longest token that is read.
HEAD_BYTES_MAX = 64 * 1024
#: Browsers send about twenty, proxies add a few.
HEADERS_MAX = 100

HANGUPS = Counter("hexhail_api_hangups", "Connections closed because a request did not arrive", ["why"])


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request does not arrive in time, or whose head is too large."""

    #: Shared with the WebSockets of the server; one of its own waits for nobody.
    penalties = PenaltyBox()
    _deadline: asyncio.TimerHandle | None = None
    _is_held = False
    #: The transport is a WebSocket's from then on.
    _is_upgraded = False
    _head_bytes = 0
    _is_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn types it
        """Give the first request its time."""
        super().connection_made(transport)
        self._set_deadline(HEAD_S_MAX, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._clear_deadline()
        if self._is_held:
            self.penalties.held -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take it, as long as a head does not grow without end."""
        super().data_received(data)
        if self._is_upgraded or self.transport.is_closing():
            return
        if self._deadline is None and self._is_idle and self.timeout_keep_alive_task is None:
            self._set_deadline(HEAD_S_MAX, self._head_is_late)  # blank lines before a request begin no message
        if not self._is_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(431, "head_too_large", f"The head of a request has at most {HEAD_BYTES_MAX} bytes.")

    def on_message_begin(self) -> None:
        """The first byte of a request: its head has its time from now on."""
        super().on_message_begin()
        self._is_head, self._head_bytes = True, 0
        self._set_deadline(HEAD_S_MAX, self._head_is_late)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Raises ValueError for one too many, which ends the connection with 400."""
        if len(self.headers) >= HEADERS_MAX:
            raise ValueError(f"more than {HEADERS_MAX} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: now the body has its time."""
        self._is_head = False
        self._set_deadline(BODY_S_MAX, self._body_is_late)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is there."""
        self._clear_deadline()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """From here on the WebSocket's limits count; a token that was just cut off has to wait for its refusal."""
        self._clear_deadline()
        self._is_upgraded = True
        if not self.penalties.waits(credential_of(self.headers), self.loop.time()):
            super().handle_websocket_upgrade()
        elif self.penalties.held < HELD_MAX:
            self._is_held = True
            self.penalties.held += 1
            self.transport.pause_reading()
            self._set_deadline(PENALTY_S, self._refuse_flood)
        else:
            self._refuse_flood()

    def _refuse_flood(self) -> None:
        self._refuse(429, "too_many_frames", "A stream of this token was just closed for sending too much.")

    def _set_deadline(self, seconds: float, late: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds * random.uniform(1.0, 1.0 + SPREAD_SHARE), late)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _head_is_late(self) -> None:
        if self._is_idle:
            self._refuse(408, "head_too_slow", f"The head of the request was not there within {HEAD_S_MAX:g} s.")
        else:  # a request before this one is still being answered: its answer ends the connection
            self.cycle.keep_alive = False

    def _body_is_late(self) -> None:
        HANGUPS.labels("body_too_slow").inc()
        self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Close, with a problem as the answer where no other answer is being written."""
        HANGUPS.labels(code).inc()
        if not self._is_idle:
            self.transport.close()
            return
        body = f'{{"type":"urn:hexhail:problem:{code}","status":{status},"code":"{code}","detail":"{detail}"}}'
        head = f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body.encode())
        self.transport.close()
