"""The streams of riders and drivers: their inbox, pushed in order and resumable; and drivers' pings coming in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import sockets
from api.edges import Edges
from api.problems import ApiProblem, problem_of
from api.routes.drivers import PingsBody, driver_pings
from api.tokens import Principal, Role

router = APIRouter()

#: Events sent before looking again; bounds what one phone holds of the server's memory.
PAGE = 100
#: News can be lost with a Redis connection; an inbox is looked at this often in any case.
LOOK_AGAIN_S = 5.0
FRAME_BYTES_MAX = 512 * 1024

LastSeen = Annotated[int, Query(ge=0, le=2**53, description="seq of the last event you have; 0 for all")]


class Bell:
    """Wakes the streams whose inbox has grown."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def listen(self, name: str) -> asyncio.Event:
        """An event that is set whenever the inbox has grown."""
        event = asyncio.Event()
        self._waiting.setdefault(name, set()).add(event)
        return event

    def leave(self, name: str, event: asyncio.Event) -> None:
        """Stop listening."""
        listeners = self._waiting[name]
        listeners.discard(event)
        if not listeners:
            del self._waiting[name]

    def ring(self, names: Iterable[str]) -> None:
        """These inboxes have grown."""
        for name in names:
            for event in self._waiting.get(name, ()):
                event.set()


class _Pings(PingsBody, tag_field="type", tag="pings"):
    """A frame of pings."""


class _KeepAlive(msgspec.Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """Is anybody there?"""


_frames = msgspec.json.Decoder(_Pings | _KeepAlive)


@router.websocket("/v1/riders/me/stream")
async def rider_stream(socket: WebSocket, last_seen: LastSeen = 0) -> None:
    """A rider's events."""
    await _stream(socket, last_seen, Role.RIDER)


@router.websocket("/v1/drivers/me/stream")
async def driver_stream(socket: WebSocket, last_seen: LastSeen = 0) -> None:
    """A driver's offers and events out, pings in."""
    await _stream(socket, last_seen, Role.DRIVER)


async def _stream(socket: WebSocket, last_seen: int, role: Role) -> None:
    edges: Edges = socket.app.state.edges
    principal = await sockets.accept(socket, edges, role)
    if principal is None:
        return
    bell: Bell = socket.app.state.bell
    grown = bell.listen(principal.inbox)
    try:
        await sockets.send(socket, msgspec.json.encode({"type": "ready", "last_seen": last_seen}).decode())
        await sockets.until_first_ends(
            asyncio.create_task(_push(socket, edges, principal, last_seen, grown)),
            asyncio.create_task(_take(socket, edges, principal)),
        )
    except WebSocketDisconnect:
        pass
    finally:
        bell.leave(principal.inbox, grown)
        await sockets.close_quietly(socket, sockets.TRY_AGAIN_LATER)


async def _push(socket: WebSocket, edges: Edges, principal: Principal, after: int, grown: asyncio.Event) -> None:
    while True:
        grown.clear()
        page = await edges.inboxes.read(principal.inbox, after, PAGE)
        for position, payload in page:
            # The payload is a JSON object of its own; its fields go beside ours.
            await sockets.send(socket, f'{{"type":"event","seq":{position},{payload[1:].decode()}')
            after = position
        if len(page) < PAGE:
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await grown.wait()
            except TimeoutError:
                pass


async def _take(socket: WebSocket, edges: Edges, principal: Principal) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        raw = message.get("text") or message.get("bytes") or ""
        try:
            answer = await _answer(raw, edges, principal)
        except ApiProblem as problem:
            answer = {"type": "error", **problem.body()}
        if answer is not None:
            await sockets.send(socket, msgspec.json.encode(answer).decode())


async def _answer(raw: str | bytes, edges: Edges, principal: Principal) -> dict[str, object] | None:
    """What a frame is answered with; pings that were taken are answered with silence. Raises ApiProblem."""
    if len(raw) > FRAME_BYTES_MAX:
        raise ApiProblem(413, "body_too_large", f"A frame has at most {FRAME_BYTES_MAX} bytes.", "Send less at once.")
    try:
        frame = _frames.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = 'Send {"type": "pings", "pings": […]} or {"type": "ping"}; see /docs.'
        raise ApiProblem(422, "invalid_frame", f"{error}.", hint) from error
    if isinstance(frame, _KeepAlive):
        return {"type": "pong"}
    if principal.role is not Role.DRIVER:
        raise ApiProblem(403, "wrong_role", "Only drivers send pings.", "Use the token of a driver.")
    try:
        await edges.gateway.submit(driver_pings(frame, principal.id), edges.now())
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from error
    return None
