"""JSON of the topics ride.events, which pricing reads, and quotes.asked, which it writes and reads."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pricing.model.messages import QuoteAsked, RideEvent
from pricing.model.quotes import Quote

T = TypeVar("T")

_RIDES = msgspec.json.Decoder(RideEvent)
_QUOTES = msgspec.json.Decoder(QuoteAsked)


def decode_ride(value: bytes | None) -> RideEvent | None:
    """Return the event, or None for anything that is not one: no message may stop the stream."""
    return _decoded(_RIDES, value)


def decode_quote(value: bytes | None) -> QuoteAsked | None:
    """Return the event, or None for anything that is not one."""
    return _decoded(_QUOTES, value)


def encode_quote(quote: Quote) -> bytes:
    """Return what the topic is told of a quote: who asked where and when, and nothing of the price."""
    asked = QuoteAsked(quote.quote_id, quote.rider_id, quote.issued_s, quote.region_id, quote.pickup, "QuoteAsked")
    return msgspec.json.encode(asked)


def _decoded(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T | None:
    try:
        return decoder.decode(value or b"")
    # RecursionError: thousands of nested brackets in a field that is only skipped.
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None
