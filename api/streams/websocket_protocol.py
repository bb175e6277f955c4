"""uvicorn's WebSocket protocol with a time limit for clients that stop reading."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: Wall seconds for the last bytes of a connection. uvicorn closes a transport once they are gone, which is never if
#: the peer has stopped reading: its socket and buffers would stay for as long as it likes.
LAST_BYTES_S = 15.0
#: The same when the server stops: well within its own patience.
LAST_BYTES_AT_SHUTDOWN_S = 1.0


class BoundedWebSockets(WebSocketsSansIOProtocol):
    """Hangs up on a peer that does not take the end of its stream in time."""

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
