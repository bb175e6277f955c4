"""Quoting a trip: its price from pricing, and how soon one of dispatch's drivers could be at the pickup."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from kernel.points import Point
from pricing.model.quotes import Quote
from pricing.service.quotes import QuoteService
from workflows.limits import RiderLimits
from workflows.ports import Now, PickupEta, QuoteSigning


@dataclass(frozen=True, slots=True)
class SignedQuote:
    """What a rider is told who asks for a price."""

    quote: Quote
    #: The quote as text, to be sent back unchanged with the request.
    text: str
    #: Seconds that the first idle driver needs to the pickup; None if nobody is near enough to be asked.
    pickup_eta_s: float | None


@dataclass(frozen=True, slots=True)
class QuoteWorkflow:
    """Prices trips in one region."""

    quotes: QuoteService
    signing: QuoteSigning
    pickup_eta: PickupEta
    now: Now
    #: What one rider may ask; without it, anything.
    limits: RiderLimits | None = None

    async def quote(self, rider_id: str, pickup: Point, dropoff: Point, seats: int) -> SignedQuote:
        """Quote the trip and sign the price. Raises TooManyQuotes and pricing.errors.QuoteRefused."""
        quote_id, now_s = uuid.uuid4().hex, self.now()
        if self.limits is not None:
            await self.limits.take_quote(rider_id, quote_id, pickup, now_s)
        quote = await self.quotes.quote(pickup, dropoff, seats=seats, rider_id=rider_id, quote_id=quote_id, now_s=now_s)
        return SignedQuote(quote, self.signing.sign(quote), await self.pickup_eta(quote.pickup))
