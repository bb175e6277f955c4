"""Route for the learned travel times in force and their last update."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import OperatorDep
from api.edges import OperatorEdgesDep
from api.schemas.traffic import TrafficBody

router = APIRouter(prefix="/v1/ops", tags=["operators"])


@router.get("/traffic", summary="How travel times follow the traffic")
async def read_traffic(edges: OperatorEdgesDep, operator: OperatorDep) -> TrafficBody:
    """Version and age of the learned travel times, what the last update stood on, and refusals by reason."""
    return TrafficBody.of(await edges.traffic(), edges.now())
