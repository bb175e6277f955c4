"""The operators' stream: the live picture, about two frames a second."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.websockets import WebSocket

from api.auth.tokens import Role
from api.edges import AccessDep
from api.streams import sockets
from api.streams.live import LiveFeedDep

router = APIRouter()


@router.websocket("/v1/ops/stream")
async def live_stream(socket: WebSocket, access: AccessDep, feed: LiveFeedDep) -> None:
    """About two frames a second; the newest counts."""
    grant = await sockets.accept(socket, access, Role.OPERATOR)
    if grant is None:
        return
    queue = feed.watch()
    try:
        await sockets.converse(socket, grant, _push(socket, queue), _until_hang_up(socket))
    finally:
        feed.leave(queue)


async def _push(socket: WebSocket, queue: asyncio.Queue[str]) -> None:
    while True:
        await sockets.send(socket, await queue.get())


async def _until_hang_up(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
