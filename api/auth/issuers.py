"""OpenID Connect issuers that an installation trusts, and what their ID tokens say. Pure: times are wall seconds."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jwt

from api.auth.tokens import CLOCK_LEEWAY_S, SUBJECT_LENGTH_MAX, TOKEN_LIFE_S_MAX, Principal, Role, is_id

#: What issuers sign with: algorithms with a public half only, so that nobody signs with what everybody can read.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
#: Characters of the hash that stands for a subject that is no id.
_HASH_LENGTH = 32
_NAME_LENGTH_MAX = SUBJECT_LENGTH_MAX - _HASH_LENGTH - 1


class IdTokenRefused(Exception):
    """The ID token does not prove who signs in; the message says why."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, and who its people are here."""

    #: Ids of its people here begin with it: issuers do not know each other's subjects.
    name: str
    #: Its `iss`, to the letter; its keys are found by `/.well-known/openid-configuration` below it.
    issuer: str
    #: The client id that ID tokens must be for.
    audience: str
    role: Role
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    #: Claims that must be so; where a claim is a list, it must hold the value.
    claims: dict[str, str | bool] = field(default_factory=dict)
    #: An ID token is exchanged soon after it was made, or not at all.
    id_token_age_s_max: float = 600.0
    #: Of the tokens that are given for it.
    token_life_s: float = 3600.0

    def __post_init__(self) -> None:
        if not is_id(self.name) or len(self.name) > _NAME_LENGTH_MAX:
            raise ValueError(f"name needs 1 to {_NAME_LENGTH_MAX} of letters, digits, '-', '_' and '.'")
        if not self.issuer.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("issuer needs https")
        if not self.audience:
            raise ValueError("audience needs the client id that ID tokens are for")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise ValueError(f"algorithms needs some of {', '.join(ALGORITHMS)}")
        if not 0 < self.id_token_age_s_max <= 86_400:
            raise ValueError("id_token_age_s_max needs more than 0 and at most a day")
        if not 60 <= self.token_life_s <= TOKEN_LIFE_S_MAX:
            raise ValueError(f"token_life_s needs 60 to {TOKEN_LIFE_S_MAX:.0f}")

    def id_of(self, subject: str) -> str:
        """Return the id here of a subject there: readable where the subject is an id, else a hash of it."""
        plain = f"{self.name}-{subject}"
        if is_id(plain):
            return plain
        digest = base64.b32encode(hashlib.sha256(subject.encode()).digest()).decode().lower()
        return f"{self.name}-{digest[:_HASH_LENGTH]}"


@dataclass(frozen=True, slots=True)
class OidcParams:
    """The issuers: `[[oidc.issuers]]`, one table each."""

    SECTION: ClassVar[str] = "oidc"

    issuers: tuple[Issuer, ...] = ()

    def __post_init__(self) -> None:
        for what in ("name", "issuer"):
            values = [getattr(one, what) for one in self.issuers]
            if len(set(values)) < len(values):
                raise ValueError(f"issuers need a {what} of their own each")


def issuer_of(token: str, issuers: Sequence[Issuer]) -> Issuer:
    """Return the issuer that an ID token claims to be of, unproven. Raises IdTokenRefused for any other."""
    try:
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise IdTokenRefused("it is no signed JWT") from error
    for issuer in issuers:
        if issuer.issuer == claimed:
            return issuer
    raise IdTokenRefused("its issuer is none that this service trusts")


def candidates(token: str, issuer: Issuer, keys: Sequence[jwt.PyJWK]) -> list[jwt.PyJWK]:
    """Return the issuer's keys that may have signed a token: the one that it names; all, where it names none.

    Raises IdTokenRefused for a token that cannot be read, or of another algorithm than the issuer's.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise IdTokenRefused("it is no signed JWT") from error
    if header.get("alg") not in issuer.algorithms:
        raise IdTokenRefused(f"it is not signed by {' or '.join(issuer.algorithms)}")
    fitting = [key for key in keys if key.algorithm_name == header["alg"]]
    return fitting if "kid" not in header else [key for key in fitting if key.key_id == header["kid"]]


def verify(token: str, issuer: Issuer, keys: Sequence[jwt.PyJWK], now_s: float) -> Principal:
    """Return who signs in with an ID token. Raises IdTokenRefused."""
    claims = _proven(token, issuer, keys)
    times = [claims[name] for name in ("exp", "iat")]
    if any(isinstance(time_s, bool) or not isinstance(time_s, (int, float)) for time_s in times):
        raise IdTokenRefused("its times are no numbers")
    expires_s, issued_s = times
    if expires_s <= now_s - CLOCK_LEEWAY_S:
        raise IdTokenRefused("it has expired")
    if issued_s > now_s + CLOCK_LEEWAY_S:
        raise IdTokenRefused("it was issued in the future")
    if issued_s < now_s - issuer.id_token_age_s_max - CLOCK_LEEWAY_S:
        raise IdTokenRefused(f"it was issued more than {issuer.id_token_age_s_max:.0f} s ago: sign in again")
    for name, wanted in issuer.claims.items():
        held = claims[name] if isinstance(claims.get(name), list) else [claims.get(name)]
        if not any(type(one) is type(wanted) and one == wanted for one in held):  # True is not 1
            raise IdTokenRefused(f"its claim {name!r} is not as this service requires")
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject:
        raise IdTokenRefused("it has no subject")
    return Principal(issuer.role, issuer.id_of(subject))


def _proven(token: str, issuer: Issuer, keys: Sequence[jwt.PyJWK]) -> Mapping[str, Any]:
    """The claims of a token that one of the keys signed, for this service; its times are not looked at."""
    for key in candidates(token, issuer, keys):
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[str(key.algorithm_name)],
                audience=issuer.audience,
                issuer=issuer.issuer,
                options={
                    "require": ["exp", "iat", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise IdTokenRefused(f"it is not for this service: {error}") from error
    raise IdTokenRefused("no key of its issuer signed it")
