"""Repositioning: targets by zone, cheapest moves, and advice that spreads drivers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from pricing.adapters.highs_flow import solve_transport
from pricing.model.advice import RepositioningParams
from pricing.rules.repositioning import Transport, plan, targets

PARAMS = RepositioningParams()
#: Five zones in a row, two minutes apart.
ROW_S = 120.0 * np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))


def moves_of(idle: np.ndarray, target: np.ndarray, cost_s: np.ndarray, missing_s: float = 3600.0) -> np.ndarray:
    """All pairs may move."""
    zones = idle.size
    origin, destination = np.nonzero(~np.eye(zones, dtype=bool))
    problem = Transport(origin, destination, cost_s[origin, destination], idle, target, missing_s)
    moves = np.zeros((zones, zones), np.int64)
    moves[origin, destination] = solve_transport(problem)
    return moves


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 60), st.lists(st.floats(0.0, 100.0), min_size=1, max_size=12), st.integers(0, 3))
def test_targets_use_every_driver_and_keep_the_floor_where_there_are_enough(
    idle: int, forecast: list[float], floor: int
) -> None:
    wanted = targets(idle, forecast, RepositioningParams(floor=floor))
    expected = np.array(forecast)
    assert (wanted >= 0).all()
    assert wanted.sum() == (idle if expected.any() else 0)
    assert (wanted[expected == 0.0] == 0).all()
    if floor * np.count_nonzero(expected) <= idle:
        assert (wanted[expected > 0.0] >= floor).all()


def test_more_demand_is_never_given_fewer_drivers() -> None:
    wanted = targets(40, np.array([1.0, 2.0, 5.0, 20.0, 100.0]), PARAMS)
    assert (np.diff(wanted) >= 0).all()
    assert wanted[-1] < 40 * 100 / 128


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_moves_cost_what_the_best_assignment_of_each_driver_to_a_place_costs(seed: int, zones: int) -> None:
    rng = np.random.default_rng(seed)
    idle, target = rng.integers(0, 4, zones), rng.integers(0, 4, zones)
    cost_s = rng.uniform(10.0, 500.0, (zones, zones)).round()
    np.fill_diagonal(cost_s, 0.0)
    missing_s = 1000.0
    moves = moves_of(idle, target, cost_s, missing_s)
    assert (moves >= 0).all()
    assert (moves.sum(axis=1) <= idle).all()
    short = np.maximum(target - (idle + moves.sum(axis=0) - moves.sum(axis=1)), 0)
    driver, place = np.repeat(np.arange(zones), idle), np.repeat(np.arange(zones), target)
    # Every place may also stay empty, at its price; a driver may stay without one, for nothing.
    table = np.hstack([cost_s[driver][:, place].T, np.full((place.size, place.size), missing_s)])
    best = table[linear_sum_assignment(table)].sum()
    assert (moves * cost_s).sum() + missing_s * short.sum() == pytest.approx(best)


def test_nobody_moves_where_all_are_well_placed() -> None:
    idle = targets(30, np.array([1.0, 2.0, 5.0, 20.0, 100.0]), PARAMS)
    advice = plan(idle, np.array([1.0, 2.0, 5.0, 20.0, 100.0]), ROW_S, solve_transport, PARAMS)
    assert not advice.open_moves.any()


def test_nobody_is_asked_to_drive_beyond_reach() -> None:
    advice = plan(np.array([9, 0, 0, 0, 0]), np.ones(5), ROW_S, solve_transport, RepositioningParams(reach_s=130.0))
    assert np.flatnonzero(advice.open_moves.sum(axis=0)).tolist() == [1]


def test_advice_spreads_drivers_however_many_ask() -> None:
    idle = np.array([50, 0, 0, 0, 0])
    advice = plan(idle, np.array([1.0, 1.0, 1.0, 1.0, 50.0]), ROW_S, solve_transport, PARAMS)
    planned, rng = advice.open_moves.sum(axis=0).copy(), np.random.default_rng(1)
    went = np.bincount([advice.take(0, lambda count: rng.gumbel(size=count)) for _ in range(500)], minlength=5)
    assert (went[1:] <= planned[1:]).all()
    assert went[1:].sum() > 0.5 * planned[1:].sum()
    assert advice.take(3, lambda count: np.zeros(count)) == 3, "where nobody is to leave, everybody stays"


def test_without_noise_the_emptiest_zone_in_reach_is_filled_first() -> None:
    idle = np.array([0, 8, 2])
    equal_s = np.where(np.eye(3, dtype=bool), 0.0, 60.0)
    advice = plan(idle, np.ones(3), equal_s, solve_transport, PARAMS)
    assert [advice.take(1, np.zeros) for _ in range(2)] == [0, 0]


def test_a_plan_without_drivers_or_riders_is_empty() -> None:
    nobody, somebody = np.zeros(5, np.int64), np.ones(5, np.int64)
    for idle, forecast in ((nobody, np.ones(5)), (somebody, np.zeros(5))):
        assert not plan(idle, forecast, ROW_S, solve_transport, PARAMS).open_moves.any()


@pytest.mark.parametrize("wrong", [{"reach_s": 0.0}, {"floor": -1}, {"crowding_s": float("nan")}])
def test_invalid_parameters_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RepositioningParams(**wrong)
