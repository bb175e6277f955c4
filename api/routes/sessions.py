"""Routes for signing in with an ID token, and for the public keys of our own tokens."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.responses import JSONResponse

from api.auth.issuers import IdTokenRefused
from api.auth.sign_in import IssuerUnavailable
from api.edges import AccessDep
from api.problems import ApiProblem
from api.schemas.sessions import SessionBody, SessionRequest

router = APIRouter(tags=["everyone"])

#: Seconds for which others may keep our public keys: shorter than a new key is known before it signs.
KEYS_MAX_AGE_S = 60
RETRY_AFTER_S = 10


@router.post("/v1/sessions", status_code=201, summary="Exchange an ID token for a token of this API")
async def sign_in(body: SessionRequest, access: AccessDep) -> SessionBody:
    """For people of the OpenID Connect issuers that the operator trusts; needs no token of this API.

    The issuer decides the role. The id is the issuer's name here and the subject there: the same person, the same id.
    """
    if access.sign_in is None:
        detail = "This service exchanges no ID tokens."
        raise ApiProblem(404, "no_issuers", detail, "Ask the operator for a token, or to set HEXHAIL_OIDC_FILE.")
    try:
        principal, issuer = await access.sign_in.principal_of(body.id_token)
    except IdTokenRefused as error:
        hint = "Sign in with the issuer again and send the ID token that you get, at once."
        raise ApiProblem(401, "id_token_refused", f"The ID token was refused: {error}.", hint) from error
    except IssuerUnavailable as error:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise ApiProblem(
            503, "issuer_unavailable", f"Nobody can sign in: {error}.", "Try again.", headers=headers
        ) from error
    token = access.tokens.issue(principal.role, principal.id, issuer.token_life_s)
    return SessionBody(
        token=token, role=principal.role, subject=principal.id, expires_s=int(time.time()) + issuer.token_life_s
    )


@router.get("/.well-known/jwks.json", summary="The public keys that verify tokens of this API")
async def public_keys(access: AccessDep) -> JSONResponse:
    """A JWK Set (RFC 7517), also of keys that will sign later; empty where keys are shared secrets."""
    headers = {"Cache-Control": f"public, max-age={KEYS_MAX_AGE_S}"}
    return JSONResponse(access.tokens.keys.public_set(), headers=headers)
