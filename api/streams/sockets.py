"""Shared WebSocket handling: authentication, streams per principal, and sends with a time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from prometheus_client import Gauge
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import failures
from api.access import EXPIRED, REVOKED, grant_of, require_role, token_refused
from api.auth.revocation_watch import RevocationWatch
from api.auth.tokens import Grant, Principal, Role
from api.edges import AccessEdges, edges_of
from api.problems import ApiProblem
from api.streams.budgets import PersonBudgets
from api.streams.websocket_protocol import budget_of

log = structlog.get_logger(__name__)

SUBPROTOCOL = "hexhail.v1"
_BEARER = "bearer."
#: A phone in a tunnel does not read; after so long it is cut off and resumes from where it was when it is back.
SEND_TIMEOUT_S = 10.0
#: Streams that are ended within so many wall seconds are ended together.
CLOSE_STEP_S = 0.02
#: A task that was cancelled is cancelled again after this long.
CANCEL_AGAIN_S = 0.2

#: Wall seconds after which a stream compares its token's end with the wall clock again: somebody may have set it.
CLOCK_LOOK_S = 60.0

#: The server is stopping: another one takes the connection.
GOING_AWAY = 1012
TRY_AGAIN_LATER = 1013
INTERNAL_ERROR = 1011
#: Another stream of the same principal has taken this one's place: connecting again would only drive that one out.
REPLACED = 4409

#: Streams of one principal. A phone needs one; each line it lost may stand here until a keep-alive goes unanswered.
#: Operators share a token among those who watch the map.
STREAMS_MAX = {Role.RIDER: 4, Role.DRIVER: 4, Role.OPERATOR: 100}

STREAMS = Gauge("hexhail_api_streams", "Open WebSocket streams", ["role"])


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a stream ends, as its close frame says."""

    code: int
    reason: str = ""

    @classmethod
    def of(cls, problem: ApiProblem) -> Ending:
        """4000 + the problem's status, and as much of it as a close reason holds: 123 bytes."""
        return cls(4000 + problem.status, f"{problem.code}: {problem.detail}"[:120])


@dataclass(eq=False, slots=True)
class _OpenStream:
    """A stream, and the token that it was opened with."""

    grant: Grant
    #: Done when the stream has to end before one of its sides does.
    ending: asyncio.Future[Ending]

    def end(self, ending: Ending) -> None:
        """Have the stream end; the first reason counts."""
        if not self.ending.done():
            self.ending.set_result(ending)


class OpenStreams:
    """The streams of each principal. One too many ends the oldest; a token that counts no more ends its own."""

    def __init__(self, revocations: RevocationWatch, now: Callable[[], float] = time.time) -> None:
        """``now`` gives wall seconds since 1970."""
        self._of: dict[Principal, list[_OpenStream]] = {}
        self._revocations = revocations
        self._now = now
        self._is_closing = False
        revocations.on_news = self._end_revoked

    @contextmanager
    def enter(self, grant: Grant) -> Iterator[asyncio.Future[Ending]]:
        """Be one of the principal's streams; the future is done when this one has to end, and says why."""
        stream = _OpenStream(grant, asyncio.get_running_loop().create_future())
        principal = grant.principal
        own = self._of.setdefault(principal, [])
        own.append(stream)
        if len(own) > STREAMS_MAX[principal.role]:
            own.pop(0).end(Ending(REPLACED))
        if self._revocations.refuses(grant):  # since its token was verified
            stream.end(Ending.of(token_refused(REVOKED)))
        if self._is_closing:
            stream.end(Ending(GOING_AWAY))
        watch = asyncio.create_task(self._end_expired(stream))
        STREAMS.labels(principal.role).inc()
        try:
            yield stream.ending
        finally:
            watch.cancel()
            STREAMS.labels(principal.role).dec()
            if stream in own:
                own.remove(stream)
            if not own and self._of.get(principal) is own:
                del self._of[principal]

    async def _end_expired(self, stream: _OpenStream) -> None:
        """Sleep until the token has expired by the wall clock, which may be set meanwhile; then end its stream."""
        while (left_s := stream.grant.expires_s - self._now()) > 0.0:
            await asyncio.sleep(min(left_s, CLOCK_LOOK_S))
        stream.end(Ending.of(token_refused(EXPIRED)))

    async def close(self, spread_s: float) -> None:
        """End every stream with 1012, the oldest first, evenly over ``spread_s`` wall seconds; new ones at once.

        Clients that all come back in the same moment would be a wave for the processes that are left.
        """
        self._is_closing = True
        streams = [stream for own in self._of.values() for stream in own]
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number, stream in enumerate(streams, start=1):
            stream.end(Ending(GOING_AWAY))
            due_s = began_s + spread_s * number / len(streams)
            if due_s - loop.time() >= CLOSE_STEP_S or number == len(streams):
                await asyncio.sleep(max(0.0, due_s - loop.time()))

    def _end_revoked(self) -> None:
        for stream in [stream for own in self._of.values() for stream in own]:
            if self._revocations.refuses(stream.grant):
                stream.end(Ending.of(token_refused(REVOKED)))


async def accept(socket: WebSocket, access: AccessEdges, *roles: Role) -> Grant | None:
    """Accept a socket whose token is of one of the roles; None after closing it with 4401 or 4403.

    The token comes in the Authorization header or, from browsers, which cannot set one, as the subprotocol
    `bearer.<token>` beside `hexhail.v1`. The socket is accepted even to be refused: only then can a browser read why.
    """
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        grant = grant_of(_token(socket, offered), access)
        _share_budget(socket, require_role(grant.principal, *roles))
    except ApiProblem as problem:
        await refuse(socket, problem)
        return None
    return grant


def _share_budget(socket: WebSocket, principal: Principal) -> None:
    """Have the stream's frames counted as the person's too. Raises ApiProblem 429 if the person has sent too much."""
    people: PersonBudgets = socket.app.state.person_budgets
    person = people.open_stream(principal, asyncio.get_running_loop().time())
    if person is None:
        detail = "You sent more than a person may, over all streams."
        raise ApiProblem(429, "too_many_frames", detail, "Wait some seconds before you connect again.")
    stream = budget_of(socket)
    if stream is not None:
        stream.share(person)


def _token(socket: WebSocket, offered: list[str]) -> str | None:
    header: str = socket.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[7:].strip()
    return next((name.removeprefix(_BEARER) for name in offered if name.startswith(_BEARER)), None)


async def refuse(socket: WebSocket, problem: ApiProblem) -> None:
    """Close an accepted socket with 4000 + the problem's status."""
    ending = Ending.of(problem)
    await _close_quietly(socket, ending.code, ending.reason)


async def converse(socket: WebSocket, grant: Grant, *sides: Coroutine[Any, Any, None]) -> None:
    """Run the sides of a stream until one of them ends, its token does, or a newer stream takes its place.

    Then close the socket.
    """
    streams: OpenStreams = socket.app.state.open_streams
    with streams.enter(grant) as ending:
        tasks = [asyncio.create_task(side) for side in sides]
        try:
            waited: set[asyncio.Future[Any]] = {*tasks, ending}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(tasks)
        reason_to_close = ending.result() if ending.done() else Ending(TRY_AGAIN_LATER)
    outages = edges_of(socket.scope).access.outages
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
            is_ours = failures.problem_of_failure(error, outages).status == 500
            reason_to_close = Ending(INTERNAL_ERROR if is_ours else TRY_AGAIN_LATER)
    await _close_quietly(socket, reason_to_close.code, reason_to_close.reason)


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and return when they have ended.

    Once is not enough: Python 3.11's `asyncio.wait_for`, through which redis-py writes, loses a cancellation that
    comes in the same turn of the loop as the result it waits for.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


async def send(socket: WebSocket, text: str) -> None:
    """Send within the time limit. Raises WebSocketDisconnect for a peer that is gone or does not read."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_text(text)
    except (TimeoutError, RuntimeError) as error:
        raise WebSocketDisconnect(TRY_AGAIN_LATER) from error


async def send_json(socket: WebSocket, frame: dict[str, Any]) -> None:
    """Send a frame as JSON; see `send`."""
    await send(socket, msgspec.json.encode(frame).decode())


async def _close_quietly(socket: WebSocket, code: int, reason: str | None = None) -> None:
    """Close a socket that may be closed already."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(1.0):
            await socket.close(code, reason)
