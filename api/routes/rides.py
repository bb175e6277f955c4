"""Quotes and rides, as riders use them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Response

from api.auth.tokens import Role
from api.edges import Edges, EdgesDep, RiderDep, RiderOrDriverDep
from api.nearby import nearest_eta_s
from api.receipts import of_quote
from api.schemas import CancelBody, QuoteBody, QuoteRequest, RatingBody, RideBody, RideRequestBody
from dispatch import commands as cmd
from dispatch.model import Party
from kernel.idempotency import IdempotencyKey
from pricing.errors import QuoteExpired
from pricing.model.quotes import Quote

router = APIRouter(prefix="/v1", tags=["rides"])

#: What ids are made of. PostgreSQL refuses a null character in a query: no other character gets that far.
ID_PATTERN = r"^[A-Za-z0-9_.-]+$"

RideId = Annotated[str, Path(max_length=64, pattern=ID_PATTERN, description="as given when the ride was requested")]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="a new random one for each ride; repeat it to repeat the request safely",
    ),
]


@router.post("/quotes", status_code=201, summary="Ask what a ride would cost")
async def ask_quote(body: QuoteRequest, edges: EdgesDep, rider: RiderDep) -> QuoteBody:
    """Price, distance and times of a ride. The price holds until `expires_s`."""
    quote = await edges.quotes.quote(
        body.pickup.point,
        body.dropoff.point,
        seats=body.seats,
        rider_id=rider.id,
        quote_id=uuid.uuid4().hex,
        now_s=edges.now(),
    )
    return QuoteBody.of(quote, edges.quote_signer.sign(quote), await _pickup_eta_s(edges, quote))


async def _pickup_eta_s(edges: Edges, quote: Quote) -> float | None:
    drivers, eta_s_max = await edges.supply.drivers(), edges.dispatch_params.pickup_eta_s_max
    return await asyncio.to_thread(nearest_eta_s, drivers, edges.city.graph, quote.pickup_node, eta_s_max)


_REPLAYED = {
    "description": "true if this request was answered before; absent if not",
    "schema": {"type": "string", "enum": ["true"]},
}


@router.post(
    "/rides",
    status_code=201,
    summary="Request the ride of a quote",
    responses={201: {"headers": {"Idempotency-Replayed": _REPLAYED}}},
)
async def request_ride(
    body: RideRequestBody, key: Key, edges: EdgesDep, rider: RiderDep, response: Response
) -> RideBody:
    """From the answer on, the ride is taken in and will be ended: completed, cancelled or expired.

    Sent again with the same Idempotency-Key and body, it gives the same answer, with `Idempotency-Replayed: true`.
    """
    idempotency = IdempotencyKey.of_body(rider.inbox, key, body.model_dump_json())
    try:
        quote = edges.quote_signer.verify(body.quote_id, edges.now(), rider_id=rider.id)
    except QuoteExpired:
        # An answer given before stays the answer, however late the question is repeated.
        outcome = await edges.store.replay(idempotency)
        if outcome is None:
            raise
    else:
        outcome = await edges.rides.handle(_request(quote), idempotency)
    if outcome.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return RideBody.of(outcome.ride)


def _request(quote: Quote) -> cmd.RequestRide:
    pickup, dropoff = quote.places
    return cmd.RequestRide(
        ride_id=uuid.uuid4().hex,
        region_id=quote.region_id,
        rider_id=quote.rider_id,
        quote_id=quote.quote_id,
        pickup=pickup,
        dropoff=dropoff,
        seats=quote.seats,
        fare_cents=quote.price_cents,
        currency=quote.currency,
        receipt=of_quote(quote),
    )


@router.get("/rides/{ride_id}", summary="Read a ride of yours")
async def read_ride(ride_id: RideId, edges: EdgesDep, principal: RiderOrDriverDep) -> RideBody:
    """A rider reads own rides, a driver the ones assigned to them."""
    return RideBody.of(await edges.rides.find(ride_id, _party(principal.role), principal.id))


@router.post("/rides/{ride_id}/cancel", summary="Cancel before the pickup")
async def cancel_ride(
    ride_id: RideId,
    edges: EdgesDep,
    principal: RiderOrDriverDep,
    body: Annotated[CancelBody | None, Body()] = None,
) -> RideBody:
    """A rider's word ends the ride; a driver's gives it back, and it is matched anew."""
    command = cmd.CancelRide(ride_id, _party(principal.role), principal.id, body.reason if body else None)
    return RideBody.of((await edges.rides.handle(command)).ride)


@router.post("/rides/{ride_id}/rating", summary="Rate a ride of yours after its end")
async def rate_ride(ride_id: RideId, body: RatingBody, edges: EdgesDep, rider: RiderDep) -> RatingBody:
    """Counts once for the driver, who is told averages alone; to be given within three days, or as the city has it.

    The same stars again change nothing; others are refused.
    """
    await edges.rides.handle(cmd.RateRide(ride_id, rider.id, body.stars))
    return body


def _party(role: Role) -> Party:
    return Party.DRIVER if role is Role.DRIVER else Party.RIDER
