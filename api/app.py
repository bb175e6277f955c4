"""The API as one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api import problems
from api.access import RateLimitHeaders
from api.edges import Edges
from api.failures import Failures
from api.keyed_answers import KeyedAnswers, declare
from api.limits import BodyLimits, SafeHeaders
from api.pings import RawPings
from api.port_rules import PortFilter, PortRules
from api.routes import driver, health, nearby, ride, rider, sessions, surge
from api.routes.operator import abuse, city, drivers, matching, prices, rides, tokens, traffic
from api.streams import operators, people
from api.streams.advice import AdviceFeed
from api.streams.budgets import PersonBudgets
from api.streams.drain import LastAnswers
from api.streams.live import LiveFeed
from api.streams.sockets import OpenStreams, end
from api.telemetry import RequestIds, RequestMetrics
from backing.readiness import Readiness

_DESCRIPTION = """Riders ask for quotes and rides, drivers answer offers and say where they are.

**Streams.** The WebSockets `/v1/riders/me/stream?last_seen=N` and `/v1/drivers/me/stream?last_seen=N` begin with
`{"type": "ready", "last_seen": N}` and push `{"type": "event", "seq": …, "event": "OfferSent", …}` in order, each once.
After a reconnect name the last `seq` you have and get what came after it. Where that cannot be, because the position is
ahead of the log, no longer kept, or of a log that was restored to an older state, also on an open stream, a frame
`{"type": "reset", "reason": "ahead_of_log" | "not_kept" | "log_restored", "last_seen": 0, …}` says so: forget the `seq`
you have and read your rides anew; what is kept of your events follows, from the oldest.
Either side may send `{"type": "ping"}` and gets `{"type": "pong"}`; drivers send
`{"type": "pings", "pings": […]}` with the pings of `POST /v1/drivers/me/pings`.
A driver whose position does not count, and who is therefore asked for no ride, is told by
`{"type": "position", "counts": false, "reason": …, "since_s": …, "detail": …, "hint": …}`: no ping came (`stale`), or
the last ones are not believed (`impossible_jump`, `repeated_coordinates`, `too_coarse`, `off_region`, …); and by
`{"type": "position", "counts": true}` when it counts again.
Frames of text are JSON, frames of bytes the same as MessagePack; answers are text.
A frame that is refused changes nothing and is answered with `{"type": "error", "code": …, "detail": …, "hint": …}`.
The token comes in the `Authorization` header or, from browsers, as a subprotocol: `["hexhail.v1", "bearer.<token>"]`.

| closed with | because | then |
|---|---|---|
| 1009 | a frame had more than 512 KiB | send less at once |
| 1012 | the server is stopping | connect again |
| 1013 | you did not read, or a part of the service is away | connect again after a moment |
| 4401 | the token was refused, has expired or was revoked, also later on; the reason says which | get another token |
| 4403 | the token has another role | use the token of the role |
| 4409 | you opened more streams than one person may have, and this was the oldest | use the newer one |
| 4422 | `last_seen` is no whole number | name the last `seq` you have, or nothing |
| 4429 | you sent more frames or bytes than you may | wait 5 s, connect again, send less at once |

A stream may send 200 frames and 1 MiB at once, and 20 frames and 64 KiB a second steadily; a person twice that over
all streams, and each stream opened counts as ten frames. Every WebSocket frame counts: messages, fragments, pings and
pongs.

**Again.** Send an `Idempotency-Key` with a request that you may have to repeat: the same key and body get the same
answer again, with `Idempotency-Replayed: true`. Without one it is safe too to repeat an acceptance, a refusal, a step
of a ride or a cancellation of your own: you get the ride as it is.

**Errors** are `application/problem+json` with a stable `code` and a `hint`; after a 503 wait `Retry-After` seconds.
**Times** are seconds on the city's clock.
"""

_NO_MAP = """<!doctype html><title>hexhail</title><p>The live map has not been built: it needs Node.
Run <code>make web</code> and start again. The API is there all the same.</p>"""

_MAP_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; worker-src 'self' blob:; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)

#: Who calls the operations, as headings of the documentation; an operation's id begins with its first tag.
_AUDIENCES = {
    "riders": "Quotes, requests and ratings, with the token of a rider.",
    "drivers": "Shifts, pings, offers and the steps of a ride, with the token of a driver.",
    "everyone": "Signing in, and what riders, drivers and operators may all read.",
    "operators": "The city, its prices and why drivers were asked, with the token of an operator.",
    "health": "For monitoring; without a token.",
}
_ROUTES = (
    rider,
    nearby,
    ride,
    driver,
    sessions,
    surge,
    city,
    prices,
    matching,
    rides,
    traffic,
    drivers,
    tokens,
    abuse,
    health,
    people,
    operators,
)
# The last one added is the outermost.
_MIDDLEWARE = (KeyedAnswers, RawPings, BodyLimits, Failures, RateLimitHeaders, RequestMetrics, RequestIds)

OpenEdges = Callable[[], AbstractAsyncContextManager[Edges]]


def build_app(
    open_edges: OpenEdges,
    port_rules: PortRules = PortRules(),  # noqa: B008 - it cannot change
    readiness: Readiness | None = None,
) -> FastAPI:
    """The application; `open_edges` connects everything when it starts and closes it when it stops.

    ``readiness`` is what `/readyz` says; the app tells it when it has started.
    """
    readiness = readiness or Readiness()
    app: FastAPI = FastAPIOffline(
        title="hexhail",
        description=_DESCRIPTION,
        version=version("hexhail"),
        lifespan=lambda app: _lifespan(app, open_edges),
        responses=problems.RESPONSES,
        openapi_tags=[{"name": name, "description": text} for name, text in _AUDIENCES.items()],
        generate_unique_id_function=_operation_id,
        redoc_url=None,
    )
    app.state.readiness = readiness
    problems.install(app)
    for routes in _ROUTES:
        app.include_router(routes.router)
    for middleware in _MIDDLEWARE:
        app.add_middleware(middleware)
    app.add_middleware(PortFilter, rules=port_rules)
    app.add_middleware(LastAnswers, readiness=readiness)
    app.add_middleware(SafeHeaders)
    _extend_document(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, open_edges: OpenEdges) -> AsyncIterator[None]:
    async with open_edges() as edges:
        app.state.edges = edges
        app.state.advice = AdviceFeed(edges.feeds.advice, edges.feeds.now)
        app.state.live = LiveFeed(edges.picture, app.state.advice)
        looking = asyncio.create_task(app.state.advice.run())
        app.state.open_streams = OpenStreams(edges.access.revocations)
        app.state.person_budgets = PersonBudgets()
        tasks = [looking]
        if edges.follow is not None:
            tasks.append(asyncio.ensure_future(edges.follow(lambda new: _use(app, new))))
        app.state.readiness.start()
        yield
        await app.state.live.close()
        await end(tasks)


def _use(app: FastAPI, edges: Edges) -> None:
    """Serve what begins from now on with these edges; requests that are under way keep theirs."""
    app.state.edges = edges
    app.state.live.follow(edges.picture)


def _operation_id(route: APIRoute) -> str:
    """Audience and name: `riders_ask_quote`."""
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def serve_map(app: FastAPI, web_dir: Path) -> None:
    """Serve the live map at `/`, or a page that says how to get it."""
    index = web_dir / "index.html"

    @app.get("/", include_in_schema=False)
    async def live_map() -> Response:
        if not index.is_file():
            return HTMLResponse(_NO_MAP)
        return FileResponse(index, headers={"Content-Security-Policy": _MAP_POLICY, "Cache-Control": "no-cache"})

    if (web_dir / "assets").is_dir():
        app.mount("/assets", GZipMiddleware(StaticFiles(directory=web_dir / "assets")), name="assets")


def _extend_document(app: FastAPI) -> None:
    """Add to the OpenAPI document what the middleware does: problems and idempotency keys."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = problems.Problem.model_json_schema()
        declare(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI has its document extended
