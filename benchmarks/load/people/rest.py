"""REST as one person, for greenlets."""

from __future__ import annotations

import select
import uuid
from typing import Any

import gevent.monkey
import gevent.socket
from geventhttpclient.client import HTTPClientPool
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPConnectionClosed
from locust.contrib.fasthttp import FastHttpSession

#: Connections of a process to the API: people share them, as behind a gateway.
CONNECTIONS_MAX = 256
#: Wall seconds for an answer.
ANSWER_S_MAX = 60.0
#: Answers that are no failures: the ride went another way meanwhile, or the trip is none that the city serves.
REFUSALS = (409, 422)
#: A kept connection may be closed as a request comes in. Clients send it again under the same key, and so do these.
LOST = (HTTPConnectionClosed, ConnectionResetError, BrokenPipeError)
ATTEMPTS = 3
REPEATED = ", connection closed, sent again"
#: The system's own: gevent's would go to its loop for an answer that is there at once.
_POLL = gevent.monkey.get_original("select", "poll")


def shared_connections() -> HTTPClientPool:
    """Return a bounded pool of connections for all people of a process."""
    # It looks whether a kept connection is open by select(), which knows no file numbers above 1,023: with a thousand
    # streams in the process every request would open a connection of its own.
    ConnectionPool._is_socket_alive = _is_open  # noqa: SLF001 - there is no public way
    return HTTPClientPool(concurrency=CONNECTIONS_MAX, connection_timeout=ANSWER_S_MAX, network_timeout=ANSWER_S_MAX)


def _is_open(_: ConnectionPool, kept: gevent.socket.socket | None) -> bool:
    """Whether a kept connection can be used: there is nothing to read, neither an end nor a late answer."""
    if kept is None or kept.fileno() < 0:
        return False
    waiting = _POLL()
    waiting.register(kept.fileno(), select.POLLIN)
    return not waiting.poll(0)


class Rest:
    """Sends requests with a person's token; failures are counted by locust."""

    def __init__(self, session: FastHttpSession, token: str) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}

    def post(self, path: str, body: Any = None, name: str = "") -> dict[str, Any] | None:
        """Return the answer's body, None for a refusal or a failure; `name` stands for all paths of its kind."""
        return self._ask("POST", path, body, name, {"Idempotency-Key": uuid.uuid4().hex})

    def get(self, path: str, name: str = "") -> dict[str, Any] | None:
        """Return the answer's body, None for a refusal or a failure."""
        return self._ask("GET", path, None, name, {})

    def _ask(self, method: str, path: str, body: Any, name: str, headers: dict[str, str]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = None
        for attempts_left in reversed(range(ATTEMPTS)):
            with self._session.request(
                method, path, name=name or path, json=body, headers=self._headers | headers, catch_response=True
            ) as answer:
                if attempts_left and isinstance(getattr(answer, "error", None), LOST):
                    answer.request_meta["name"] += REPEATED
                    answer.success()
                    continue
                if answer.status_code in REFUSALS:
                    answer.success()
                elif 200 <= answer.status_code < 300:
                    answer.success()
                    found = answer.json()
                elif answer.status_code:
                    answer.failure(f"{answer.status_code} {answer.text}"[:200])
            break
        return found
