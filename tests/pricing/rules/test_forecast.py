"""The demand forecast for the next quarter-hour, from the usual day and today's requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.rules.forecast import QUARTERS_OF_DAY, DemandForecast, ForecastParams, profile_of

USUAL = 10.0 + 5.0 * np.sin(np.arange(QUARTERS_OF_DAY)[:, None] / 96.0 * 2.0 * np.pi) * np.array([1.0, 0.5, -1.0])


def test_a_usual_day_is_forecast_as_usual() -> None:
    forecast = DemandForecast(USUAL)
    for quarter in range(20):
        assert forecast.ahead(quarter) == pytest.approx(USUAL[quarter])
        forecast.observe(quarter, USUAL[quarter])
    assert forecast.error.forecast == pytest.approx(0.0, abs=1e-12)
    assert forecast.error.last_quarter > 0.0


def test_a_busier_day_is_soon_forecast_better_than_by_the_profile() -> None:
    forecast = DemandForecast(USUAL)
    for quarter in range(20):
        forecast.observe(quarter, 1.5 * USUAL[quarter])
    assert forecast.ahead(20) == pytest.approx(1.5 * USUAL[20], rel=0.15)
    error = forecast.error
    assert error.forecast < 0.5 * error.profile == pytest.approx(0.5 / 3.0, rel=0.01)


def test_one_busy_place_hardly_changes_what_is_expected_of_another() -> None:
    forecast = DemandForecast(np.full((QUARTERS_OF_DAY, 50), 10.0))
    for quarter in range(12):
        forecast.observe(quarter, [30.0] + [10.0] * 49)
    ahead = forecast.ahead(12)
    assert ahead[0] > 22.0
    assert ahead[1:] == pytest.approx(10.0, rel=0.05)


def test_old_observations_lose_their_weight() -> None:
    forecast = DemandForecast(USUAL, ForecastParams(half_life_quarters=1.0))
    for quarter in range(8):
        forecast.observe(quarter, 3.0 * USUAL[quarter])
    for quarter in range(8, 30):
        forecast.observe(quarter, USUAL[quarter])
    assert forecast.ahead(30) == pytest.approx(USUAL[30], rel=1e-3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=12, max_size=12), st.integers(0, 95))
def test_forecasts_are_finite_and_never_negative(counts: list[int], first: int) -> None:
    forecast = DemandForecast(np.tile([0.0, 0.5, 20.0], (QUARTERS_OF_DAY, 1)))
    for step, came in enumerate(np.reshape(counts, (4, 3))):
        forecast.observe(first + step, came)
        ahead = forecast.ahead(first + step + 1)
        assert np.isfinite(ahead).all()
        assert (ahead >= 0.0).all()
    assert all(error is None or error >= 0.0 for error in (forecast.error.forecast, forecast.error.profile))


def test_a_profile_keeps_the_sum_and_leans_on_the_quarters_next_to_each() -> None:
    profile = profile_of(np.array([0, 0, 0, 0, 95]), np.array([1, 1, 1, 1, 0]), 2, 2)
    assert profile.sum() == pytest.approx(2.5)
    assert profile[[95, 0, 1], 1].tolist() == [0.5, 1.0, 0.5]
    assert profile[[94, 95, 0], 0].tolist() == [0.125, 0.25, 0.125]


def test_invalid_input_is_refused() -> None:
    with pytest.raises(ValueError, match="places"):
        DemandForecast(np.zeros((24, 3)))
    with pytest.raises(ValueError, match="3 numbers"):
        DemandForecast(USUAL).observe(0, [1.0, 2.0])
    with pytest.raises(ValueError, match="half_life_quarters"):
        ForecastParams(half_life_quarters=0.0)
    with pytest.raises(ValueError, match="days"):
        profile_of(np.array([0]), np.array([0]), 1, 0)
