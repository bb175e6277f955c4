"""uvicorn's WebSocket protocol with limits: a budget of frames and bytes, and time for clients that stop reading."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from prometheus_client import Counter
from starlette.websockets import WebSocket
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame
from websockets.server import ServerProtocol

from api.penalties import PenaltyBox, credential_of
from api.streams.budgets import SOCKET_LIMITS, FrameBudget

#: Wall seconds for the last bytes of a connection. uvicorn closes a transport once they are gone, which is never if
#: the peer has stopped reading: its socket and buffers would stay for as long as it likes.
LAST_BYTES_S = 15.0
#: The same when the server stops: well within its own patience.
LAST_BYTES_AT_SHUTDOWN_S = 1.0
#: Wall seconds for a peer that was cut off to read why.
LAST_WORD_S = 2.0
#: The stream sent more frames or bytes than it may; 429 is HTTP's "too many requests".
TOO_MUCH = 4429
TOO_MUCH_REASON = "too_many_frames: you sent more than a stream or person may; wait, then send less at once."

OVER_BUDGET = Counter("hexhail_api_streams_over_budget", "Streams closed for sending too much", ["what"])

_BUDGET = "frame_budget"


def budget_of(socket: WebSocket) -> FrameBudget | None:
    """Return the budget of the connection under a stream; None if another server than ours serves it."""
    return getattr(socket.state, _BUDGET, None)


class _CountedFrames(ServerProtocol):
    """Counts each frame as it is parsed, so that no more of a flood is parsed than the budget allows."""

    def __init__(self, budget: FrameBudget, loop: asyncio.AbstractEventLoop, max_size: int | None) -> None:
        super().__init__(extensions=[], max_size=max_size, logger=logging.getLogger("uvicorn.error"))
        self._budget = budget
        self._loop = loop

    def recv_frame(self, frame: Frame) -> None:
        """Take the frame, or fail the connection and drop what is left of the data received."""
        if self._budget.take_frames(1, self._loop.time()):
            super().recv_frame(frame)
            return
        OVER_BUDGET.labels("frames").inc()
        self.refuse()

    def refuse(self) -> None:
        """Say that it was too much, and parse nothing of this connection any more."""
        self.fail(TOO_MUCH, TOO_MUCH_REASON)
        self.parser_exc = ProtocolError("more frames than the budget allows")


class BoundedWebSockets(WebSocketsSansIOProtocol):
    """Hangs up on a peer that sends too much, or does not take the end of its stream in time.

    Without compression, whatever the configuration says: a budget of bytes would mean little.
    """

    #: Where tokens wait that sent too much.
    penalties = PenaltyBox()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        loop = _loop or asyncio.get_event_loop()
        self.budget = FrameBudget(SOCKET_LIMITS, loop.time())
        super().__init__(config, server_state, app_state | {_BUDGET: self.budget}, loop)
        self._frames = _CountedFrames(self.budget, loop, config.ws_max_size)
        self.conn = self._frames

    def data_received(self, data: bytes) -> None:
        """Count the bytes before anything is parsed."""
        if self.budget.take_bytes(len(data), self.loop.time()):
            super().data_received(data)
            return
        OVER_BUDGET.labels("bytes").inc()
        self._frames.refuse()
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Close the connection; a peer that sent frames before its handshake was answered gets no close frame."""
        if self.conn.close_sent is not None:
            if self.conn.close_sent.code == TOO_MUCH:
                self._cut_off(self.conn.close_sent)
            else:
                super().handle_parser_exception()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.close_sent = True
        self.transport.abort()

    def _cut_off(self, close: Close) -> None:
        """Say why, and read nothing more.

        To close at once would reset a connection with unread data, and the peer would lose the reason with it.
        """
        self._penalise()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.pause_reading()
        self.close_timer = self.loop.call_later(LAST_WORD_S, self.transport.abort)

    def handle_ping(self) -> None:
        """Answer, unless the peer does not read: pongs would pile up."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def send(self, message: ASGISendEvent) -> None:
        """Send; the application closes a stream with 4429 too, if its person has nothing left."""
        if message["type"] == "websocket.close" and message.get("code") == TOO_MUCH:
            self._penalise()
        await super().send(message)

    def _penalise(self) -> None:
        self.penalties.put(credential_of(self.scope["headers"]), self.loop.time())

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message; one with more behind it waits a turn, so that no stream keeps the others waiting."""
        message = await super().receive()
        if not self.queue.empty():
            await asyncio.sleep(0)
        return message

    async def run_asgi(self) -> None:
        """Serve the stream, then let the connection live no longer than its last bytes may take."""
        await super().run_asgi()
        self.loop.call_later(LAST_BYTES_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """A peer that is silent gets no longer than that either."""
        super().keepalive_timeout()
        self.loop.call_later(LAST_BYTES_S, self.transport.abort)

    def shutdown(self) -> None:
        """The server stops: tell the peer with 1012."""
        super().shutdown()
        self.loop.call_later(LAST_BYTES_AT_SHUTDOWN_S, self.transport.abort)
