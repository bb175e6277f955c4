"""What each port of the API serves: the public one what riders and drivers need, the internal one everything."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ApiProblem

#: Operators' routes and page, and figures: a path, or the beginning of paths where it ends in a slash.
INTERNAL = ("/v1/ops/", "/metrics", "/assets/")
INTERNAL_PAGE = "/"
#: The interactive documentation.
DOCS = ("/docs", "/docs/", "/openapi.json", "/static-offline-docs/")


@dataclass(frozen=True, slots=True)
class PortRules:
    """Which paths are served at which port."""

    #: The only port at which operators' routes are served; None for every port.
    internal_port: int | None = None
    #: Whether the interactive documentation is served, at any port.
    has_docs: bool = False

    def serves(self, path: str, port: int | None) -> bool:
        """Return whether a path is served at a port; ``port`` None is no TCP port, such as that of a test client."""
        if not self.has_docs and _is_among(path, DOCS):
            return False
        if self.internal_port is None or port is None or port == self.internal_port:
            return True
        return path != INTERNAL_PAGE and not _is_among(path, INTERNAL)


def _is_among(path: str, paths: tuple[str, ...]) -> bool:
    return any(path.startswith(one) if one.endswith("/") else path == one for one in paths)


class PortFilter:
    """ASGI middleware: a path that a port does not serve is answered as if it did not exist."""

    def __init__(self, app: ASGIApp, rules: PortRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it: a WebSocket by refusing its handshake, with 403."""
        if scope["type"] not in ("http", "websocket") or self._rules.serves(scope["path"], _port_of(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            problem = ApiProblem(
                404, "no_such_route", "Not Found.", "Check the path: routes for riders and drivers begin with /v1."
            )
            await problem.response()(scope, receive, send)


def _port_of(scope: Scope) -> int | None:
    """The port of this machine that the request came to."""
    server = scope.get("server")
    port: int | None = server[1] if server else None
    return port
