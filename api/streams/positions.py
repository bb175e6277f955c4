"""Tells drivers on their streams when their position does not count, why, and when it counts again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.pings import position_body
from api.position_watch import PositionWatch
from api.streams import sockets
from location_ingest.model import Standing


@contextmanager
def telling(watch: PositionWatch, driver_id: str, socket: WebSocket) -> Iterator[None]:
    """Send the driver's standing to the socket as it changes."""
    sending = set[asyncio.Task[None]]()

    def tell(standing: Standing) -> None:
        # In a task of its own: a phone that does not read holds nobody else up.
        task = asyncio.create_task(_send(socket, {"type": "position", **position_body(standing)}))
        sending.add(task)
        task.add_done_callback(sending.discard)

    watch.listen(driver_id, tell)
    try:
        yield
    finally:
        watch.leave(driver_id, tell)


async def _send(socket: WebSocket, frame: dict[str, Any]) -> None:
    with suppress(WebSocketDisconnect):
        await sockets.send_json(socket, frame)
