"""Prometheus metrics of HTTP requests, by route; and the id by which a request is found in the logs."""

from __future__ import annotations

import re
import time

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("hexhail_api_requests", "HTTP requests", ["method", "route", "status"])
SECONDS = Histogram(
    "hexhail_api_request_seconds",
    "Seconds until the response starts",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)


class RequestMetrics:
    """ASGI middleware that measures requests, labelled by the route's template: ids must not become time series."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; count it when its response starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unmatched")
                REQUESTS.labels(scope["method"], route, message["status"]).inc()
                SECONDS.labels(scope["method"], route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)


#: What an id is made of that a gateway gives a request: anything else would be a way to write into our logs.
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class RequestIds:
    """ASGI middleware: what is logged of a request or stream has the `request_id` that the gateway gave it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, in a context that has its id."""
        found = Headers(scope=scope).get("x-request-id", "") if scope["type"] in ("http", "websocket") else ""
        if not _REQUEST_ID.fullmatch(found):
            await self._app(scope, receive, send)
            return
        with structlog.contextvars.bound_contextvars(request_id=found):
            await self._app(scope, receive, send)
