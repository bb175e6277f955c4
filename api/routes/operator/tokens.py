"""Routes that revoke tokens: of a lost phone, a driver who left, a leaked key."""

from __future__ import annotations

import time

from fastapi import APIRouter

from api.access import OperatorDep
from api.auth.revocations import revoke_subject, revoke_token
from api.auth.tokens import Principal
from api.edges import AccessDep
from api.schemas.tokens import RevocationBody, RevocationsBody, RevokeRequest

router = APIRouter(prefix="/v1/ops/tokens", tags=["operators"])

#: Revocations shown at once.
SHOWN_MAX = 500


@router.post("/revoke", summary="Have a token, or all of somebody's, count no more")
async def revoke(body: RevokeRequest, access: AccessDep, operator: OperatorDep) -> RevocationBody:
    """Every API process obeys within seconds; open streams of these tokens are closed with 4401.

    By role and subject, every token issued until now, and within five seconds after now, is refused; later ones count.
    """
    if body.token_id is not None:
        revocation = revoke_token(body.token_id, time.time(), operator.id, body.reason)
    else:
        assert body.role is not None  # the schema has seen to it
        assert body.subject is not None
        revocation = revoke_subject(Principal(body.role, body.subject), time.time(), operator.id, body.reason)
    await access.revocations.revoke(revocation)
    return RevocationBody.of(revocation)


@router.get("/revocations", summary="What is revoked, by whom and why")
async def read_revocations(access: AccessDep, operator: OperatorDep) -> RevocationsBody:
    """As long as a token that is refused could live."""
    return RevocationsBody(revocations=[RevocationBody.of(one) for one in access.revocations.all()[:SHOWN_MAX]])
