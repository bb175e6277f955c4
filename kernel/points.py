"""Points on the globe, and points that were snapped to a road graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A point in degrees, WGS 84. Raises ValueError for coordinates that do not exist."""

    lat_deg: float
    lng_deg: float

    def __post_init__(self) -> None:
        if not -90.0 <= self.lat_deg <= 90.0:
            raise ValueError(f"lat_deg must be -90 to 90, not {self.lat_deg}; the order is (lat, lng)")
        if not -180.0 <= self.lng_deg <= 180.0:
            raise ValueError(f"lng_deg must be -180 to 180, not {self.lng_deg}")


@dataclass(frozen=True, slots=True)
class Place(Point):
    """A point and the road node that it was snapped to."""

    node: int
