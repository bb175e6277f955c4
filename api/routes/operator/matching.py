"""Routes that explain matching: the trace of a ride's rounds, and the accuracy of acceptance forecasts."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import OperatorDep
from api.edges import OperatorEdgesDep
from api.routes.parameters import RideId
from api.schemas.matching import AcceptanceBody, RoundBody, TraceBody
from dispatch.errors import NotFound
from dispatch.matching.calibration import AcceptanceFigures

router = APIRouter(prefix="/v1/ops", tags=["operators"])


@router.get("/rides/{ride_id}/trace", summary="Why this driver, and why no other")
async def read_trace(ride_id: RideId, edges: OperatorEdgesDep, operator: OperatorDep) -> TraceBody:
    """The trace of the ride's last matching rounds, kept for an hour."""
    ride = await edges.rides.find_ride(ride_id)
    if ride is None:
        raise NotFound("ride", ride_id)
    rounds = [RoundBody.of(trace) for trace in await edges.traces(ride_id)]
    return TraceBody(ride_id=ride_id, state=ride.state, rounds=rounds)


@router.get("/acceptance", summary="How well drivers' answers are predicted")
async def read_acceptance(edges: OperatorEdgesDep, operator: OperatorDep) -> AcceptanceBody:
    """Brier score and calibration of the acceptance model; zero answers if the region's policy has none."""
    return AcceptanceBody.of(await edges.acceptance() or AcceptanceFigures(0, 0, None, None, ()))
