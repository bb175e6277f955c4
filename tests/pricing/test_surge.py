"""Properties of the surge controller, for any parameters that are allowed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.model import SurgeParams
from pricing.rules import surge

all_params = st.builds(
    SurgeParams,
    demand_elasticity=st.floats(0.2, 3.0),
    supply_elasticity=st.floats(0.2, 3.0),
    requests_per_driver=st.floats(0.2, 5.0),
    minimum_requests=st.floats(0.5, 20.0),
    surge_step_max=st.floats(0.01, 0.5),
    surge_hysteresis=st.floats(0.005, 0.2),
    surge_floor=st.integers(40, 99).map(lambda hundredths: hundredths / 100),
    surge_cap=st.integers(101, 800).map(lambda hundredths: hundredths / 100),
)
requests = st.floats(0.0, 10_000.0)
drivers = st.floats(0.0, 10_000.0)


def target(demand: float, supply: float, params: SurgeParams) -> float:
    return float(surge.target_log_multiplier(np.array([demand]), np.array([supply]), params)[0])


def walked(demand: float, supply: float, params: SurgeParams, ticks: int) -> list[float]:
    """The multipliers over some ticks of steady demand and supply, from the base price."""
    x, seen = np.zeros(1), []
    for _ in range(ticks):
        aim = surge.target_log_multiplier(np.array([demand]), np.array([supply]), params)
        x = surge.next_log_multiplier(x, aim, params)
        seen.append(float(surge.multipliers(x, params)[0]))
    return seen


def test_the_target_clears_the_cell() -> None:
    params = SurgeParams(demand_elasticity=1.0, supply_elasticity=1.0, surge_cap=5.0)
    m = math.exp(target(36.0, 9.0, params))
    assert m == pytest.approx(2.0)
    assert 36.0 * m**-1.0 == pytest.approx(9.0 * m**1.0)


@given(requests, requests, drivers, all_params)
def test_more_demand_never_lowers_a_surge(one: float, other: float, supply: float, params: SurgeParams) -> None:
    less, more = sorted((one, other))
    assert max(0.0, target(less, supply, params)) <= max(0.0, target(more, supply, params))


@given(requests, requests, drivers, all_params)
def test_with_full_evidence_more_demand_never_lowers_any_price(
    one: float, other: float, supply: float, params: SurgeParams
) -> None:
    less, more = sorted(2.0 * params.minimum_requests + count for count in (one, other))
    assert target(less, supply, params) <= target(more, supply, params)


@given(requests, drivers, drivers, all_params)
def test_more_supply_never_raises_a_price(demand: float, one: float, other: float, params: SurgeParams) -> None:
    less, more = sorted((one, other))
    assert target(demand, less, params) >= target(demand, more, params)


@given(requests, requests, drivers, all_params, st.integers(1, 12))
def test_over_many_ticks_too_more_demand_never_lowers_a_surge(
    one: float, other: float, supply: float, params: SurgeParams, ticks: int
) -> None:
    less, more = sorted((one, other))
    below, above = walked(less, supply, params, ticks)[-1], walked(more, supply, params, ticks)[-1]
    assert max(1.0, below) <= max(1.0, above) * (1 + 1e-12)


@given(st.lists(st.tuples(requests, drivers), min_size=1, max_size=30), all_params)
def test_a_price_stays_within_floor_and_cap_and_moves_by_bounded_steps(
    city: list[tuple[float, float]], params: SurgeParams
) -> None:
    x, before = np.zeros(1), 1.0
    for demand, supply in city:
        aim = surge.target_log_multiplier(np.array([demand]), np.array([supply]), params)
        x = surge.next_log_multiplier(x, aim, params)
        now = float(surge.multipliers(x, params)[0])
        assert params.surge_floor <= now <= params.surge_cap
        step = max(now / before, before / now) - 1.0
        assert step <= params.surge_step_max * (1 + 1e-9) + 1e-12
        assert step == 0.0 or now == 1.0 or step > min(params.surge_hysteresis, params.surge_step_max) * (1 - 1e-9)
        before = now


@given(st.floats(0.0, 1.0), drivers, all_params, st.integers(1, 5))
def test_without_the_minimum_of_evidence_the_price_stays_at_its_base(
    share: float, supply: float, params: SurgeParams, ticks: int
) -> None:
    assert walked(share * params.minimum_requests, supply, params, ticks) == [1.0] * ticks


@given(st.floats(0.1, 10.0), all_params)
def test_a_price_walks_home_to_exactly_one_when_demand_ends(start: float, params: SurgeParams) -> None:
    x = np.log(np.clip(np.array([start]), params.surge_floor, params.surge_cap))
    for _ in range(math.ceil(abs(float(x[0])) / math.log1p(params.surge_step_max)) + 1):
        aim = surge.target_log_multiplier(np.zeros(1), np.zeros(1), params)
        x = surge.next_log_multiplier(x, aim, params)
    assert surge.multipliers(x, params)[0] == 1.0


def test_a_change_within_the_hysteresis_is_left_alone() -> None:
    params = SurgeParams(surge_hysteresis=0.05)
    current = np.log(np.array([1.5, 1.5, 1.5]))
    aim = np.log(np.array([1.55, 1.46, 1.6]))
    moved = np.exp(surge.next_log_multiplier(current, aim, params))
    assert moved == pytest.approx([1.5, 1.5, 1.6])


def test_demand_halves_in_each_half_life_and_never_grows() -> None:
    assert surge.decay_factor(0.0, 300.0) == 1.0
    assert surge.decay_factor(600.0, 300.0) == 0.25
    assert surge.decay_factor(-5.0, 300.0) == 1.0
    assert surge.decay_factor(math.inf, 300.0) == 0.0


@given(st.floats(0.1, 10.0), st.floats(-1e6, 1e6), st.floats(0.0, 1e6), all_params)
def test_a_stored_price_only_fades_towards_one_and_stays_within_bounds(
    multiplier: float, age_s: float, later_s: float, params: SurgeParams
) -> None:
    younger = surge.aged_multiplier(multiplier, age_s, params)
    older = surge.aged_multiplier(multiplier, age_s + later_s, params)
    assert params.surge_floor <= younger <= params.surge_cap
    assert abs(math.log(older)) <= abs(math.log(younger)) + 1e-12


def test_a_stored_price_counts_fully_for_half_its_life_and_not_at_all_after_it() -> None:
    params = SurgeParams(price_life_s=300.0)
    assert surge.aged_multiplier(2.25, -10.0, params) == pytest.approx(2.25)
    assert surge.aged_multiplier(2.25, 150.0, params) == pytest.approx(2.25)
    assert surge.aged_multiplier(2.25, 225.0, params) == pytest.approx(1.5)
    assert surge.aged_multiplier(2.25, 300.0, params) == 1.0
    assert surge.aged_multiplier(2.25, 1e9, params) == 1.0
