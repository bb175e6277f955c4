"""Quotes as signed text (JWT): the rider carries the price and cannot change it."""

from __future__ import annotations

from typing import Any

import jwt
import msgspec

from kernel.keyring import KeyRing
from pricing.errors import QuoteExpired, QuoteForged, QuoteOfAnotherRider, QuoteVersionUnknown
from pricing.model.quotes import Quote

# Pinned: what the text itself says about its algorithm is never believed.
ALGORITHM = "HS256"
# A token that lets a rider in, signed with the same key by mistake, is still not a quote.
AUDIENCE = "hexhail.quote"
# Raised when the meaning of the payload changes.
VERSION = 2
# A quote takes about 1,200 characters, and 3,200 with all the surcharges that a tariff may have.
SIGNED_LENGTH_MAX = 4096


class QuoteSigner:
    """Signs and verifies the quotes of an installation."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def sign(self, quote: Quote) -> str:
        """Return the quote as text that `verify` gives back as it was."""
        payload = {"aud": AUDIENCE, "version": VERSION, "quote": msgspec.to_builtins(quote)}
        return jwt.encode(payload, self._keys.signing_key, ALGORITHM, headers={"kid": self._keys.signing_id})

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
            key = self._keys.find(jwt.get_unverified_header(signed).get("kid"))
            if key is None:
                raise QuoteForged("it was signed with a key that is not in use")
            payload: dict[str, Any] = jwt.decode(signed, key, algorithms=[ALGORITHM], audience=AUDIENCE)
        # RecursionError and ValueError: what hostile JSON and non-ASCII text provoke below PyJWT's own errors.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise QuoteForged("it is malformed or its signature does not fit") from error
        return payload
