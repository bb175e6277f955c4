from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from h3.api import basic_int as h3

from geo.distances import (
    chord_to_m,
    great_circle_m,
    lng_change_deg,
    lng_extent_deg,
    m_to_chord,
    unit_vectors,
    unrolled_deg,
    within_globe_deg,
)


def test_agrees_with_h3_on_random_pairs() -> None:
    rng = np.random.default_rng(0)
    lat, lng = rng.uniform(-90, 90, (2, 300)), rng.uniform(-180, 180, (2, 300))
    mine = great_circle_m(lat[0], lng[0], lat[1], lng[1])
    for at in range(300):
        theirs = h3.great_circle_distance((lat[0, at], lng[0, at]), (lat[1, at], lng[1, at]), unit="m")
        assert mine[at] == pytest.approx(theirs, rel=1e-9)


def test_the_chord_through_the_globe_gives_the_same_metres() -> None:
    rng = np.random.default_rng(1)
    lat, lng = rng.uniform(-90, 90, (2, 300)), rng.uniform(-180, 180, (2, 300))
    chord = np.linalg.norm(unit_vectors(lat[0], lng[0]) - unit_vectors(lat[1], lng[1]), axis=1)
    assert np.allclose(chord_to_m(chord), great_circle_m(lat[0], lng[0], lat[1], lng[1]))
    assert m_to_chord(float(chord_to_m(0.3))) == pytest.approx(0.3)
    assert chord_to_m(np.inf) == np.inf


def test_one_point_is_repeated_against_many() -> None:
    assert great_circle_m(0.0, 0.0, [0.0, 1.0], [0.0, 0.0]).tolist() == pytest.approx([0.0, 111195.05], abs=0.1)


@pytest.mark.parametrize(("lat", "lng"), [(91.0, 0.0), (np.nan, 0.0), (0.0, np.inf)])
def test_coordinates_that_do_not_exist_are_refused(lat: Any, lng: Any) -> None:
    with pytest.raises(ValueError, match="order is"):
        great_circle_m(lat, lng, 0.0, 0.0)


def test_a_span_of_longitudes_is_the_narrow_one_also_over_180() -> None:
    assert lng_extent_deg(np.array([-74.0, -73.9])) == (-74.0, -73.9)
    assert lng_extent_deg(np.array([179.9, -179.8, 179.95])) == (179.9, -179.8)
    assert lng_extent_deg(np.array([-170.0, -60.0, 60.0, 170.0])) == (60.0, -60.0)
    assert lng_extent_deg(np.array([180.0])) == (180.0, 180.0)


def test_longitudes_change_the_short_way_and_stay_as_they_are_elsewhere() -> None:
    one, other = np.array([179.9, -179.9, 10.0]), np.array([-179.9, 179.9, 11.5])
    assert lng_change_deg(one, other) == pytest.approx([0.2, -0.2, 1.5])
    assert unrolled_deg(np.array([179.9, -179.9, -179.8])) == pytest.approx([179.9, 180.1, 180.2])
    assert within_globe_deg(np.array([180.1, -180.1, 180.0])) == pytest.approx([-179.9, 179.9, 180.0])
    usual = np.random.default_rng(1).uniform(-74.0, -73.0, 100)
    assert np.array_equal(unrolled_deg(usual), usual)
    assert np.array_equal(within_globe_deg(usual), usual)
