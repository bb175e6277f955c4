"""Routes for interventions in any ride. Each needs a reason, kept with the operator's name and the time."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.access import OperatorDep
from api.edges import RideControlEdgesDep
from api.routes.parameters import SAYS_AGE, RideId, say_age
from api.schemas.interventions import (
    CorrectRequest,
    EndRequest,
    InterventionBody,
    InterventionsBody,
    ReasonRequest,
    ReassignRequest,
)
from api.schemas.rides import RideBody

router = APIRouter(prefix="/v1/ops", tags=["operators"])

#: Interventions shown at once.
SHOWN_MAX = 500


@router.get("/rides/{ride_id}", summary="Read any ride")
async def read_any_ride(ride_id: RideId, edges: RideControlEdgesDep, operator: OperatorDep) -> RideBody:
    """As its rider and its driver see it."""
    return RideBody.of(await edges.rides.read(ride_id))


@router.post("/rides/{ride_id}/end", summary="End a ride without its driver")
async def end_ride(ride_id: RideId, body: EndRequest, edges: RideControlEdgesDep, operator: OperatorDep) -> RideBody:
    """A trip is completed, a ride at its pickup is a no-show; without a fare they cost what the tariff says."""
    return RideBody.of(await edges.intervening.end(ride_id, operator.id, body.reason, body.fare_cents))


@router.post("/rides/{ride_id}/cancel", summary="End any ride for nothing")
async def cancel_any_ride(
    ride_id: RideId, body: ReasonRequest, edges: RideControlEdgesDep, operator: OperatorDep
) -> RideBody:
    """Possible also during the trip. Rider and driver are notified."""
    return RideBody.of(await edges.intervening.cancel(ride_id, operator.id, body.reason))


@router.post("/rides/{ride_id}/reassign", summary="Give a ride to another driver")
async def reassign_ride(
    ride_id: RideId, body: ReassignRequest, edges: RideControlEdgesDep, operator: OperatorDep
) -> RideBody:
    """Takes it from the driver who has it, or is asked for it; it is matched anew. Not with the rider aboard.

    With `driver_id` that driver has it at once, without being asked, and may give it back. Refused, with nothing
    changed: `driver_not_listed`, `off_shift`, `driver_busy`, or `driver_cannot_come` (no recent position, too few
    seats, no way by road).
    """
    return RideBody.of(await edges.intervening.reassign(ride_id, operator.id, body.reason, body.driver_id))


@router.post("/rides/{ride_id}/correct", summary="Correct a ride that has ended")
async def correct_ride(
    ride_id: RideId, body: CorrectRequest, edges: RideControlEdgesDep, operator: OperatorDep
) -> RideBody:
    """Sets the fare of a trip, the fee of a no-show, or where the rider left.

    A new place without a fare changes the fare by the tariff's `at_dropoff`, from what was agreed with the quote; the
    receipt lists `correction` among its changes. A fare that is given counts as it is.
    """
    dropoff = body.dropoff.point if body.dropoff is not None else None
    ride = await edges.intervening.correct(ride_id, operator.id, body.reason, body.fare_cents, dropoff)
    return RideBody.of(ride)


@router.get(
    "/rides/{ride_id}/interventions", summary="Who changed a ride that was not theirs, and why", responses=SAYS_AGE
)
async def read_interventions_in_ride(
    ride_id: RideId, edges: RideControlEdgesDep, operator: OperatorDep, answer: Response
) -> InterventionsBody:
    """By operators, and by the deadline of the ride; the newest first."""
    return InterventionsBody(interventions=await _read(edges, ride_id, answer))


@router.get("/interventions", summary="Who changed rides that were not theirs, and why", responses=SAYS_AGE)
async def read_interventions(edges: RideControlEdgesDep, operator: OperatorDep, answer: Response) -> InterventionsBody:
    """The newest first; `system` are rides that were ended by their deadline."""
    return InterventionsBody(interventions=await _read(edges, None, answer))


async def _read(edges: RideControlEdgesDep, ride_id: str | None, answer: Response) -> list[InterventionBody]:
    interventions, age_s = await edges.interventions(ride_id, SHOWN_MAX)
    say_age(answer, age_s)
    return [InterventionBody.of(one) for one in interventions]
