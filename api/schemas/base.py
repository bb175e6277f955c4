"""Fields and models that bodies of several audiences share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kernel.points import Point
from pricing.model.quotes import Line

Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, description="degrees, WGS84")]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, description="degrees, WGS84")]
Seconds = Annotated[float, Field(description="seconds since 1970 on the city's clock")]
Reason = Annotated[str | None, Field(max_length=200, description="free text, kept with the ride")]


class Strict(BaseModel):
    """A request body that refuses unknown fields: a misspelt field must not be ignored silently."""

    model_config = ConfigDict(extra="forbid")


class PointBody(Strict):
    """A point on the map."""

    lat_deg: Latitude
    lng_deg: Longitude

    @property
    def point(self) -> Point:
        """The point, validated by the schema."""
        return Point(self.lat_deg, self.lng_deg)

    @classmethod
    def of(cls, point: Point) -> PointBody:
        """Convert a point."""
        return cls(lat_deg=point.lat_deg, lng_deg=point.lng_deg)


class LineBody(BaseModel):
    """One line of a price; deductions are negative."""

    name: str
    cents: Annotated[int, Field(description="minor units of the currency")]


def lines_of(lines: Sequence[Line]) -> list[LineBody]:
    """Convert the lines of a bill."""
    return [LineBody(name=line.name, cents=line.cents) for line in lines]
