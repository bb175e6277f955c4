"""Properties of the surge controller, for any parameters that are allowed.

Each property is tried in 10,000 regions of 19 cells: 200 examples of hypothesis, each with parameters of its own, times
50 regions side by side.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.model.surge import SurgeParams
from pricing.rules import kernels, surge
from tests.pricing import plain_surge
from tests.pricing.regions import (
    COPIES,
    PATCH,
    REGIONS,
    all_params,
    seeds,
    some_counts,
    some_prices,
    some_signals,
    steepest,
)

EXAMPLES = 10_000 // COPIES
in_ten_thousand_regions = settings(max_examples=EXAMPLES, deadline=None)
ROUNDING = 1e-9


def walk(start: np.ndarray, signals: surge.Signals, params: SurgeParams, ticks: int) -> np.ndarray:
    """The log multipliers (ticks + 1, c) under steady signals."""
    seen = [start]
    for _ in range(ticks):
        seen.append(surge.next_log_multiplier(REGIONS, seen[-1], signals, params).log_multiplier)
    return np.array(seen)


def ticks_across(params: SurgeParams) -> int:
    """Enough to walk from the floor to the cap."""
    return math.ceil(math.log(params.surge_cap / params.surge_floor) / math.log1p(params.surge_step_max)) + 2


# -- what holds always ------------------------------------------------------------------------------------------------


@in_ten_thousand_regions
@given(seeds, all_params, st.integers(1, 6))
def test_more_demand_never_lowers_a_price_anywhere(seed: int, params: SurgeParams, ticks: int) -> None:
    rng = np.random.default_rng(seed)
    less, start = some_signals(rng), some_prices(rng, params)
    requests = less.requests + some_counts(rng) * (rng.random(len(REGIONS)) < 0.3)
    quotes = less.quotes + some_counts(rng) * (rng.random(len(REGIONS)) < 0.3)
    more = surge.Signals(requests, quotes, less.supply)
    assert (walk(start, less, params, ticks) <= walk(start, more, params, ticks) + ROUNDING).all()


@in_ten_thousand_regions
@given(seeds, all_params, st.integers(1, 6))
def test_more_drivers_never_raise_a_price_anywhere(seed: int, params: SurgeParams, ticks: int) -> None:
    rng = np.random.default_rng(seed)
    fewer, start = some_signals(rng), some_prices(rng, params)
    added = REGIONS.reach.supply(np.floor(some_counts(rng)) * (rng.random(len(REGIONS)) < 0.3))
    more = surge.Signals(fewer.requests, fewer.quotes, fewer.supply + added)
    assert (walk(start, fewer, params, ticks) >= walk(start, more, params, ticks) - ROUNDING).all()


@in_ten_thousand_regions
@given(seeds, all_params, st.integers(1, 6))
def test_a_price_that_stood_higher_never_ends_lower(seed: int, params: SurgeParams, ticks: int) -> None:
    rng = np.random.default_rng(seed)
    signals, one, other = some_signals(rng), some_prices(rng, params), some_prices(rng, params)
    below, above = np.minimum(one, other), np.maximum(one, other)
    assert (walk(below, signals, params, ticks) <= walk(above, signals, params, ticks) + ROUNDING).all()


@in_ten_thousand_regions
@given(seeds, all_params)
def test_floor_cap_step_and_neighbours_hold_at_every_tick_of_any_history(seed: int, params: SurgeParams) -> None:
    rng = np.random.default_rng(seed)
    x = some_prices(rng, params)
    assert steepest(REGIONS, x) <= math.log(params.neighbour_ratio_max) + ROUNDING
    for _ in range(8):
        after = surge.next_log_multiplier(REGIONS, x, some_signals(rng), params).log_multiplier
        shown = surge.multipliers(after, params)
        assert (shown >= params.surge_floor).all()
        assert (shown <= params.surge_cap).all()
        assert np.abs(after - x).max() <= math.log1p(params.surge_step_max) + ROUNDING
        assert steepest(REGIONS, after) <= math.log(params.neighbour_ratio_max) + ROUNDING
        x = after


@in_ten_thousand_regions
@given(seeds, all_params, st.floats(30.0, 3_000.0))
def test_a_step_of_demand_moves_prices_one_way_and_its_end_back_with_one_turn(
    seed: int, params: SurgeParams, half_life_s: float
) -> None:
    """A stadium: so many requests a tick from one moment on, none from another on; counts follow with their decay."""
    rng = np.random.default_rng(seed)
    quiet, per_tick = some_signals(rng), some_counts(rng)
    kept = surge.decay_factor(params.tick_s, half_life_s)
    ticks = ticks_across(params)
    x, crowd, seen = walk(some_prices(rng, params), quiet, params, ticks)[-1], np.zeros(len(REGIONS)), []
    for tick in range(2 * ticks + 30):
        crowd = kept * crowd + (per_tick if tick < ticks else 0.0)
        signals = surge.Signals(quiet.requests + crowd, quiet.quotes, quiet.supply)
        seen.append(x)
        x = surge.next_log_multiplier(REGIONS, x, signals, params).log_multiplier
    step = np.diff(seen, axis=0)
    direction = np.where(np.abs(step) > ROUNDING, np.sign(step), 0.0)
    # The last direction taken, carried over pauses; a turn is where it changes.
    for row in range(1, len(direction)):
        direction[row] = np.where(direction[row] == 0.0, direction[row - 1], direction[row])
    turns = ((direction[1:] != direction[:-1]) & (direction[:-1] != 0.0)).sum(axis=0)
    assert turns.max() <= 1
    assert (direction[:ticks] >= 0.0).all()


@in_ten_thousand_regions
@given(seeds, all_params)
def test_when_demand_ends_no_price_stays_above_the_base_and_without_drivers_all_are_at_it(
    seed: int, params: SurgeParams
) -> None:
    rng = np.random.default_rng(seed)
    start, nothing = some_prices(rng, params), np.zeros(len(REGIONS))
    idle = REGIONS.reach.supply(np.floor(some_counts(rng)))
    ticks = ticks_across(params)
    quiet = walk(start, surge.Signals(nothing, nothing, idle), params, ticks)[-1]
    assert (surge.multipliers(quiet, params) <= 1.0).all()
    empty = walk(start, surge.Signals(nothing, nothing, nothing), params, ticks)[-1]
    assert (surge.multipliers(empty, params) == 1.0).all()


@in_ten_thousand_regions
@given(seeds, all_params, st.integers(1, 6))
def test_fewer_than_the_minimum_of_requests_in_a_region_raise_no_price_whatever_is_asked(
    seed: int, params: SurgeParams, ticks: int
) -> None:
    rng = np.random.default_rng(seed)
    requests = some_counts(rng).reshape(COPIES, -1) + 1e-12
    requests *= params.minimum_requests * rng.random((COPIES, 1)) / requests.sum(axis=1, keepdims=True)
    few = surge.Signals(requests.ravel(), 100.0 * some_counts(rng), some_signals(rng).supply)
    assert (surge.multipliers(walk(np.zeros(len(REGIONS)), few, params, ticks)[-1], params) <= 1.0).all()


@settings(max_examples=30, deadline=None)
@given(seeds, all_params)
def test_the_kernels_agree_with_the_reference_controller(seed: int, params: SurgeParams) -> None:
    rng = np.random.default_rng(seed)
    signals, start = some_signals(rng), some_prices(rng, params)
    own = slice(0, len(PATCH))
    here = surge.Signals(signals.requests[own], signals.quotes[own], signals.supply[own])
    fast = surge.next_log_multiplier(PATCH, start[own], here, params).log_multiplier
    slow = plain_surge.next_log_multiplier(PATCH, start[own], here.requests, here.quotes, here.supply, params)
    assert fast == pytest.approx(slow, abs=ROUNDING)
    # Side by side is the same as alone.
    assert surge.next_log_multiplier(REGIONS, start, signals, params).log_multiplier[own] == pytest.approx(fast)


def test_the_kernels_do_the_same_as_written() -> None:
    rng = np.random.default_rng(7)
    demand, supply, value = some_counts(rng, 19), some_counts(rng, 19), rng.normal(0.0, 1.0, 19)
    for kernel, arguments in (
        (kernels.spread, (PATCH.reach.offset, PATCH.reach.origin, PATCH.reach.share, demand)),
        (kernels.shrunk_ratio, (PATCH.ancestor, demand, supply, 2.0)),
        (kernels.smoothed, (PATCH.neighbour, value, 0.3, 4)),
        (kernels.lowered, (PATCH.neighbour, value, 0.2)),
    ):
        assert kernel(*arguments) == pytest.approx(getattr(kernel, "py_func", kernel)(*arguments), abs=1e-12)


# -- what it comes to -------------------------------------------------------------------------------------------------


def signals_of(requests: float, supply: float) -> surge.Signals:
    """The same everywhere in the patch."""
    everywhere = np.ones(len(PATCH))
    return surge.Signals(requests * everywhere, 0.0 * everywhere, supply * everywhere)


def test_a_target_clears_the_cell() -> None:
    params = SurgeParams(requests_per_driver=1.0, surge_cap=5.0, prior_drivers=1e-9)
    target, _ = surge.target_log_multiplier(PATCH, signals_of(36.0, 9.0), params)
    m = np.exp(target)
    assert m == pytest.approx(2.0)
    assert 36.0 * m**-1.0 == pytest.approx(9.0 * m**1.0)


def test_a_thin_cell_goes_by_its_parents_and_a_busy_one_by_itself() -> None:
    params = SurgeParams(requests_per_driver=1.0, surge_cap=8.0)
    signals = signals_of(100.0, 25.0)
    signals.requests[3], signals.supply[3] = 0.1, 0.0
    signals.requests[11], signals.supply[11] = 900.0, 25.0
    multiplier = np.exp(surge.target_log_multiplier(PATCH, signals, params)[0])
    assert multiplier[3] == pytest.approx(2.0, rel=0.3)
    assert multiplier[11] == pytest.approx(6.0, rel=0.05)


def test_a_lone_peak_is_spread_over_its_surroundings() -> None:
    params = SurgeParams(neighbour_ratio_max=1.25)
    peak = np.zeros(len(PATCH))
    middle = int(np.argmax((PATCH.neighbour >= 0).sum(axis=1)))
    peak[middle] = math.log(3.0)
    near = np.exp(surge.near_neighbours(PATCH, peak, params))
    around = near[PATCH.neighbour[middle]]
    assert near[middle] == pytest.approx(math.sqrt(3.0 * 1.25))
    assert around == pytest.approx(near[middle] / 1.25)


def test_a_change_within_the_hysteresis_is_left_alone_and_the_way_home_is_walked_to_its_end() -> None:
    params = SurgeParams(surge_hysteresis=0.05, surge_floor=0.78, surge_cap=3.0)
    wanted = np.log(np.array([3.0, 1.5, 1.04, 1.0, 0.8]))
    least, greatest = np.exp(surge.dead_band(wanted, params))
    assert least == pytest.approx([3.0 / 1.05, 1.5 / 1.05, 1.04**0.5, 1.0, 0.78])
    assert greatest == pytest.approx([3.0, 1.5 * 1.05, 1.04**1.5, 1.0, 0.84])


def test_changes_name_the_binding_limit() -> None:
    params = SurgeParams(surge_cap=2.0)
    hot = surge.next_log_multiplier(PATCH, np.zeros(19), signals_of(1_000.0, 1.0), params)
    assert (hot.bounds == surge.Bound.CAP | surge.Bound.DEAD_BAND | surge.Bound.STEP).all()
    thin = surge.next_log_multiplier(PATCH, np.zeros(19), signals_of(1.0, 0.0), SurgeParams(minimum_requests=1e6))
    assert (thin.bounds == surge.Bound.EVIDENCE).all()
    idle = surge.next_log_multiplier(PATCH, np.zeros(19), signals_of(0.0, 9.0), params)
    assert (idle.bounds & surge.Bound.FLOOR).all()


def test_other_parameters_are_another_version_and_the_same_are_the_same() -> None:
    assert surge.version_of(SurgeParams()) == surge.version_of(SurgeParams())
    assert surge.version_of(SurgeParams()) != surge.version_of(SurgeParams(surge_cap=2.5))


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
