"""Bodies of the nearby drivers that a rider sees on the map."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from api.nearby import NearbyDriver
from api.schemas.base import PointBody

#: Where a driver waits is the driver's own affair until a ride is accepted: points are shown to about 100 m.
SHOWN_DECIMALS, SHOWN_M = 3, 100


class NearbyDriverBody(BaseModel):
    """An idle driver without an id, at a rounded position."""

    point: Annotated[PointBody, Field(description="rounded to three decimals of a degree, about 100 m")]
    distance_m: Annotated[float, Field(description="great-circle distance, rounded to 100 m")]
    pickup_eta_s: Annotated[float | None, Field(description="by road; null if it is too far to be asked")]

    @classmethod
    def of(cls, driver: NearbyDriver) -> NearbyDriverBody:
        """Convert a nearby driver."""
        lat_deg, lng_deg = (round(degrees, SHOWN_DECIMALS) for degrees in (driver.point.lat_deg, driver.point.lng_deg))
        return cls(
            point=PointBody(lat_deg=lat_deg, lng_deg=lng_deg),
            distance_m=float(round(driver.distance_m / SHOWN_M) * SHOWN_M),
            pickup_eta_s=driver.pickup_eta_s,
        )


class NearbyBody(BaseModel):
    """The idle drivers near a point."""

    drivers: Annotated[list[NearbyDriverBody], Field(description="the nearest first")]
