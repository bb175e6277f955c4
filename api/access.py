"""Authentication and authorisation of routes, as FastAPI dependencies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth.tokens import Grant, Principal, Role, TokenInvalid
from api.edges import AccessDep, AccessEdges
from api.problems import ApiProblem

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="`hexhail token --role rider --subject alice`")
TOKEN_HINT = "Send 'Authorization: Bearer <token>'; for a demo: hexhail token --help."  # noqa: S105 - names no token

EXPIRED, REVOKED = "it has expired", "it was revoked"
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


def _for(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    # A coroutine although it waits for nothing: FastAPI sends plain functions to a thread each.
    async def principal(
        access: AccessDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        grant = grant_of(credentials.credentials if credentials else None, access)
        return require_role(grant.principal, *roles)

    return principal


RiderDep = Annotated[Principal, Depends(_for(Role.RIDER))]
DriverDep = Annotated[Principal, Depends(_for(Role.DRIVER))]
RiderOrDriverDep = Annotated[Principal, Depends(_for(Role.RIDER, Role.DRIVER))]
OperatorDep = Annotated[Principal, Depends(_for(Role.OPERATOR))]
AnyoneDep = Annotated[Principal, Depends(_for(*Role))]
