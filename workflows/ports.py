"""What workflows need from the world, beside the services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kernel.points import Point
from pricing.model.quotes import Quote

#: City time in seconds.
Now = Callable[[], float]
#: Seconds by road to a pickup from the idle driver who is there first; None if nobody is near enough to be asked.
#: Raises what the stores raise.
PickupEta = Callable[[Point], Awaitable[float | None]]


class QuoteSigning(Protocol):
    """Quotes as text that nobody can change."""

    def sign(self, quote: Quote) -> str:
        """Return the quote as text."""
        ...

    def verify(self, signed: str, now_s: float, *, rider_id: str) -> Quote:
        """Return the quote in the text, if it is ours, still valid and this rider's.

        Raises pricing.errors.QuoteUnusable; QuoteExpired, a kind of it, if all but its time is right.
        """
        ...
