"""Limits of a request body, its size and the time it takes to arrive; and of what browsers make of an answer."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ApiProblem

#: The largest legal body is a batch of pings that a phone kept back for two hours: about a quarter of this.
BODY_BYTES_MAX = 512 * 1024
#: Wall seconds. A phone on a poor line sends the largest body within this; who takes longer holds a socket for nothing.
BODY_S_MAX = 20.0


class BodyLimits:
    """ASGI middleware; what is left of a refused body is read and thrown away, so that the refusal is heard."""

    def __init__(self, app: ASGIApp, bytes_max: int = BODY_BYTES_MAX, s_max: float = BODY_S_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._s_max = s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that ends in time, or in an ApiProblem where it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._bytes_max:
            await self._too_large().response()(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        deadline = asyncio.get_running_loop().time() + self._s_max
        taken = 0
        is_whole = False

        async def bounded() -> Message:
            nonlocal taken, is_whole
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            taken += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if taken > self._bytes_max:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> ApiProblem:
        return ApiProblem(413, "body_too_large", f"A body has at most {self._bytes_max} bytes.", "Send less at once.")

    def _too_slow(self) -> ApiProblem:
        detail = f"The body was not there within {self._s_max:.0f} s."
        hint = "Send the request again, over a better line or in smaller parts."
        return ApiProblem(408, "body_too_slow", detail, hint, headers={"Connection": "close"})


class SafeHeaders:
    """ASGI middleware: no browser guesses another type for an answer than the one that it states."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the header to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
            await send(message)

        await self._app(scope, receive, safe)
