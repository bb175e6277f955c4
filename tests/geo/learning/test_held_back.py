from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geo.learning.held_back import TRIP_S, TripErrors, trip_durations_s, trips_of
from geo.learning.map_matching import Drives


def steps(started_s: Any, elapsed_s: Any) -> Drives:
    """Steps of one part each, on an edge of their own, at half of what they took in free flow."""
    count = len(started_s)
    number = np.arange(count)
    elapsed = np.array(elapsed_s, float)
    return Drives(number, np.array(started_s, float), elapsed, number, number, elapsed / 2.0)


def test_a_trip_is_one_drivers_unbroken_way_of_ten_minutes() -> None:
    started_s = [0, 60, 120, 300, 360, 420, 420, 480, 540]
    drives = steps(started_s, [60] * 9)
    trip = trips_of(drives, [1, 1, 1, 1, 1, 1, 2, 2, 2])
    assert trip.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    long = steps(np.arange(25) * 60, [60] * 25)
    assert np.bincount(trips_of(long, np.zeros(25))).tolist() == [TRIP_S / 60, TRIP_S / 60, 5]


def test_what_is_too_short_is_no_trip() -> None:
    drives = steps([0, 500, 560], [60, 60, 60])
    assert trips_of(drives, [1, 1, 1]).tolist() == [-1, 0, 0]
    assert trips_of(steps([], []), []).size == 0


def test_durations_are_those_of_the_parts_times_their_factors() -> None:
    drives = steps([0, 60, 500, 560, 2000], [60, 60, 60, 60, 60])
    trip = trips_of(drives, [1] * 5)
    predicted_s, actual_s = trip_durations_s(drives, trip, np.array([2.0, 2.0, 1.0, 3.0, 9.0]))
    assert actual_s.tolist() == [120.0, 120.0]
    assert predicted_s.tolist() == [120.0, 30.0 + 90.0]


def test_errors_are_shares_of_the_actual_durations() -> None:
    errors = TripErrors.of(np.array([110.0, 150.0, 100.0]), np.array([100.0, 100.0, 200.0]))
    assert (errors.trips, errors.median) == (3, pytest.approx(0.5))
    assert errors.mean == pytest.approx((0.1 + 0.5 + 0.5) / 3)
    assert TripErrors.of(np.empty(0), np.empty(0)).trips == 0
