"""The port of a role for probes and monitoring: `/healthz`, `/readyz` and `/metrics`, from a thread of its own.

The thread answers also while the role compiles kernels or computes; `/healthz` says when the event loop is stuck.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from backing.readiness import Readiness
from hexhail.runtime.connections import DependencyMissing

log = structlog.get_logger(__name__)

#: Wall seconds that a client may take to send its request.
REQUEST_S_MAX = 10.0
JSON = "application/json"

#: Status, media type and body.
Answer = tuple[int, str, bytes]


class HealthPage:
    """What the port answers."""

    def __init__(self, role: str, readiness: Readiness, registry: CollectorRegistry) -> None:
        self._role = role
        self._readiness = readiness
        self._registry = registry

    def answer(self, path: str) -> Answer:
        """Return the answer to a GET of the path."""
        pages: dict[str, Callable[[], Answer]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(self._registry)),
        }
        page = pages.get(path.partition("?")[0])
        return (404, JSON, b'{"detail":"There are /healthz, /readyz and /metrics."}') if page is None else page()

    def _alive(self) -> Answer:
        stuck_s = self._readiness.stuck_s
        said = f"the event loop has not turned for {stuck_s:.0f} s" if stuck_s else "ok"
        return self._health(is_ok=not stuck_s, said=said)

    def _ready(self) -> Answer:
        return self._health(is_ok=self._readiness.is_ready, said=self._readiness.stage)

    def _health(self, *, is_ok: bool, said: str) -> Answer:
        body = {"status": "ok" if is_ok else "failing", "checks": {self._role: said}}
        return 200 if is_ok else 503, JSON, msgspec.json.encode(body)


@contextmanager
def serving(page: HealthPage, host: str, port: int) -> Iterator[int]:
    """Serve the page from a thread; yields the port, which is a free one for 0. Raises DependencyMissing."""

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_S_MAX

        def do_GET(self) -> None:
            status, media_type, body = page.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass  # a line for each probe would drown the others

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        reason = f"Health and metrics cannot listen on {host}:{port} ({error.strerror or error})."
        remedy = "End what listens there, or set HEXHAIL_METRICS_PORT and HEXHAIL_METRICS_HOST."
        raise DependencyMissing(f"{reason} {remedy}") from error
    threading.Thread(target=server.serve_forever, name="health-page", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
