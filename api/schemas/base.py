"""Parts that bodies for several audiences have."""

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
    """Unknown fields are refused: a misspelt one must not be silently without effect."""

    model_config = ConfigDict(extra="forbid")


class PointBody(Strict):
    """A point on the map."""

    lat_deg: Latitude
    lng_deg: Longitude

    @property
    def point(self) -> Point:
        """The point, checked as the schema says."""
        return Point(self.lat_deg, self.lng_deg)

    @classmethod
    def of(cls, point: Point) -> PointBody:
        """The public face of a point."""
        return cls(lat_deg=point.lat_deg, lng_deg=point.lng_deg)


class LineBody(BaseModel):
    """One amount of a price; what is taken off is negative."""

    name: str
    cents: Annotated[int, Field(description="minor units of the currency")]


def lines_of(lines: Sequence[Line]) -> list[LineBody]:
    """The public face of a bill's lines."""
    return [LineBody(name=line.name, cents=line.cents) for line in lines]
