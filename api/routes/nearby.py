"""Route for the idle cars that a rider sees on the map before a request."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api.access import RiderDep
from api.edges import NearbyEdgesDep
from api.nearby import nearest_drivers
from api.schemas.nearby import NearbyBody, NearbyDriverBody
from kernel.points import Point
from pricing.service.quotes import snapped

router = APIRouter(prefix="/v1", tags=["riders"])

#: As many cars as a rider's map shows without a clutter.
DRIVERS_MAX = 20
WITHIN_M_MAX = 10_000.0


@router.get("/drivers/nearby", summary="See which cars are near")
async def read_nearby(
    edges: NearbyEdgesDep,
    rider: RiderDep,
    lat_deg: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="degrees, WGS84")],
    lng_deg: Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False, description="degrees, WGS84")],
    count: Annotated[int, Query(ge=1, le=DRIVERS_MAX, description="at most so many")] = 8,
    within_m: Annotated[float, Query(gt=0, le=WITHIN_M_MAX, description="and not farther than this")] = 3_000.0,
) -> NearbyBody:
    """Idle drivers by distance, at most a second old. How soon the first can arrive is in the quote."""
    roads = edges.roads()
    place = snapped(edges.region, roads, "point", Point(lat_deg, lng_deg))
    drivers = await edges.supply.drivers()
    # In a thread: the search releases the GIL and takes milliseconds in a large city.
    found = await asyncio.to_thread(nearest_drivers, drivers, roads, place, count, within_m, edges.pickup_eta_s_max)
    return NearbyBody(drivers=[NearbyDriverBody.of(driver) for driver in found])
