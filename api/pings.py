"""Receives the pings of phones, the hot path of the API: request bodies are decoded directly into rows of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.abuse.rates import RouteKind
from api.access import count_request, grant_of, require_role
from api.auth.tokens import Role
from api.edges import FeedEdges, edges_of
from api.problems import ApiProblem, refusal_bodies
from location_ingest.errors import PingsRefused
from location_ingest.model import STALE, Refusal, Standing, Submitted

#: Pings in one batch: two hours at one per 4 s, more than a phone should buffer.
PINGS_MAX = 2000
PATH = "/v1/drivers/me/pings"
#: MessagePack is registered as application/vnd.msgpack; the others are what its libraries have used before.
MSGPACK = frozenset({"application/vnd.msgpack", "application/msgpack", "application/x-msgpack"})


class PingBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One GPS report; the ingester checks the values and gives each rejection its reason."""

    t_s: float
    lat_deg: float
    lng_deg: float
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None


class PingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Reports of one phone, the oldest first."""

    pings: Annotated[list[PingBody], msgspec.Meta(min_length=1, max_length=PINGS_MAX)]


#: Reason of a refused ping that is not an object of these numbers.
MALFORMED = "malformed"
#: What many JSON writers emit for values that are not numbers.
_NO_NUMBER = re.compile(rb"([:,\[]\s*)-?(?:NaN|Infinity)\b")
#: Finds the field of a ping in msgspec's error messages.
_FIELD = re.compile(r"field `(\w+)`|at `\$\.(\w+)")
#: What msgspec raises for bytes that it cannot decode.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)
Form = Literal["JSON", "MessagePack"]


class LoosePing(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ping whose place or time may be null; the ingestion filter refuses it with its reason."""

    t_s: float | None
    lat_deg: float | None
    lng_deg: float | None
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None


class PingParts(msgspec.Struct, forbid_unknown_fields=True):
    """A batch whose pings are not decoded yet."""

    pings: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=PINGS_MAX)]


_strict: dict[Form, Any] = {"JSON": msgspec.json.Decoder(PingsBody), "MessagePack": msgspec.msgpack.Decoder(PingsBody)}
_parts: dict[Form, Any] = {"JSON": msgspec.json.Decoder(PingParts), "MessagePack": msgspec.msgpack.Decoder(PingParts)}
_loose: dict[Form, Any] = {"JSON": msgspec.json.Decoder(LoosePing), "MessagePack": msgspec.msgpack.Decoder(LoosePing)}
_row: Any = msgspec.structs.astuple


@dataclass(frozen=True, slots=True)
class ReadPings:
    """A batch as read: six numbers of each ping that is one, their indices in the batch, and the malformed others."""

    numbers: list[float | None]
    #: None if every ping is one.
    index: list[int] | None = None
    malformed: tuple[Refusal, ...] = ()


def numbers_of(body: PingsBody) -> list[float | None]:
    """Return the pings as rows for the gateway; NaN in MessagePack means that a value is unknown."""
    numbers: list[float | None] = []
    for ping in body.pings:
        numbers += _row(ping)
    return numbers


def decode_pings(raw: bytes, form: Form) -> ReadPings:
    """Read a batch of pings. Raises ApiProblem 422 for bytes that are no batch at all."""
    try:
        return ReadPings(numbers_of(_strict[form].decode(raw)))
    except DECODE_ERRORS:
        try:
            return read_parts(_parts[form].decode(without_nan(raw, form)), form)
        except DECODE_ERRORS as error:
            hint = f'Send {{"pings": [{{"t_s": …, "lat_deg": …, "lng_deg": …}}]}} as {form}.'
            raise ApiProblem(422, "invalid_pings", f"{error}.", hint) from error


def without_nan(raw: bytes, form: Form) -> bytes:
    """Replace the NaN and Infinity that JSON does not have by null, for what the phone does not know."""
    return _NO_NUMBER.sub(rb"\1null", raw) if form == "JSON" else raw


def read_parts(parts: PingParts, form: Form) -> ReadPings:
    """Read ping by ping, after the batch as a whole was not understood."""
    numbers, index, malformed = list[float | None](), list[int](), list[Refusal]()
    for at, part in enumerate(parts.pings):
        try:
            numbers += _row(_loose[form].decode(part))
            index.append(at)
        except DECODE_ERRORS as error:
            found = _FIELD.search(str(error))
            malformed.append(Refusal(at, MALFORMED, (found[1] or found[2]) if found else ""))
    return ReadPings(numbers, index, tuple(malformed))


async def submit(feeds: FeedEdges, driver_id: str, read: ReadPings) -> Submitted:
    """Submit the pings of a batch and return the outcome once the broker has them. Raises as the gateway does."""
    accepted, refusals = 0, tuple[Refusal, ...]()
    try:
        if read.numbers:
            accepted, refusals = await feeds.gateway.submit_numbers(driver_id, read.numbers, feeds.now())
    except PingsRefused as refused:
        refusals = tuple(Refusal(*refusal) for refusal in refused.refusals)
    if read.index is not None:
        refusals = tuple(refusal._replace(at=read.index[refusal.at]) for refusal in refusals)
        refusals = tuple(sorted((*refusals, *read.malformed)))
    feeds.positions.note_pings(driver_id, refusals)
    if not accepted:
        raise PingsRefused(refusals)
    return Submitted(accepted, refusals)


def answer_body(submitted: Submitted, standing: Standing | None = None) -> dict[str, Any]:
    """The answer to a batch; `refusals` only if there are any, `position` only if the driver does not count."""
    answer: dict[str, Any] = {"accepted": submitted.accepted}
    if submitted.refusals:
        answer["refusals"] = refusal_bodies(submitted.refusals)
    if standing is not None and not standing.counts and standing.reason not in (None, STALE):
        answer["position"] = position_body(standing)
    return answer


#: Why a driver's position does not count, and what to do, by reason; others are the reasons of a refused ping.
_POSITION_WORDS = {
    STALE: ("No ping of yours has come for a while.", "Send a ping."),
    "off_region": ("You are outside the region.", "Drive back into it."),
    "too_coarse": ("Your phone does not know where it is: its fixes are too coarse.", "Switch on precise location."),
    "impossible_jump": (
        "Your phone has jumped farther than a car can drive.",
        "Go on sending: after some minutes of driving the new place is believed.",
    ),
    "repeated_coordinates": (
        "Your phone repeats one place while it says that it drives.",
        "Restart its location services; a new place is believed at once.",
    ),
}


def position_body(standing: Standing) -> dict[str, Any]:
    """The body that tells a driver whether the own position counts."""
    if standing.counts:
        return {"counts": True}
    plain = (str(standing.reason).replace("_", " ").capitalize() + ".", "See the refusals of your pings.")
    detail, hint = _POSITION_WORDS.get(standing.reason or "", plain)
    since = {"reason": standing.reason, "since_s": standing.since_s}
    return {"counts": False, **since, "detail": f"{detail} You are not asked for rides.", "hint": hint}


class RawPings:
    """ASGI middleware that answers `POST /v1/drivers/me/pings` itself: routing and models cost more than the pings."""

    #: The path label of the request metrics, like that of a route.
    path = PATH

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests to this path and pass others on. Raises ApiProblem and the errors of the gateway."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        edges = edges_of(scope)
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        grant = grant_of(token if scheme.lower() == "bearer" else None, edges.access)
        principal = require_role(grant.principal, Role.DRIVER)
        await count_request(scope, edges.access, principal, RouteKind.PINGS)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = await Request(scope, receive).body()
        read = decode_pings(raw, "MessagePack" if media_type in MSGPACK else "JSON")
        submitted = await submit(edges.feeds, principal.id, read)
        answer = msgspec.json.encode(answer_body(submitted, edges.feeds.positions.standing(principal.id)))
        await Response(answer, 202, media_type="application/json")(scope, receive, send)
