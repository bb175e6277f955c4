"""What pricing reads of the topics ride.events and quotes.asked, and writes to the latter; other fields are skipped."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from pricing.commands import CountQuote, CountRequest, MarkDriverBusy, MarkDriverFree, Signal
from pricing.model import Quote

#: Events after which the ride holds no driver.
ENDINGS = frozenset({"AssignmentCancelled", "RiderDroppedOff", "RideCancelled", "RideExpired"})
#: Who asks for prices from one cell again and again within so many seconds of city time wants one ride.
QUOTE_WINDOW_S = 300.0

Ident = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Moment = Annotated[float, msgspec.Meta(ge=0.0, lt=2.0**43)]
T = TypeVar("T")


class WirePoint(msgspec.Struct, frozen=True):
    """A place, (lat, lng) in degrees."""

    lat_deg: Annotated[float, msgspec.Meta(ge=-90.0, le=90.0)]
    lng_deg: Annotated[float, msgspec.Meta(ge=-180.0, le=180.0)]


class RideEvent(msgspec.Struct, frozen=True):
    """One event of a ride."""

    event: str
    ride_id: Ident
    # Beyond 2^53 the counting function, whose numbers are doubles, could not tell neighbours apart.
    sequence: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    at_s: Moment
    region_id: Ident
    pickup: WirePoint | None = None
    driver_id: Ident | None = None

    def __post_init__(self) -> None:
        if self.event == "RideRequested" and self.pickup is None:
            raise ValueError("RideRequested lacks its pickup")
        if self.event == "OfferAccepted" and self.driver_id is None:
            raise ValueError("OfferAccepted lacks its driver_id")


class QuoteAsked(msgspec.Struct, frozen=True, tag="QuoteAsked", tag_field="event"):
    """A rider was told a price."""

    quote_id: Ident
    rider_id: Ident
    at_s: Moment
    region_id: Ident
    pickup: WirePoint


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
    pickup = WirePoint(quote.pickup.lat_deg, quote.pickup.lng_deg)
    return msgspec.json.encode(QuoteAsked(quote.quote_id, quote.rider_id, quote.issued_s, quote.region_id, pickup))


def _decoded(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T | None:
    try:
        return decoder.decode(value or b"")
    # RecursionError: thousands of nested brackets in a field that is only skipped.
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None


def ride_signal(event: RideEvent, cell_index: int) -> Signal | None:
    """Return what the event asks of the engine, None if nothing; ``cell_index`` is the pickup's, -1 outside."""
    match event.event:
        case "RideRequested" if cell_index >= 0:
            return CountRequest(cell_index, event.at_s)
        case "OfferAccepted" if event.driver_id is not None:
            return MarkDriverBusy(event.ride_id, event.driver_id, event.at_s)
        case name if name in ENDINGS:
            return MarkDriverFree(event.ride_id)
    return None


def quote_signal(event: QuoteAsked, cell_index: int) -> CountQuote | None:
    """Return the demand that a quote shows, None outside every cell."""
    return CountQuote(cell_index, event.at_s) if cell_index >= 0 else None


def quote_ident(event: QuoteAsked, cell_index: int) -> str:
    """Name the wish behind a quote: the same for a repeated message and for a rider who asks again in the window."""
    return f"{event.rider_id}|{cell_index}|{int(event.at_s // QUOTE_WINDOW_S)}"
