"""The id that the gateway gives a request stands in what is logged of it."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from api.telemetry import RequestIds


async def known_of(kind: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """What each line of the log would have beside its own words."""
    known: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known.update(structlog.contextvars.get_contextvars())

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await RequestIds(app)({"type": kind, "headers": list(headers)}, nothing, nothing)
    return known


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_what_is_logged_of_a_request_has_its_id(kind: str) -> None:
    assert await known_of(kind, (b"x-request-id", b"0f8e-1")) == {"request_id": "0f8e-1"}
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("sent", [b"", b"two words", b'{"level":"error"}', b"x" * 65, b"a\nb"])
async def test_nothing_else_gets_into_the_log(sent: bytes) -> None:
    assert await known_of("http", (b"x-request-id", sent)) == {}
    assert await known_of("http") == {}
    assert await known_of("lifespan") == {}
