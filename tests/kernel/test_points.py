"""Points are checked when they are made, and keep their form in JSON."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from kernel.points import Place, Point


@pytest.mark.parametrize("make", [Point, lambda lat_deg, lng_deg: Place(lat_deg, lng_deg, 0)])
@pytest.mark.parametrize(
    ("lat_deg", "lng_deg", "message"),
    [
        (90.1, 0.0, "lat_deg must be -90 to 90"),
        (-173.98, 40.75, r"the order is \(lat, lng\)"),
        (0.0, -180.1, "lng_deg must be -180 to 180"),
        (math.nan, 0.0, "lat_deg"),
        (0.0, math.nan, "lng_deg"),
        (math.inf, 0.0, "lat_deg"),
    ],
)
def test_coordinates_that_do_not_exist_are_refused(make: Any, lat_deg: float, lng_deg: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(lat_deg, lng_deg)


def test_the_json_of_points_and_places_is_what_events_and_stored_rides_hold() -> None:
    assert msgspec.json.encode(Point(40.75, -73.98)) == b'{"lat_deg":40.75,"lng_deg":-73.98}'
    place = b'{"lat_deg":40.75,"lng_deg":-73.98,"node":7}'
    assert msgspec.json.encode(Place(40.75, -73.98, 7)) == place
    assert msgspec.json.decode(place, type=Place) == Place(40.75, -73.98, 7)


def test_the_poles_and_the_antimeridian_are_points() -> None:
    assert [Point(lat_deg, lng_deg).lat_deg for lat_deg, lng_deg in ((90.0, 180.0), (-90.0, -180.0))] == [90.0, -90.0]
