"""What an event of a ride or a quote means for surge: demand in a cell, or a driver who is busy or free again."""

from __future__ import annotations

from pricing.commands import CountQuote, CountRequest, MarkDriverBusy, MarkDriverFree, Signal
from pricing.model.messages import QuoteAsked, RideEvent

#: Events after which the ride holds no driver.
ENDINGS = frozenset({"AssignmentCancelled", "RiderDroppedOff", "RideCancelled", "RideExpired"})
#: A rider who asks for prices from one cell several times within so many seconds of city time wants one ride.
QUOTE_WINDOW_S = 300.0


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
