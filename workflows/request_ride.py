"""Requesting a ride: pricing's quote, verified, becomes dispatch's request."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from dispatch.commands import RequestRide
from dispatch.ports import Outcome
from dispatch.service.rides import RideService
from kernel.idempotency import IdempotencyKey
from pricing.errors import QuoteExpired
from pricing.model.quotes import Quote
from workflows.ports import Now, QuoteSigning
from workflows.receipts import to_plain


@dataclass(frozen=True, slots=True)
class RequestRideWorkflow:
    """Turns signed quotes into rides, each quote into one ride at most."""

    signing: QuoteSigning
    rides: RideService
    now: Now

    async def request(self, rider_id: str, signed_quote: str, idempotency: IdempotencyKey) -> Outcome:
        """Begin the ride of a quote; return once it is durable.

        Raises pricing.errors.QuoteUnusable, dispatch.errors.QuoteUsed or IdempotencyConflict. An answer that was given
        to this key before stays the answer, also after the quote has expired.
        """
        try:
            quote = self.signing.verify(signed_quote, self.now(), rider_id=rider_id)
        except QuoteExpired:
            before = await self.rides.replay(idempotency)
            if before is None:
                raise
            return before
        return await self.rides.handle(request_of(quote, uuid.uuid4().hex), idempotency)


def request_of(quote: Quote, ride_id: str) -> RequestRide:
    """Return the command that begins the ride of a quote; the ride keeps how the price came about."""
    pickup, dropoff = quote.places
    return RequestRide(
        ride_id=ride_id,
        region_id=quote.region_id,
        rider_id=quote.rider_id,
        quote_id=quote.quote_id,
        pickup=pickup,
        dropoff=dropoff,
        seats=quote.seats,
        fare_cents=quote.price_cents,
        currency=quote.currency,
        receipt=to_plain(quote.receipt),
    )
