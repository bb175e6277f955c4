"""Routes for riders: quotes, requests and ratings."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.access import RiderDep
from api.edges import RiderEdgesDep
from api.routes.parameters import RequestKey, RideId
from api.schemas.rides import QuoteBody, QuoteRequest, RatingBody, RideBody, RideRequestBody
from dispatch import commands as cmd
from dispatch.model import OPEN
from kernel.idempotency import IdempotencyKey

router = APIRouter(prefix="/v1", tags=["riders"])


@router.post("/quotes", status_code=201, summary="Ask what a ride would cost")
async def ask_quote(body: QuoteRequest, edges: RiderEdgesDep, rider: RiderDep) -> QuoteBody:
    """Price, distance and times of a ride. The price holds until `expires_s`."""
    return QuoteBody.of(await edges.quotes.quote(rider.id, body.pickup.point, body.dropoff.point, body.seats))


@router.post(
    "/rides",
    status_code=201,
    summary="Request the ride of a quote",
)
async def request_ride(
    body: RideRequestBody, key: RequestKey, edges: RiderEdgesDep, rider: RiderDep, response: Response
) -> RideBody:
    """From the answer on, the ride is taken in and will be ended: completed, cancelled or expired.

    While the store of leases takes no writes nobody can be asked, and the request is refused with `offers_stopped` and
    `Retry-After`. While nobody runs the matching rounds it is taken, and `notice` says that it waits.
    Sent again with the same Idempotency-Key and body, it gives the same answer, with `Idempotency-Replayed: true`.
    """
    idempotency = IdempotencyKey.of_body(rider.inbox, key, body.model_dump_json())
    outcome = await edges.requests.request(rider.id, body.quote_id, idempotency)
    if outcome.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return RideBody.of(outcome.ride, await edges.offering.notice() if outcome.ride.state in OPEN else None)


@router.post("/rides/{ride_id}/rating", summary="Rate a ride of yours after its end")
async def rate_ride(ride_id: RideId, body: RatingBody, edges: RiderEdgesDep, rider: RiderDep) -> RatingBody:
    """Counts once for the driver, who sees averages only; to be given within three days, or as the city has it.

    The same stars again change nothing; others are refused.
    """
    await edges.rides.handle(cmd.RateRide(ride_id, rider.id, body.stars))
    return body
