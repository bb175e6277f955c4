"""The cars that a rider sees on the map before asking for one."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.edges import EdgesDep, RiderDep
from api.nearby import NearbyDriver, nearest_drivers
from api.schemas import PointBody
from kernel.points import Point
from pricing.service.quotes import snapped

router = APIRouter(prefix="/v1", tags=["rides"])

#: As many cars as a rider's map shows without a clutter.
DRIVERS_MAX = 20
WITHIN_M_MAX = 10_000.0
#: Where a driver waits is the driver's own affair until a ride is accepted: points are shown to about 100 m.
SHOWN_DECIMALS, SHOWN_M = 3, 100


class NearbyDriverBody(BaseModel):
    """An idle driver, without a name and not to the metre."""

    point: Annotated[PointBody, Field(description="to three decimals of a degree, about 100 m")]
    distance_m: Annotated[float, Field(description="as the crow flies, to 100 m")]
    pickup_eta_s: Annotated[float | None, Field(description="by road; null if it is too far to be asked")]

    @classmethod
    def of(cls, driver: NearbyDriver) -> NearbyDriverBody:
        """The public face of a nearby driver."""
        lat_deg, lng_deg = (round(degrees, SHOWN_DECIMALS) for degrees in (driver.point.lat_deg, driver.point.lng_deg))
        return cls(
            point=PointBody(lat_deg=lat_deg, lng_deg=lng_deg),
            distance_m=float(round(driver.distance_m / SHOWN_M) * SHOWN_M),
            pickup_eta_s=driver.pickup_eta_s,
        )


class NearbyBody(BaseModel):
    """The idle drivers near a point."""

    drivers: Annotated[list[NearbyDriverBody], Field(description="the nearest first")]


@router.get("/drivers/nearby", summary="See which cars are near")
async def read_nearby(
    edges: EdgesDep,
    rider: RiderDep,
    lat_deg: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="degrees, WGS84")],
    lng_deg: Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False, description="degrees, WGS84")],
    count: Annotated[int, Query(ge=1, le=DRIVERS_MAX, description="at most so many")] = 8,
    within_m: Annotated[float, Query(gt=0, le=WITHIN_M_MAX, description="and not farther than this")] = 3_000.0,
) -> NearbyBody:
    """Idle drivers, as of a second ago, by their distance; a quote says how soon the first of them can be there."""
    city = edges.city
    place = snapped(city.region, city.graph, "point", Point(lat_deg, lng_deg))
    drivers = await edges.supply.drivers()
    eta_s_max = edges.dispatch_params.pickup_eta_s_max
    # In a thread: the search releases the GIL and takes milliseconds in a large city.
    found = await asyncio.to_thread(nearest_drivers, drivers, city.graph, place, count, within_m, eta_s_max)
    return NearbyBody(drivers=[NearbyDriverBody.of(driver) for driver in found])
