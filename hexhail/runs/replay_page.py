"""The local web server of `hexhail replay`: serves one run on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from api.routes.operator.city import roads_geojson
from hexhail.runs.replay_run import RecordedRun, packed

HOST = "127.0.0.1"
PAGE = "replay.html"


def build_app(run: RecordedRun, web_dir: Path) -> FastAPI:
    """The page and its data. Raises FileNotFoundError if the page is not built."""
    if not (web_dir / PAGE).is_file():
        raise FileNotFoundError(f"{web_dir / PAGE} does not exist: build the pages with `make web`")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Made once: the browser asks once, and a reload should not wait.
    about, tracks = msgspec.json.encode(run.about()), packed(run.tracks)
    prices = msgspec.json.encode(run.price_columns())
    roads = roads_geojson(run.city.graph)

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(web_dir / PAGE)

    @app.get("/v1/replay/run")
    def read_run() -> Response:
        return Response(about, media_type="application/json")

    @app.get("/v1/replay/tracks")
    def read_tracks() -> Response:
        return Response(tracks, media_type="application/octet-stream")

    @app.get("/v1/replay/prices")
    def read_prices() -> Response:
        return Response(prices, media_type="application/json")

    @app.get("/v1/replay/roads")
    def read_roads() -> Response:
        return Response(roads, media_type="application/geo+json")

    @app.get("/v1/replay/events")
    def read_events(subject: str) -> list[dict[str, Any]]:
        events = run.events_of(subject)
        if events is None:
            raise HTTPException(404, f"this run has no ride or driver {subject!r}")
        return events

    app.mount("/assets", StaticFiles(directory=web_dir / "assets"))
    return app


def serve(app: FastAPI, port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `say` gets the address once it answers. Raises OSError if the port is taken."""
    config = uvicorn.Config(app, host=HOST, port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        for listening in server.servers:
            for socket in listening.sockets:
                say("http://{}:{}/".format(*socket.getsockname()[:2]))
        await serving

    asyncio.run(run())
