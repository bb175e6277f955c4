"""Bodies of token revocations."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from api.auth.revocations import Revocation
from api.auth.tokens import SUBJECT_LENGTH_MAX, SUBJECT_PATTERN, TOKEN_ID_LENGTH_MAX, Role
from api.schemas.base import Strict

WallSeconds = Annotated[float, Field(description="seconds since 1970 on the wall clock, as in tokens")]


class RevokeRequest(Strict):
    """What to revoke: one token by its id, or every token issued so far to a subject."""

    token_id: Annotated[
        str | None, Field(min_length=1, max_length=TOKEN_ID_LENGTH_MAX, description="the token's `jti`")
    ] = None
    role: Annotated[Role | None, Field(description="with `subject`: whose tokens")] = None
    subject: Annotated[str | None, Field(max_length=SUBJECT_LENGTH_MAX, pattern=SUBJECT_PATTERN)] = None
    reason: Annotated[str, Field(min_length=3, max_length=500, description="kept on record")]

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        by_subject = self.role is not None and self.subject is not None
        by_half = (self.role is None) != (self.subject is None)
        if by_half or by_subject == (self.token_id is not None):
            raise ValueError("give either token_id, or role and subject")
        return self


class RevocationBody(BaseModel):
    """A recorded revocation."""

    token_id: str | None
    role: Role | None
    subject: str | None
    revoked_s: WallSeconds
    until_s: Annotated[float, Field(description="wall seconds; every revoked token has expired by then")]
    reason: str
    operator: str

    @classmethod
    def of(cls, revocation: Revocation) -> RevocationBody:
        """Convert a revocation."""
        principal = revocation.principal
        return cls(
            token_id=revocation.token_id,
            role=principal.role if principal else None,
            subject=principal.id if principal else None,
            revoked_s=revocation.revoked_s,
            until_s=revocation.until_s,
            reason=revocation.reason,
            operator=revocation.by,
        )


class RevocationsBody(BaseModel):
    """All revocations in force."""

    revocations: list[RevocationBody] = Field(description="the newest first")
