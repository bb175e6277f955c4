"""Requesting a ride: pricing's quote, verified, becomes dispatch's request."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from dispatch.commands import RequestRide
from dispatch.errors import OffersStopped
from dispatch.ports import Outcome
from dispatch.service.rides import RideService
from geo.places import Places
from kernel.idempotency import IdempotencyKey
from pricing.errors import QuoteExpired, QuoteOffMap
from pricing.model.quotes import Quote
from workflows.errors import TooManyCancellations
from workflows.limits import RiderLimits
from workflows.offering import Offering
from workflows.ports import Now, QuoteSigning
from workflows.receipts import to_plain


@dataclass(frozen=True, slots=True)
class RequestRideWorkflow:
    """Turns signed quotes into rides, each quote into one ride at most."""

    signing: QuoteSigning
    rides: RideService
    now: Now
    #: The map of this process; without it quotes are taken at their nodes.
    places: Places | None = None
    #: Whether drivers can be asked; without it requests are always taken.
    offering: Offering | None = None
    #: What one rider may do; without it, anything.
    limits: RiderLimits | None = None

    async def request(self, rider_id: str, signed_quote: str, idempotency: IdempotencyKey) -> Outcome:
        """Begin the ride of a quote; return once it is durable.

        A quote of another map keeps its price; its points are taken to the roads of this one.
        Raises pricing.errors.QuoteUnusable, dispatch.errors.QuoteUsed, TooManyRides, OffersStopped or
        IdempotencyConflict, and TooManyCancellations. An
        answer that was given to this key before stays the answer, also after the quote has expired, the map has
        changed or offers have stopped.
        """
        try:
            quote = self.signing.verify(signed_quote, self.now(), rider_id=rider_id)
            command = request_of(quote, uuid.uuid4().hex)
            if self.places is not None:
                command = on_own_map(command, self.places)
            if self.offering is not None:
                await self.offering.require()
            if self.limits is not None:
                await self.limits.require_few_cancellations(rider_id, self.now())
        except (QuoteExpired, QuoteOffMap, OffersStopped, TooManyCancellations):
            before = await self.rides.replay(idempotency)
            if before is None:
                raise
            return before
        outcome = await self.rides.handle(command, idempotency)
        if self.limits is not None:
            await self.limits.answer_quote(rider_id, command.quote_id, command.pickup, self.now())
        return outcome


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
        map_id=quote.map_id,
    )


def on_own_map(command: RequestRide, own: Places) -> RequestRide:
    """Return the request with both places on this map. Raises QuoteOffMap where one is near no road of it."""
    ends = {"pickup": command.pickup, "dropoff": command.dropoff}
    if all(own.holds(end, command.map_id) for end in ends.values()):
        return command
    found = dict(zip(ends, own.at(list(ends.values())), strict=True))
    for which, place in found.items():
        if place is None:
            raise QuoteOffMap(which, command.region_id)
    return replace(command, map_id=own.map_id, **found)  # type: ignore[arg-type]  # None was refused
