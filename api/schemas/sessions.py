"""Bodies of signing in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from api.auth.tokens import Role
from api.schemas.base import Strict


class SessionRequest(Strict):
    """An ID token of an issuer that the operator trusts."""

    id_token: Annotated[str, Field(min_length=1, max_length=16_384, description="as the issuer gave it, a signed JWT")]


class SessionBody(BaseModel):
    """A token of this API, and for whom it is."""

    token: Annotated[str, Field(description="send it as 'Authorization: Bearer <token>'")]
    role: Role
    subject: Annotated[str, Field(description="the id of the rider, driver or operator")]
    expires_s: Annotated[float, Field(description="seconds since 1970 on the wall clock; exchange again before that")]
