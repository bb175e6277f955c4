"""What all WebSockets share: who is there, and sending without waiting for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.edges import Edges, principal_of, require_role
from api.problems import ApiProblem
from api.tokens import Principal, Role

SUBPROTOCOL = "hexhail.v1"
_BEARER = "bearer."
#: A phone in a tunnel does not read; after so long it is cut off and resumes from where it was when it is back.
SEND_TIMEOUT_S = 10.0
TRY_AGAIN_LATER = 1013


async def accept(socket: WebSocket, edges: Edges, *roles: Role) -> Principal | None:
    """Accept a socket whose token is of one of the roles; None after closing it with 4401 or 4403.

    The token comes in the Authorization header or, from browsers, which cannot set one, as the subprotocol
    `bearer.<token>` beside `hexhail.v1`. The socket is accepted even to be refused: only then can a browser read why.
    """
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        return require_role(principal_of(_token(socket, offered), edges.tokens), *roles)
    except ApiProblem as problem:
        # A close reason holds 123 bytes.
        await socket.close(4000 + problem.status, f"{problem.code}: {problem.detail}"[:120])
        return None


def _token(socket: WebSocket, offered: list[str]) -> str | None:
    header: str = socket.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[7:].strip()
    return next((name.removeprefix(_BEARER) for name in offered if name.startswith(_BEARER)), None)


async def send(socket: WebSocket, text: str) -> None:
    """Send within the time limit. Raises WebSocketDisconnect for a peer that is gone or does not read."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_text(text)
    except (TimeoutError, RuntimeError) as error:
        raise WebSocketDisconnect(TRY_AGAIN_LATER) from error


async def close_quietly(socket: WebSocket, code: int) -> None:
    """Close a socket that may be closed already."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(1.0):
            await socket.close(code)


async def until_first_ends(*tasks: asyncio.Task[None]) -> None:
    """Wait until one of a socket's tasks ends, then end the others. Raises what a task raised, but for a hang-up."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        with suppress(WebSocketDisconnect):
            task.result()
