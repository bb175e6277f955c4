"""Which tokens no longer count although they have not expired. Pure: times are wall seconds, given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from api.auth.tokens import CLOCK_LEEWAY_S, TOKEN_LIFE_S_MAX, Grant, Principal


@dataclass(frozen=True, slots=True)
class Revocation:
    """One token, by its id, or every token that a principal was issued until a moment."""

    #: What is revoked: exactly one of the two.
    token_id: str | None
    principal: Principal | None
    revoked_s: float
    #: When it may be forgotten: every token that it refuses has expired by then.
    until_s: float
    #: The operator, and why.
    by: str
    reason: str

    def __post_init__(self) -> None:
        if (self.token_id is None) == (self.principal is None):
            raise ValueError("a revocation is of a token_id or of a principal, and not of both")

    @property
    def name(self) -> str:
        """What is revoked, as one word: `token:<jti>` or `subject:<role>:<id>`."""
        return f"token:{self.token_id}" if self.principal is None else f"subject:{self.principal.inbox}"


def revoke_token(token_id: str, now_s: float, by: str, reason: str, expires_s: float | None = None) -> Revocation:
    """Return the revocation of one token; without its `exp` it is kept for as long as any token lives."""
    until_s = now_s + TOKEN_LIFE_S_MAX if expires_s is None else expires_s
    return Revocation(token_id, None, now_s, until_s + CLOCK_LEEWAY_S, by, reason)


def revoke_subject(principal: Principal, now_s: float, by: str, reason: str) -> Revocation:
    """Return the revocation of all tokens that the principal was issued so far."""
    return Revocation(None, principal, now_s, now_s + TOKEN_LIFE_S_MAX + CLOCK_LEEWAY_S, by, reason)


class Revocations:
    """The revocations that count, as one process knows them."""

    def __init__(self) -> None:
        self._by_name: dict[str, Revocation] = {}
        self._token_ids: set[str] = set()
        self._revoked_s: dict[Principal, float] = {}

    def refuses(self, grant: Grant) -> bool:
        """Return whether the token behind the grant was revoked.

        Of a subject's tokens those are refused that were issued before the revocation, or up to the leeway after it:
        the issuer's clock may be so far ahead.
        """
        if grant.token_id is not None and grant.token_id in self._token_ids:
            return True
        revoked_s = self._revoked_s.get(grant.principal)
        return revoked_s is not None and grant.issued_s <= revoked_s + CLOCK_LEEWAY_S

    def add(self, revocation: Revocation) -> None:
        """Take one more into account; of two for one subject the later counts."""
        held = self._by_name.get(revocation.name)
        if held is not None and held.revoked_s >= revocation.revoked_s:
            return
        self._by_name[revocation.name] = revocation
        if revocation.token_id is not None:
            self._token_ids.add(revocation.token_id)
        elif revocation.principal is not None:
            self._revoked_s[revocation.principal] = revocation.revoked_s

    def update(self, revocations: Iterable[Revocation], now_s: float) -> None:
        """Take these into account and forget what no unexpired token needs; none is taken back."""
        kept = [one for one in self._by_name.values() if one.until_s > now_s]
        self._by_name, self._token_ids, self._revoked_s = {}, set(), {}
        for one in (*kept, *revocations):
            if one.until_s > now_s:
                self.add(one)

    def all(self) -> list[Revocation]:
        """Return all of them, the newest first."""
        return sorted(self._by_name.values(), key=lambda one: (-one.revoked_s, one.name))
