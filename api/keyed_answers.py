"""Idempotency keys on every request that changes something: the same key again gets the same answer again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.abuse.rates import RouteKind
from api.access import count_request
from api.auth.tokens import Principal, TokenInvalid
from api.edges import edges_of
from api.problems import ApiProblem
from kernel.idempotency import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
#: What a key is made of; as `api.routes.parameters.RequestKey` says.
KEY_LENGTH_MIN, KEY_LENGTH_MAX, KEY_PATTERN = 8, 128, r"^[\x21-\x7e]+$"
#: Methods that may change something.
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: Routes that keep the answer themselves, in the transaction of the change.
KEEP_THEIR_OWN = frozenset({"/v1/rides"})

_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "if you may have to repeat the request: the same key and body again get the same answer again",
    "schema": {"type": "string", "minLength": KEY_LENGTH_MIN, "maxLength": KEY_LENGTH_MAX, "pattern": KEY_PATTERN},
}

_REPLAYED = {
    "description": "true if this request was answered before; absent if not",
    "schema": {"type": "string", "enum": ["true"]},
}


class _Kept(msgspec.Struct):
    """An answer as it is kept."""

    status: int
    body: str


class KeyedAnswers:
    """ASGI middleware that answers a repeated key with what was answered before.

    Only answers of success are kept: what was refused may be tried again. The change and its answer are two
    transactions. Where a process dies between them the repeated request is carried out again, which every command on a
    ride takes as a repeat (`dispatch.rules.repeats`).
    """

    #: The label of the request metrics for what was answered before.
    path = "replayed"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a key that is known; else pass the request on and keep its answer. Raises IdempotencyConflict."""
        name = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] in MUTATING else None
        principal = _principal(scope) if name is not None and scope["path"] not in KEEP_THEIR_OWN else None
        if name is None or principal is None:
            await self._app(scope, receive, send)
            return
        _check(name)
        body = await Request(scope, receive).body()
        named = f"{scope['method']} {scope['path']} {name}"
        key = IdempotencyKey.of_body(principal.inbox, named, f"{scope['query_string']!r} {body!r}")
        before = await edges_of(scope).access.answers.find(key)
        if before is not None:  # the route, which counts requests, is not reached
            await count_request(scope, edges_of(scope).access, principal, RouteKind.WRITES)
        else:
            answer = _Recorder(send)
            await self._app(scope, _again(body, receive), answer.take)
            before = await self._keep(scope, key, answer)
        if before is not None:
            scope["route"] = self
            kept = msgspec.json.decode(before, type=_Kept)
            await Response(kept.body, kept.status, {REPLAYED: "true"}, "application/json")(scope, receive, send)

    async def _keep(self, scope: Scope, key: IdempotencyKey, answer: _Recorder) -> str | None:
        """Keep an answer of success, and send it; return the other one that was kept meanwhile, if there is one."""
        if answer.is_success:
            text = answer.text()
            kept = await edges_of(scope).access.answers.keep(key, text)
            if kept != text:
                return kept
        await answer.release()
        return None


@dataclass
class _Recorder:
    """Holds an answer back until it is kept."""

    send: Send

    def __post_init__(self) -> None:
        self._messages: list[Message] = []

    async def take(self, message: Message) -> None:
        """Take the next part of the answer."""
        self._messages.append(message)

    @property
    def is_success(self) -> bool:
        """Whether the request was carried out."""
        return bool(self._messages) and 200 <= self._messages[0].get("status", 0) < 300

    def text(self) -> str:
        """The answer as it is kept."""
        body = b"".join(message.get("body", b"") for message in self._messages)
        return msgspec.json.encode(_Kept(self._messages[0]["status"], body.decode())).decode()

    async def release(self) -> None:
        """Send the answer."""
        for message in self._messages:
            await self.send(message)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body for the next reader, then what the client sends after it."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return parts.pop() if parts else await receive()

    return replayed


def _principal(scope: Scope) -> Principal | None:
    """Whose key it is; None for a token that the route will refuse, as expired or revoked."""
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    access = edges_of(scope).access
    try:
        grant = access.tokens.verify(token)
    except TokenInvalid:
        return None
    return None if access.revocations.refuses(grant) else grant.principal


def _check(key: str) -> None:
    if not (KEY_LENGTH_MIN <= len(key) <= KEY_LENGTH_MAX and re.fullmatch(KEY_PATTERN, key)):
        detail = f"{HEADER} has {len(key)} characters, or some that are not visible ASCII."
        hint = f"Use {KEY_LENGTH_MIN} to {KEY_LENGTH_MAX} visible characters, such as a random UUID."
        raise ApiProblem(422, "invalid_key", detail, hint)


def declare(document: dict[str, Any]) -> None:
    """Add the header to every operation of an OpenAPI document that may change something."""
    for operations in document["paths"].values():
        for method, operation in operations.items():
            if method.upper() not in MUTATING:
                continue
            parameters = operation.setdefault("parameters", [])
            if all(one["name"] != HEADER for one in parameters):
                parameters.append(_PARAMETER)
            for status, answer in operation["responses"].items():
                if status.startswith("2"):
                    answer.setdefault("headers", {})[REPLAYED] = _REPLAYED
