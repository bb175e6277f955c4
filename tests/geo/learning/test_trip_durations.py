from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.geo.trip_durations import TripDurations, Trips

TOWNS = np.array([[37.76, -122.42], [37.79, -122.40], [37.73, -122.47]])


def trips_and_durations(seed: int, count: int = 6_000, noise: Any = 0.2) -> Any:
    """Trips between three quarters; one pair of them takes a quarter longer than the others."""
    rng = np.random.default_rng(seed)
    pair = rng.integers(0, 3, (2, count))
    ends = [TOWNS[side] + rng.normal(0, 0.002, (count, 2)) for side in pair]
    network_s = rng.uniform(200, 900, count)
    slow = (pair[0] == 0) & (pair[1] == 1)
    duration_s = (network_s + 120) * np.where(slow, 1.25, 1.0) * rng.lognormal(0, noise, count)
    return Trips(*ends, rng.integers(0, 168, count), network_s), duration_s, slow


def test_what_the_network_does_not_know_is_learned_from_trips() -> None:
    trips, duration_s, _ = trips_and_durations(0, noise=0.05)
    later, later_s, slow = trips_and_durations(1, noise=0.05)
    learned = TripDurations()
    learned.learn(trips, duration_s)
    predicted = learned.predict(later).median_s
    for rows in (slow, ~slow):
        assert np.median(later_s[rows] / predicted[rows]) == pytest.approx(1.0, abs=0.04)
    plain = later.network_s * np.median(duration_s / trips.network_s)
    assert np.median(np.abs(predicted / later_s - 1)) < 0.9 * np.median(np.abs(plain / later_s - 1))


def test_four_in_five_trips_fall_into_the_spread() -> None:
    (trips, duration_s, _), (eve, eve_s, _), (day, day_s, _) = (trips_and_durations(seed) for seed in (2, 3, 4))
    learned = TripDurations()
    learned.learn(trips, duration_s)
    learned.calibrate(eve, eve_s)
    predicted = learned.predict(day)
    assert ((day_s >= predicted.low_s) & (day_s <= predicted.high_s)).mean() == pytest.approx(0.8, abs=0.03)
    assert (predicted.low_s < predicted.median_s).all()


def test_learning_in_two_halves_is_learning_at_once_but_for_what_is_forgotten() -> None:
    trips, duration_s, _ = trips_and_durations(5)
    first = np.arange(trips.network_s.size) < 5_000
    halves = TripDurations()
    halves.learn(trips.where(first), duration_s[first])
    before = halves.predict(trips).median_s
    halves.learn(trips.where(~first), duration_s[~first] * 1.3, kept_share=0.0)
    assert np.median(halves.predict(trips).median_s / before) == pytest.approx(1.25, abs=0.06)


def test_untaught_it_says_the_network_and_the_kerb() -> None:
    trips, _, _ = trips_and_durations(6, 10)
    predicted = TripDurations().predict(trips)
    assert (predicted.median_s >= trips.network_s + 119).all()
    assert np.array_equal(predicted.low_s, predicted.high_s)


def test_invalid_input_is_refused() -> None:
    trips, duration_s, _ = trips_and_durations(7, 5)
    with pytest.raises(ValueError, match="positive"):
        TripDurations().learn(trips, -duration_s)
    with pytest.raises(ValueError, match="origin_deg must have shape"):
        Trips(trips.origin_deg[:2], trips.destination_deg, trips.hour_of_week, trips.network_s)
    with pytest.raises(ValueError, match="not a place"):
        Trips(trips.origin_deg[:, ::-1], trips.destination_deg, trips.hour_of_week, trips.network_s)
    with pytest.raises(ValueError, match="hour_of_week"):
        Trips(trips.origin_deg, trips.destination_deg, trips.hour_of_week + 200, trips.network_s)
