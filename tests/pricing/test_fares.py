from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.model import Tariff
from pricing.rules.fares import fare_cents

TAXI = Tariff("USD", base_cents=250, per_km_cents=125, per_minute_cents=35, minimum_cents=700, rounding_cents=1)

distances = st.floats(0.0, 200_000.0)
durations = st.floats(0.0, 20_000.0)
surges = st.floats(0.5, 5.0)
cents = st.integers(0, 2_000)
tariffs = st.builds(
    lambda base, per_km, per_minute, rounding, minimum: Tariff(
        "USD", base, per_km, per_minute, minimum * rounding, rounding
    ),
    cents, cents, cents, st.sampled_from([1, 5, 10, 25, 100]), st.integers(0, 100),
)  # fmt: skip


def test_a_trip_costs_base_and_distance_and_time() -> None:
    # 250 + 10 km x 125 + 20 min x 35
    assert fare_cents(TAXI, 10_000.0, 1_200.0) == 2_200


def test_surge_multiplies_the_whole_and_the_result_is_rounded_once() -> None:
    # (250 + 1.234 x 125 + 3.5 x 35 = 526.75, below the minimum of 700) x 1.37
    assert fare_cents(TAXI, 1_234.0, 210.0, 1.37) == 959
    assert fare_cents(TAXI, 10_001.0, 1_201.0, 1.37) == math.floor((250 + 1250.125 + 35 * 1201 / 60) * 1.37 + 0.5)


def test_halves_round_up() -> None:
    tariff = Tariff("USD", 1_025, 0, 0, 0, 50)
    assert fare_cents(tariff, 0.0, 0.0) == 1_050


def test_a_discount_does_not_undercut_the_minimum() -> None:
    assert fare_cents(TAXI, 100.0, 30.0, 0.8) == 700


@given(tariffs, distances, durations, surges)
def test_a_fare_is_a_whole_multiple_of_the_rounding_and_at_least_the_minimum(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge: float
) -> None:
    fare = fare_cents(tariff, distance_m, travel_time_s, surge)
    assert type(fare) is int
    assert fare % tariff.rounding_cents == 0
    assert fare >= tariff.minimum_cents


@given(tariffs, distances, durations, surges, distances, durations, st.floats(0.0, 3.0))
def test_a_longer_slower_or_more_surged_trip_never_costs_less(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge: float, more_m: float, more_s: float, more: float
) -> None:
    fare = fare_cents(tariff, distance_m, travel_time_s, surge)
    assert fare <= fare_cents(tariff, distance_m + more_m, travel_time_s, surge)
    assert fare <= fare_cents(tariff, distance_m, travel_time_s + more_s, surge)
    assert fare <= fare_cents(tariff, distance_m, travel_time_s, surge + more)


@pytest.mark.parametrize(
    ("distance_m", "travel_time_s", "surge", "named"),
    [
        (-1.0, 0.0, 1.0, "distance_m"),
        (math.nan, 0.0, 1.0, "distance_m"),
        (0.0, math.inf, 1.0, "travel_time_s"),
        (0.0, 0.0, 0.0, "surge_multiplier"),
        (0.0, 0.0, math.nan, "surge_multiplier"),
    ],
)
def test_what_is_no_trip_has_no_fare(distance_m: float, travel_time_s: float, surge: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fare_cents(TAXI, distance_m, travel_time_s, surge)
