"""The API role: serves the app with uvicorn."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from backing.readiness import Readiness
from hexhail.cities.served import check_edge
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.settings import Settings

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn
    from fastapi import FastAPI

    from api.edges import Edges
    from api.streams.drain import DrainTimes

log = structlog.get_logger(__name__)

#: Connections that wait to be accepted; uvicorn's default.
BACKLOG = 2048


def run_api(settings: Settings, readiness: Readiness) -> None:
    """Serve riders, drivers and operators."""
    from api.app import build_app, serve_map
    from api.port_rules import PortRules
    from hexhail.cities.learned_files import LearnedFiles
    from hexhail.cities.learned_traffic import city_profile
    from hexhail.cities.sections import load_checked_city
    from hexhail.roles.api_edges import open_edges
    from hexhail.runtime.warm_up import warm_edges
    from pricing.errors import TariffRefused

    check_edge(settings.city_dir, settings.city_folders)
    # Before the server starts, which would log a traceback of an error.
    city = load_checked_city(settings.city_dir)
    city_profile(city, settings.city_dir, LearnedFiles(city.region.region_id))
    warm_edges(city)
    missing: list[DependencyMissing | TariffRefused] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Edges]:
        try:
            async with open_edges(settings) as edges:
                _spare_the_collector()
                yield edges
        except (DependencyMissing, TariffRefused) as error:
            missing.append(error)
            raise

    sockets = listening(settings)
    app = build_app(opened, PortRules(sockets[-1].getsockname()[1], settings.api_docs), readiness)
    serve_map(app, settings.web_dir)
    try:
        _serve(app, settings, sockets)
    except SystemExit:
        # uvicorn logs the cause with a traceback and exits; the caller gets the error that says what to do.
        if missing:
            raise missing[0] from None
        raise


def listening(settings: Settings) -> list[socket.socket]:
    """Return the sockets of the public port and of the internal one, which is the last; one where they are the same.

    Raises DependencyMissing for a port that is taken.
    """
    public = _listen(settings.api_host, settings.api_port, "HEXHAIL_API_PORT")
    if settings.api_port and settings.internal_port_or_default == settings.api_port:
        return [public]
    try:
        return [public, _listen(settings.internal_host, settings.internal_port_or_default, "HEXHAIL_INTERNAL_PORT")]
    except DependencyMissing:
        public.close()
        raise


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = f"The API cannot listen on {host}:{port} ({error.strerror or error})."
        raise DependencyMissing(f"{reason} End what listens there, or set {setting}.") from error
    log.info("listening", host=host, port=found.getsockname()[1])
    return found


def _spare_the_collector() -> None:
    """Keep what was loaded by now, a city's roads and a million objects of libraries, out of garbage collections.

    A full collection goes through all of it and stops the loop for most of a second; bursts of connections cause some.
    """
    gc.collect()
    gc.freeze()


def _serve(app: FastAPI, settings: Settings, sockets: list[socket.socket]) -> None:
    from api.streams.drain import DrainTimes

    server = draining_server(
        app, server_config(app, settings.gateway_addresses), DrainTimes(settings.drain_s, settings.drain_spread_s)
    )
    with suppress(KeyboardInterrupt):
        server.run(sockets)
    if not server.started:
        raise SystemExit(1)


def draining_server(app: FastAPI, config: uvicorn.Config, times: DrainTimes) -> uvicorn.Server:
    """Return a server that drains on SIGTERM; the second signal ends it at once, as Ctrl-C does."""
    import uvicorn

    from api.streams.drain import drain

    class DrainingServer(uvicorn.Server):
        _draining: asyncio.Task[None] | None = None
        _is_told = False

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if sig == signal.SIGTERM and self.started and times.total_s and not self._is_told:
                self._is_told = True
                self._captured_signals.append(sig)
            else:
                app.state.readiness.drain()
                super().handle_exit(sig, frame)

        async def on_tick(self, counter: int) -> bool:
            if self._is_told and self._draining is None:
                self._draining = asyncio.create_task(drain(app, times))
            return await super().on_tick(counter) or (self._draining is not None and self._draining.done())

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if self._draining is not None:
                self._draining.cancel()
            await super().shutdown(sockets)

    return DrainingServer(config)


def server_config(app: FastAPI, gateway_addresses: str = "") -> uvicorn.Config:
    """How the app is served: our protocols, with their limits.

    Who connects from one of ``gateway_addresses``, separated by commas, says in X-Forwarded-For for whom.
    """
    import uvicorn

    from api.http_protocol import BoundedHttp
    from api.penalties import PenaltyBox
    from api.streams.people import FRAME_BYTES_MAX
    from api.streams.websocket_protocol import BoundedWebSockets

    shared = {"penalties": PenaltyBox()}
    return uvicorn.Config(
        app,
        backlog=BACKLOG,
        http=type("Http", (BoundedHttp,), shared),
        ws=type("WebSockets", (BoundedWebSockets,), shared),
        ws_max_size=FRAME_BYTES_MAX,
        # Compression of thousands of sockets takes gigabytes, and frames are small.
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=bool(gateway_addresses),
        forwarded_allow_ips=gateway_addresses,
        timeout_graceful_shutdown=3,
    )
