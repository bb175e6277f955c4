"""The API in the test's own process, over real servers, for what is done to it from inside or with the servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import build_app
from api.edges import Edges
from api.port_rules import PortRules
from api.streams.drain import DrainTimes
from hexhail.roles.api import draining_server, listening, server_config
from hexhail.roles.api_edges import open_edges
from hexhail.runtime import embedded
from hexhail.runtime.settings import Settings
from tests.api.installation import Installation
from tests.patience import until

SECRETS = {"test": "a secret of the tests that is long enough"}


@dataclass
class Served(Installation):
    """An installation whose API runs here."""

    app: FastAPI
    server: uvicorn.Server
    serving: asyncio.Task[None]

    @property
    def edges(self) -> Edges:
        edges: Edges = self.app.state.edges
        return edges

    async def stop(self) -> None:
        """End the server as SIGTERM would."""
        self.server.should_exit = True
        await self.serving


@asynccontextmanager
async def serving(
    redis_port: int, broker_port: int, folder: Path, times: DrainTimes | None = None, **changes: Any
) -> AsyncIterator[Served]:
    """Serve an app of its own, with an empty database; `changes` are settings that differ."""
    port, public_port = embedded.free_ports(2)
    given = {
        "redis_url": f"redis://127.0.0.1:{redis_port}/0",
        "broker_url": f"127.0.0.1:{broker_port}",
        "database_url": f"sqlite:///{folder / 'hexhail.db'}",
        "token_secrets": SECRETS,
        "api_port": public_port,
        "internal_port": port,
    }
    settings = Settings(**given | changes)
    sockets = listening(settings)
    app = build_app(lambda: open_edges(settings), PortRules(sockets[-1].getsockname()[1], has_docs=False))
    config = server_config(app)
    server = draining_server(app, config, times or DrainTimes(0.0, 0.0))
    env = {
        "HEXHAIL_REDIS_URL": settings.redis_url,
        "HEXHAIL_API_PORT": str(public_port),
        "HEXHAIL_DATABASE_URL": settings.database_url,
        "HEXHAIL_TOKEN_SECRETS": json.dumps(SECRETS),
        "HEXHAIL_CLOCK_SPEED": "1.0",
        "HEXHAIL_CLOCK_CITY_S": "0.0",
        "HEXHAIL_CLOCK_WALL_S": "0.0",
    }
    task = asyncio.create_task(server.serve(sockets))
    served = Served(f"http://127.0.0.1:{port}", env, app, server, task)
    # Its ports listen from before it starts: who connects waits.
    await until(lambda: server.started or task.done())
    try:
        yield served
    finally:
        await served.stop()
