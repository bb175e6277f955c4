"""The pings of phones: the hot path of the API, straight from the bytes to rows of numbers."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import grant_of, require_role
from api.auth.tokens import Role
from api.edges import edges_of
from api.problems import ApiProblem
from location_ingest.columns import ROW_NUMBERS

#: Pings in one batch: two hours of one each 4 s, which is more than a phone should keep back.
PINGS_MAX = 2000
PATH = "/v1/drivers/me/pings"
#: MessagePack is registered as application/vnd.msgpack; the others are what its libraries have used before.
MSGPACK = frozenset({"application/vnd.msgpack", "application/msgpack", "application/x-msgpack"})


class PingBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One GPS report; the ingestion filter judges the values, so that each gets its own reason."""

    t_s: float
    lat_deg: float
    lng_deg: float
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None


class PingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Reports of one phone, the oldest first."""

    pings: Annotated[list[PingBody], msgspec.Meta(min_length=1, max_length=PINGS_MAX)]


#: The words that many JSON writers put for numbers that are none.
_NOT_FINITE = re.compile(rb"[:,\[]\s*-?(NaN|Infinity)\b")
#: What msgspec raises for bytes that are not what it expects.
NOT_UNDERSTOOD = (msgspec.DecodeError, UnicodeError, RecursionError)
_json = msgspec.json.Decoder(PingsBody)
_msgpack = msgspec.msgpack.Decoder(PingsBody)
_row: Any = msgspec.structs.astuple


def numbers_of(body: PingsBody) -> list[float | None]:
    """Return the pings as the gateway takes them; a NaN of MessagePack is what the phone does not know."""
    numbers: list[float | None] = []
    for ping in body.pings:
        numbers += _row(ping)
    return numbers


def decode_pings(raw: bytes, form: Literal["JSON", "MessagePack"]) -> list[float | None]:
    """Read a batch of pings, six numbers each. Raises ApiProblem 422 that says where it is wrong."""
    try:
        return numbers_of((_msgpack if form == "MessagePack" else _json).decode(raw))
    except NOT_UNDERSTOOD as error:
        hint = f'Send {{"pings": [{{"t_s": …, "lat_deg": …, "lng_deg": …}}]}} as {form}; see /docs.'
        raise not_understood("invalid_pings", raw, error, hint) from error


def not_understood(code: str, raw: bytes, error: Exception, hint: str) -> ApiProblem:
    """The problem of bytes that msgspec refused; a number that is none has a code of its own."""
    if _NOT_FINITE.search(raw):
        detail = "JSON has no NaN and no Infinity, and they are no place or time."
        return ApiProblem(422, "ping_not_finite", detail, "Leave out what the phone does not know.")
    return ApiProblem(422, code, f"{error}.", hint)


class RawPings:
    """ASGI middleware that answers `POST /v1/drivers/me/pings` itself: routing and models cost more than the pings."""

    #: The label of the request metrics, as of a route.
    path = PATH

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on what is none of ours. Raises ApiProblem, and what the gateway raises."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        edges = edges_of(scope)
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        grant = grant_of(token if scheme.lower() == "bearer" else None, edges.access)
        principal = require_role(grant.principal, Role.DRIVER)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = await Request(scope, receive).body()
        numbers = decode_pings(raw, "MessagePack" if media_type in MSGPACK else "JSON")
        await edges.feeds.gateway.submit_numbers(principal.id, numbers, edges.feeds.now())
        accepted = len(numbers) // ROW_NUMBERS
        await Response(b'{"accepted":%d}' % accepted, 202, media_type="application/json")(scope, receive, send)
