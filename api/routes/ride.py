"""Routes for riders and drivers: read a ride, cancel it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.access import RiderOrDriverDep
from api.auth.tokens import Role
from api.edges import RiderEdgesDep, RidesDep
from api.routes.parameters import RideId
from api.schemas.rides import CancelBody, RideBody
from dispatch import commands as cmd
from dispatch.model import Party

router = APIRouter(prefix="/v1", tags=["riders", "drivers"])


@router.get("/rides/{ride_id}", summary="Read a ride of yours")
async def read_ride(ride_id: RideId, rides: RidesDep, principal: RiderOrDriverDep) -> RideBody:
    """A rider reads own rides, a driver the ones assigned to them."""
    return RideBody.of(await rides.find(ride_id, _party(principal.role), principal.id))


@router.post("/rides/{ride_id}/cancel", summary="Cancel before the pickup")
async def cancel_ride(
    ride_id: RideId,
    edges: RiderEdgesDep,
    principal: RiderOrDriverDep,
    body: Annotated[CancelBody | None, Body()] = None,
) -> RideBody:
    """A rider's word ends the ride; a driver's gives it back, and it is matched anew."""
    command = cmd.CancelRide(ride_id, _party(principal.role), principal.id, body.reason if body else None)
    outcome = await edges.rides.handle(command)
    if outcome.events and principal.role is Role.RIDER:
        await edges.limits.count_cancellation(principal.id, ride_id, edges.now())
    return RideBody.of(outcome.ride)


def _party(role: Role) -> Party:
    return Party.DRIVER if role is Role.DRIVER else Party.RIDER
