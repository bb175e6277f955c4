"""Issues and verifies signed tokens (JWT) that name a principal and a role."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

import jwt

from kernel.keyring import KeyRing

#: Pinned: what a token says about its own algorithm is never believed.
ALGORITHM = "HS256"
AUDIENCE = "hexhail.api"
ISSUER = "hexhail"
#: Ids appear in Redis keys and in lists separated by blanks.
SUBJECT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
SUBJECT_LENGTH_MAX = 64


class Role(StrEnum):
    """What a principal may do."""

    RIDER = "rider"
    DRIVER = "driver"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated user: role and id."""

    role: Role
    id: str

    @property
    def inbox(self) -> str:
        """Name of the principal's inbox."""
        return f"{self.role}:{self.id}"


class TokenInvalid(Exception):
    """The token is forged, expired, or not for this API; the message says which."""


class Tokens:
    """Issues and verifies the tokens of an installation."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def issue(self, role: Role, subject: str, life_s: float = 3600.0) -> str:
        """Return a token for a principal, good for `life_s` wall seconds. Raises ValueError for an id that is none."""
        if not _is_id(subject):
            raise ValueError(
                f"an id has 1 to {SUBJECT_LENGTH_MAX} of letters, digits, '-', '_' and '.': not {subject!r}"
            )
        now_s = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "role": role.value,
            "iat": now_s,
            "exp": now_s + int(life_s),
        }
        return jwt.encode(claims, self._keys.signing_key, ALGORITHM, headers={"kid": self._keys.signing_id})

    def verify(self, token: str) -> Principal:
        """Return whom the token was issued for. Raises TokenInvalid."""
        try:
            key = self._keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise TokenInvalid("it was signed with a key that is not in use")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "sub", "role"]},
            )
            if not _is_id(claims["sub"]):
                raise TokenInvalid("its subject is no id")
            return Principal(Role(claims["role"]), claims["sub"])
        except jwt.ExpiredSignatureError:
            raise TokenInvalid("it has expired") from None
        # ValueError and the like: what hostile text provokes below PyJWT's own errors.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenInvalid("it is malformed or its signature does not fit") from error


def _is_id(subject: str) -> bool:
    return 0 < len(subject) <= SUBJECT_LENGTH_MAX and SUBJECT_CHARACTERS.issuperset(subject)
