"""Issues and verifies signed tokens (JWT) that name a principal and a role."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt

from api.auth.token_keys import TokenKeys

AUDIENCE = "hexhail.api"
ISSUER = "hexhail"
#: Ids appear in Redis keys and in lists separated by blanks.
SUBJECT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
SUBJECT_LENGTH_MAX = 64
SUBJECT_PATTERN = r"^[A-Za-z0-9_.-]+$"
#: Of a token's own id, `jti`: as long as any issuer makes them.
TOKEN_ID_LENGTH_MAX = 128
#: Wall seconds that an issuer's clock may be ahead of ours: many times what machines differ by that use NTP.
CLOCK_LEEWAY_S = 5.0
#: Wall seconds. A revoked subject is remembered for so long: no token may outlive that.
TOKEN_LIFE_S_MAX = 366 * 86_400.0


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


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says: who may act, and until when; times are wall seconds."""

    principal: Principal
    expires_s: float
    #: 0 if the issuer does not say: then the token is as old as can be.
    issued_s: float = 0.0
    #: `jti`; None if the issuer gave it none: such a token can be revoked by its subject alone.
    token_id: str | None = None


class TokenInvalid(Exception):
    """The token is forged, expired, revoked or not for this API; the message says which."""


class Tokens:
    """Issues and verifies the tokens of an installation."""

    def __init__(self, keys: TokenKeys, now: Callable[[], float] = time.time) -> None:
        """``now`` gives wall seconds since 1970."""
        self._keys = keys
        self._now = now

    @property
    def keys(self) -> TokenKeys:
        """The keys in use."""
        return self._keys

    def use(self, keys: TokenKeys) -> None:
        """Sign and verify with these keys from now on."""
        self._keys = keys

    def issue(self, role: Role, subject: str, life_s: float = 3600.0) -> str:
        """Return a token for a principal, good for `life_s` wall seconds. Raises ValueError for an id that is none."""
        if not is_id(subject):
            raise ValueError(
                f"an id has 1 to {SUBJECT_LENGTH_MAX} of letters, digits, '-', '_' and '.': not {subject!r}"
            )
        now_s = int(self._now())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "role": role.value,
            "iat": now_s,
            "exp": now_s + int(life_s),
            "jti": uuid.uuid4().hex,
        }
        signer = self._keys.signer(self._now())
        return jwt.encode(claims, signer.signing, signer.algorithm, headers={"kid": signer.key_id})

    def verify(self, token: str) -> Grant:
        """Return what the token grants. Raises TokenInvalid; whether it was revoked, others know."""
        try:
            key = self._keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise TokenInvalid("it was signed with a key that is not in use")
            claims = jwt.decode(
                token,
                key.verifying,
                # Pinned by the key: what a token says about its own algorithm is never believed.
                algorithms=[key.algorithm],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Times are checked below: PyJWT would give an expired token the same leeway.
                options={
                    "require": ["exp", "sub", "role"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            return _grant(claims, self._now())
        # ValueError and the like: what hostile text provokes below PyJWT's own errors.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise TokenInvalid("it is malformed or its signature does not fit") from error


def _grant(claims: Mapping[str, Any], now_s: float) -> Grant:
    """What the claims of a genuine token grant now. Raises TokenInvalid, and ValueError for claims that are none."""
    expires_s, issued_s, begins_s = (_time_of(claims, name) for name in ("exp", "iat", "nbf"))
    if expires_s <= now_s:
        raise TokenInvalid("it has expired")
    if expires_s > now_s + TOKEN_LIFE_S_MAX + CLOCK_LEEWAY_S:
        raise TokenInvalid(f"it would live longer than {TOKEN_LIFE_S_MAX / 86_400:.0f} days")
    if max(issued_s, begins_s) > now_s + CLOCK_LEEWAY_S:
        raise TokenInvalid(f"it is not valid yet, by more than the {CLOCK_LEEWAY_S:g} s that clocks may differ")
    if not is_id(claims["sub"]):
        raise TokenInvalid("its subject is no id")
    token_id = claims.get("jti")
    if token_id is not None and not (isinstance(token_id, str) and 0 < len(token_id) <= TOKEN_ID_LENGTH_MAX):
        raise TokenInvalid(f"its jti is no text of 1 to {TOKEN_ID_LENGTH_MAX} characters")
    return Grant(Principal(Role(claims["role"]), claims["sub"]), expires_s, issued_s, token_id)


def _time_of(claims: Mapping[str, Any], name: str) -> float:
    """The Unix seconds of a claim, 0 if it is absent. Raises ValueError for what is no time."""
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is no time")
    return float(value)


def is_id(subject: str) -> bool:
    """Return whether a text can be the id of a rider, driver or operator."""
    return 0 < len(subject) <= SUBJECT_LENGTH_MAX and SUBJECT_CHARACTERS.issuperset(subject)
