"""The keys of tokens: each for one algorithm, one of them signs, all of them verify. Pure: times are wall seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from kernel.keyring import KeyRing

#: The algorithm of keys that signer and verifier share.
SHARED = "HS256"
#: Algorithms of key pairs: whoever verifies needs the public half alone, and cannot sign with it.
PAIRS = ("EdDSA", "ES256")
#: Members of a JWK (RFC 7518, RFC 8037) that must never be published.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
#: Our own member: the wall second from which a key signs, so that every process knows it before that.
SIGNS_FROM = "signs_from_s"
KEY_ID_LENGTH_MAX = 64


class KeySetRefused(ValueError):
    """The keys cannot be used; the message says which one and why, without any of its secret."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key, for one algorithm: what a token says about its algorithm is never believed."""

    key_id: str
    algorithm: str
    verifying: Any = field(repr=False)
    #: None for a key that only verifies.
    signing: Any = field(default=None, repr=False)
    signs_from_s: float = 0.0
    #: The public half as a JWK; None for a shared key, which has no public half.
    public_jwk: Mapping[str, Any] | None = None


class TokenKeys:
    """The keys of an installation by their ids."""

    def __init__(self, keys: Iterable[TokenKey]) -> None:
        """The keys, preferred ones first. Raises KeySetRefused if none of them signs, or two have the same id."""
        self._keys: dict[str, TokenKey] = {}
        for key in keys:
            if key.key_id in self._keys:
                raise KeySetRefused(f"two keys have the id {key.key_id!r}")
            self._keys[key.key_id] = key
        if not any(key.signing is not None for key in self._keys.values()):
            raise KeySetRefused("no key signs: at least one needs its private half")

    @classmethod
    def of_secrets(cls, ring: KeyRing) -> TokenKeys:
        """The keys of an installation that has shared secrets alone."""
        return cls(shared_keys(ring))

    def find(self, key_id: object) -> TokenKey | None:
        """Return the key of this id, None if there is none; ``key_id`` may be anything that a token claims."""
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def signer(self, now_s: float) -> TokenKey:
        """Return the key that signs now: of those whose time has come the newest, the first of equals.

        While the time of none has come, the first whose time comes.
        """
        signing = [key for key in self._keys.values() if key.signing is not None]
        due = [key for key in signing if key.signs_from_s <= now_s]
        return max(due, key=lambda key: key.signs_from_s) if due else min(signing, key=lambda key: key.signs_from_s)

    def public_set(self) -> dict[str, Any]:
        """Return the public halves as a JWK Set (RFC 7517), also of keys that sign later; shared keys have none."""
        return {"keys": [dict(key.public_jwk) for key in self._keys.values() if key.public_jwk is not None]}

    def __repr__(self) -> str:
        return f"TokenKeys({', '.join(self._keys)})"


def shared_keys(ring: KeyRing) -> list[TokenKey]:
    """Return the keys of a ring as keys of tokens; the one that signs comes first."""
    return [TokenKey(key_id, SHARED, ring.find(key_id), ring.find(key_id)) for key_id in ring.ids]


def read_key_set(text: str) -> list[TokenKey]:
    """Return the keys of a JWK Set, with their private halves where it has them.

    Raises KeySetRefused.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise KeySetRefused(f"it is no JSON: {error.msg} in line {error.lineno}") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeySetRefused('it is no JWK Set: a JSON object with a list "keys" was expected')
    return [_read_key(number, entry) for number, entry in enumerate(entries, 1)]


def _read_key(number: int, entry: Any) -> TokenKey:
    if not isinstance(entry, dict):
        raise KeySetRefused(f"key {number} is no JSON object")
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_LENGTH_MAX:
        raise KeySetRefused(f'key {number} needs a "kid" of 1 to {KEY_ID_LENGTH_MAX} characters')
    signs_from_s = entry.get(SIGNS_FROM, 0.0)
    if isinstance(signs_from_s, bool) or not isinstance(signs_from_s, (int, float)):
        raise KeySetRefused(f'key {key_id!r}: "{SIGNS_FROM}" is no number of seconds since 1970')
    try:
        read = jwt.PyJWK(entry)
    except jwt.PyJWTError as error:
        raise KeySetRefused(f"key {key_id!r} cannot be read: {error}") from error
    if read.algorithm_name not in PAIRS:
        raise KeySetRefused(f"key {key_id!r} is for {read.algorithm_name}; expected one of {', '.join(PAIRS)}")
    is_private = "d" in entry
    verifying = read.key.public_key() if is_private else read.key
    public = {name: value for name, value in entry.items() if name not in _PRIVATE_MEMBERS and name != SIGNS_FROM}
    public |= {"alg": read.algorithm_name, "use": "sig"}
    return TokenKey(
        key_id, read.algorithm_name, verifying, read.key if is_private else None, float(signs_from_s), public
    )
