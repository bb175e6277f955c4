"""Authentication and authorisation of routes, as FastAPI dependencies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.abuse.rates import RouteKind, kind_of
from api.auth.tokens import Grant, Principal, Role, TokenInvalid
from api.edges import AccessDep, AccessEdges
from api.problems import ApiProblem

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="`hexhail token --role rider --subject alice`")
TOKEN_HINT = "Send 'Authorization: Bearer <token>'; for a demo: hexhail token --help."  # noqa: S105 - names no token

EXPIRED, REVOKED = "it has expired", "it was revoked"
#: The entry of a request's scope in which `RateLimitHeaders` finds its headers.
RATE_LIMIT = "hexhail.rate_limit"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def grant_of(token: str | None, access: AccessEdges) -> Grant:
    """Return what a token grants. Raises ApiProblem 401 for one that is missing, invalid, expired or revoked."""
    if not token:
        raise ApiProblem(401, "token_missing", "This operation needs a token.", TOKEN_HINT, headers=_CHALLENGE)
    try:
        grant = access.tokens.verify(token)
    except TokenInvalid as error:
        raise token_refused(str(error)) from error
    if access.revocations.refuses(grant):
        raise token_refused(REVOKED)
    return grant


def token_refused(why: str) -> ApiProblem:
    """The problem of a token that does not count, or no longer."""
    return ApiProblem(401, "token_invalid", f"The token was refused: {why}.", TOKEN_HINT, headers=_CHALLENGE)


def require_role(principal: Principal, *roles: Role) -> Principal:
    """Return the principal, if of one of the roles. Raises ApiProblem 403."""
    if principal.role not in roles:
        wanted = " or ".join(roles)
        raise ApiProblem(403, "wrong_role", f"A {principal.role} may not do this.", f"Use the token of a {wanted}.")
    return principal


async def count_request(scope: Scope, access: AccessEdges, principal: Principal, kind: RouteKind) -> None:
    """Count a request of a person; `RateLimitHeaders` tells what is left. Raises ApiProblem 429."""
    taken = await access.limits.take(principal, kind)
    if taken is None:
        return
    scope[RATE_LIMIT] = taken.headers
    if not taken.verdict.is_allowed:
        detail = f"You sent more than the {taken.rate.burst} {kind} that may come in {taken.rate.window_s} s."
        hint = "Wait Retry-After seconds; see RateLimit for what is left."
        headers = {"Retry-After": str(taken.verdict.retry_after_s)}
        raise ApiProblem(429, "too_many_requests", detail, hint, headers=headers)


def _for(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    # A coroutine although it waits for nothing: FastAPI sends plain functions to a thread each.
    async def principal(
        request: Request,
        access: AccessDep,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Principal:
        grant = grant_of(credentials.credentials if credentials else None, access)
        principal = require_role(grant.principal, *roles)
        await count_request(request.scope, access, principal, kind_of(request.method))
        return principal

    return principal


RiderDep = Annotated[Principal, Depends(_for(Role.RIDER))]
DriverDep = Annotated[Principal, Depends(_for(Role.DRIVER))]
RiderOrDriverDep = Annotated[Principal, Depends(_for(Role.RIDER, Role.DRIVER))]
OperatorDep = Annotated[Principal, Depends(_for(Role.OPERATOR))]
AnyoneDep = Annotated[Principal, Depends(_for(*Role))]


class RateLimitHeaders:
    """ASGI middleware: answers say what is left of the person's budget of requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers of its count to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and RATE_LIMIT in scope:
                said = [(name.lower().encode(), value.encode()) for name, value in scope[RATE_LIMIT].items()]
                message["headers"] = [*message.get("headers", ()), *said]
            await send(message)

        await self._app(scope, receive, told)
