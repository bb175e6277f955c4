"""Quotes as signed text: the rider carries the price, and nobody can change it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec

from pricing.errors import QuoteExpired, QuoteForged, QuoteOfAnotherRider, QuoteVersionUnknown
from pricing.model.quotes import Quote

# Pinned: what the text itself says about its algorithm is never believed.
ALGORITHM = "HS256"
# A token that lets a rider in, signed with the same key by mistake, is still not a quote.
AUDIENCE = "hexhail.quote"
# Raised when the meaning of the payload changes.
VERSION = 2
# RFC 7518, section 3.2: a key at least as long as the hash.
KEY_BYTES_MIN = 32
# A quote takes about 1,200 characters, and 3,200 with all the surcharges that a tariff may have.
SIGNED_LENGTH_MAX = 4096


class QuoteSigner:
    """Signs with the first of its keys and accepts all of them, so that a key can be replaced while quotes live."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """``keys``: key id -> secret. Raises ValueError if there is none, or one is too short."""
        if not keys:
            raise ValueError("a quote signer needs at least one key")
        for kid, key in keys.items():
            if len(key.encode()) < KEY_BYTES_MIN:
                raise ValueError(f"quote key {kid!r} must have at least {KEY_BYTES_MIN} bytes, not {len(key.encode())}")
        self._keys = dict(keys)
        self._signing_kid = next(iter(keys))

    def sign(self, quote: Quote) -> str:
        """Return the quote as text that `verify` gives back as it was."""
        payload = {"aud": AUDIENCE, "version": VERSION, "quote": msgspec.to_builtins(quote)}
        return jwt.encode(payload, self._keys[self._signing_kid], ALGORITHM, headers={"kid": self._signing_kid})

    def verify(self, signed: str, now_s: float, *, rider_id: str) -> Quote:
        """Return the quote, if it is ours, still holds at city time ``now_s``, and is this rider's.

        Raises QuoteForged, QuoteVersionUnknown, QuoteOfAnotherRider or QuoteExpired.
        """
        payload = self._payload(signed)
        if payload.get("version") != VERSION:
            raise QuoteVersionUnknown(payload.get("version"), VERSION)
        try:
            quote = msgspec.convert(payload.get("quote"), Quote)
        except msgspec.ValidationError as error:
            raise QuoteForged("its content is not that of a quote") from error
        if quote.rider_id != rider_id:
            raise QuoteOfAnotherRider
        if not now_s < quote.expires_s:
            raise QuoteExpired(quote.expires_s, now_s)
        return quote

    def _payload(self, signed: str) -> dict[str, Any]:
        if len(signed) > SIGNED_LENGTH_MAX:
            raise QuoteForged(f"it is longer than {SIGNED_LENGTH_MAX} characters")
        try:
            key = self._keys.get(jwt.get_unverified_header(signed).get("kid", ""))
            if key is None:
                raise QuoteForged("it was signed with a key that is not in use")
            payload: dict[str, Any] = jwt.decode(signed, key, algorithms=[ALGORITHM], audience=AUDIENCE)
        # RecursionError and ValueError: what hostile JSON and non-ASCII text provoke below PyJWT's own errors.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise QuoteForged("it is malformed or its signature does not fit") from error
        return payload
