"""WebSocket streams of riders and drivers: push their inbox in order, resumable; accept drivers' pings."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketState

from api import failures, pings
from api.auth.tokens import Grant, Principal, Role
from api.cursors import WORDS, Gap
from api.edges import AccessDep, AccessEdges, FeedEdges, FeedEdgesDep
from api.inboxes import InboxCursor
from api.pings import DECODE_ERRORS, Form, PingParts, PingsBody, ReadPings, numbers_of, read_parts, without_nan
from api.problems import ApiProblem
from api.streams import sockets
from api.streams.advice import AdviceFeed, AdviceFeedDep
from api.streams.positions import telling

router = APIRouter()

#: For the server that runs the app: it hangs up with 1009 on a longer frame before anything reads it.
FRAME_BYTES_MAX = 512 * 1024
#: Positions are counted from 1; JavaScript counts exactly up to here.
LAST_SEEN_MAX = 2**53


class _Pings(PingsBody, tag_field="type", tag="pings"):
    """A frame of pings."""


class _KeepAlive(msgspec.Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """A keep-alive frame."""


class _PingParts(PingParts, tag_field="type", tag="pings"):
    """A frame of pings that are not looked into yet."""


_frames: dict[Form, Any] = {
    "JSON": msgspec.json.Decoder(_Pings | _KeepAlive),
    "MessagePack": msgspec.msgpack.Decoder(_Pings | _KeepAlive),
}
_parts: dict[Form, Any] = {"JSON": msgspec.json.Decoder(_PingParts), "MessagePack": msgspec.msgpack.Decoder(_PingParts)}


@router.websocket("/v1/riders/me/stream")
async def rider_stream(socket: WebSocket, access: AccessDep, feeds: FeedEdgesDep) -> None:
    """A rider's events."""
    accepted = await _accept(socket, access, Role.RIDER)
    if accepted is not None:
        grant, last_seen = accepted
        rider = grant.principal
        push = _push(socket, feeds, rider, last_seen)
        await sockets.converse(socket, grant, push, _take(socket, access, feeds, rider))


@router.websocket("/v1/drivers/me/stream")
async def driver_stream(socket: WebSocket, access: AccessDep, feeds: FeedEdgesDep, advice: AdviceFeedDep) -> None:
    """A driver's offers, events and advice out, pings in."""
    accepted = await _accept(socket, access, Role.DRIVER)
    if accepted is not None:
        grant, last_seen = accepted
        driver = grant.principal
        push = _push(socket, feeds, driver, last_seen, advice)
        await sockets.converse(socket, grant, push, _take(socket, access, feeds, driver))


async def _accept(socket: WebSocket, access: AccessEdges, role: Role) -> tuple[Grant, int] | None:
    """Accept a socket; returns what its token grants and what was seen last, None after refusing it."""
    grant = await sockets.accept(socket, access, role)
    if grant is None:
        return None
    try:
        return grant, _last_seen(socket)
    except ApiProblem as problem:
        await sockets.refuse(socket, problem)
        return None


def _last_seen(socket: WebSocket) -> int:
    """The position after which the client wants events; 0, all events, by default. Raises ApiProblem."""
    said = socket.query_params.get("last_seen", "0")
    if said.isascii() and said.isdecimal() and len(said) <= len(str(LAST_SEEN_MAX)) and int(said) <= LAST_SEEN_MAX:
        return int(said)
    detail = f"last_seen must be a whole number from 0 to {LAST_SEEN_MAX}."
    raise ApiProblem(422, "invalid_last_seen", detail, "Send the seq of the last event you have.")


async def _push(
    socket: WebSocket, feeds: FeedEdges, principal: Principal, last_seen: int, advice: AdviceFeed | None = None
) -> None:
    await sockets.send_json(socket, {"type": "ready", "last_seen": last_seen})
    cursor = InboxCursor(feeds.inboxes, principal.inbox, last_seen)
    with ExitStack() as stack:
        if advice is not None:
            stack.enter_context(advice.listening(principal.id, socket))
            stack.enter_context(telling(feeds.positions, principal.id, socket))
        while socket.client_state is WebSocketState.CONNECTED:
            found = await cursor.next()
            if isinstance(found, Gap):
                await sockets.send_json(socket, _reset(found))
                continue
            for position, payload in found:
                # The payload is a JSON object of its own; its fields go beside ours.
                await sockets.send(socket, f'{{"type":"event","seq":{position},{payload[1:].decode()}')


def _reset(gap: Gap) -> dict[str, object]:
    """The frame that says that the stream begins anew, with the oldest event that is kept."""
    hint = "Forget the last seq you have, read your rides anew, and take the events that follow as they come."
    return {"type": "reset", "reason": gap, "last_seen": 0, "detail": WORDS[gap], "hint": hint}


async def _take(socket: WebSocket, access: AccessEdges, feeds: FeedEdges, principal: Principal) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            answer = await _answer(message.get("text"), message.get("bytes"), feeds, principal)
        except Exception as error:
            answer = failures.problem_of_failure(error, access.outages).body() | {"type": "error"}
        if answer is not None:
            await sockets.send_json(socket, answer)


async def _answer(
    text: str | None, raw: bytes | None, feeds: FeedEdges, principal: Principal
) -> dict[str, object] | None:
    """What a frame of JSON (text) or MessagePack (bytes) is answered with; pings that are all good, with silence.

    Raises ApiProblem, and what the gateway raises.
    """
    read = _read(text.encode(), "JSON") if text is not None else _read(raw or b"", "MessagePack")
    if read is None:
        return {"type": "pong"}
    if principal.role is not Role.DRIVER:
        raise ApiProblem(403, "wrong_role", "Only drivers send pings.", "Use the token of a driver.")
    submitted = await pings.submit(feeds, principal.id, read)
    return {"type": "pings", **pings.answer_body(submitted)} if submitted.refusals else None


def _read(sent: bytes, form: Form) -> ReadPings | None:
    """Read a frame: pings, or None for a keep-alive. Raises ApiProblem 422 for anything else."""
    try:
        frame = _frames[form].decode(sent)
        return None if isinstance(frame, _KeepAlive) else ReadPings(numbers_of(frame))
    except DECODE_ERRORS:
        try:
            return read_parts(_parts[form].decode(without_nan(sent, form)), form)
        except DECODE_ERRORS as error:
            hint = 'Send {"type": "pings", "pings": […]} or {"type": "ping"}.'
            raise ApiProblem(422, "invalid_frame", f"{error}.", hint) from error
