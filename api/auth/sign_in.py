"""Exchanges ID tokens of trusted issuers for tokens of this API; an issuer's keys are fetched and kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import structlog

from api.auth.issuers import Issuer, candidates, issuer_of, verify
from api.auth.tokens import Principal

log = structlog.get_logger(__name__)

#: Wall seconds for which an issuer's keys are used without asking again.
KEYS_KEPT_S = 600.0
#: A token that names an unknown key has the keys fetched anew, at most this often: issuers rotate, and strangers guess.
REFETCH_S = 60.0
FETCH_TIMEOUT_S = 5.0
#: Of a document of an issuer; real ones have some thousand bytes.
DOCUMENT_BYTES_MAX = 262_144


class IssuerUnavailable(Exception):
    """The issuer's keys cannot be fetched: nobody of it can sign in for now."""


@dataclass(slots=True)
class _Known:
    """What is known of an issuer's keys."""

    keys: list[jwt.PyJWK] = field(default_factory=list)
    fetched_s: float = -float("inf")
    tried_s: float = -float("inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SignIn:
    """Tells who signs in with an ID token."""

    def __init__(
        self, issuers: Sequence[Issuer], http: httpx.AsyncClient, now: Callable[[], float] = time.time
    ) -> None:
        """``now`` gives wall seconds since 1970."""
        self._issuers = tuple(issuers)
        self._http = http
        self._now = now
        self._known = {issuer.issuer: _Known() for issuer in issuers}

    async def principal_of(self, id_token: str) -> tuple[Principal, Issuer]:
        """Return who signs in, and the issuer that says so. Raises IdTokenRefused, IssuerUnavailable."""
        issuer = issuer_of(id_token, self._issuers)
        candidates(id_token, issuer, [])  # refuses what is not worth a request
        keys = await self._keys(issuer, self._now() - KEYS_KEPT_S)
        if not candidates(id_token, issuer, keys):
            keys = await self._keys(issuer, self._now() - REFETCH_S)
        return verify(id_token, issuer, keys, self._now()), issuer

    async def _keys(self, issuer: Issuer, not_before_s: float) -> list[jwt.PyJWK]:
        """The issuer's keys, fetched after a moment; older ones go on while the issuer is away."""
        known = self._known[issuer.issuer]
        async with known.lock:
            if known.fetched_s < not_before_s and known.tried_s < self._now() - FETCH_TIMEOUT_S:
                known.tried_s = self._now()
                try:
                    known.keys = await self._fetch(issuer)
                    known.fetched_s = self._now()
                except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                    log.warning("issuer_unavailable", issuer=issuer.issuer, error=repr(error), known=len(known.keys))
            if not known.keys:
                raise IssuerUnavailable(f"the keys of {issuer.name} cannot be fetched")
            return known.keys

    async def _fetch(self, issuer: Issuer) -> list[jwt.PyJWK]:
        found = await self._get(f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found["issuer"] != issuer.issuer:
            raise ValueError(f"the configuration is of {found['issuer']!r}")
        entries = (await self._get(found["jwks_uri"]))["keys"]
        return [key for entry in entries if (key := _usable(entry)) is not None]

    async def _get(self, url: str) -> dict[str, Any]:
        answer = await self._http.get(url, timeout=FETCH_TIMEOUT_S)
        answer.raise_for_status()
        if len(answer.content) > DOCUMENT_BYTES_MAX:
            raise ValueError(f"{url} has {len(answer.content)} bytes")
        document = answer.json()
        if not isinstance(document, dict):
            raise TypeError(f"{url} is no JSON object")
        return document


def _usable(entry: Any) -> jwt.PyJWK | None:
    """A key for signatures; None for one of another use, or of a kind that we do not know."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK(entry)
    except jwt.PyJWTError:
        return None
