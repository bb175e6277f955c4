"""What an event of a ride or a quote means for surge: demand in a cell, or nothing."""

from __future__ import annotations

from pricing.commands import CountQuote, CountRequest
from pricing.model.messages import QuoteAsked, RideEvent

#: A rider who asks for prices from one cell several times within so many seconds of city time wants one ride.
QUOTE_WINDOW_S = 300.0


def ride_signal(event: RideEvent, cell_index: int) -> CountRequest | None:
    """Return the demand that an event shows, None if none; ``cell_index`` is the pickup's, -1 outside every cell."""
    is_demand = event.event == "RideRequested" and cell_index >= 0
    return CountRequest(cell_index, event.at_s) if is_demand else None


def request_wish(event: RideEvent, cell_index: int) -> str:
    """Name the wish behind a request: the same for a rider who requests again from the cell in the window.

    Who requests, cancels and requests again wants one ride, and is demand once. Empty where nobody is named.
    """
    return wish(event.rider_id, cell_index, event.at_s) if event.rider_id else ""


def quote_signal(event: QuoteAsked, cell_index: int) -> CountQuote | None:
    """Return the demand that a quote shows, None outside every cell."""
    return CountQuote(cell_index, event.at_s) if cell_index >= 0 else None


def quote_ident(event: QuoteAsked, cell_index: int) -> str:
    """Name the wish behind a quote: the same for a repeated message and for a rider who asks again in the window."""
    return wish(event.rider_id, cell_index, event.at_s)


def wish(rider_id: str, cell_index: int, at_s: float) -> str:
    """Name what one person wants in one cell in one window."""
    return f"{rider_id}|{cell_index}|{int(at_s // QUOTE_WINDOW_S)}"
