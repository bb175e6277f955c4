"""How an API process stops without anybody noticing: unready first, then without streams, then not at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.streams.sockets import OpenStreams
from backing.readiness import Readiness, Stage

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """How long an API takes to stop, wall seconds."""

    #: Serving on while `/readyz` says 503: longer than a load balancer takes to notice.
    serve_on_s: float
    #: The ends of streams are spread over this.
    spread_s: float

    @property
    def total_s(self) -> float:
        """From the signal to the end of the last stream."""
        return self.serve_on_s + self.spread_s


async def drain(app: FastAPI, times: DrainTimes) -> None:
    """Return when the process may stop listening: nobody sends it new requests and no stream is open."""
    readiness: Readiness = app.state.readiness
    readiness.drain()
    log.info("draining", serve_on_s=times.serve_on_s, spread_s=times.spread_s)
    await asyncio.sleep(times.serve_on_s)
    streams: OpenStreams = app.state.open_streams
    await streams.close(times.spread_s)
    log.info("drained")


class LastAnswers:
    """ASGI middleware: an answer of a draining process ends its connection, so that the next request goes elsewhere."""

    def __init__(self, app: ASGIApp, readiness: Readiness) -> None:
        self._app = app
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; while draining, close its connection after the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._readiness.stage is Stage.DRAINING:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, last)
