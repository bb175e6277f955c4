"""Each check alone refuses what it is for, and all let good weights pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.model import Candidate, Evidence, LearnedTrafficParams, Refusal
from traffic.rules.checks import refusal_of
from traffic.rules.proposal import expected_factor, limited

PARAMS = LearnedTrafficParams()
LENGTH_M = np.full(50, 100.0)
EVIDENCE = Evidence(40, 600, 30, 1.2, 120, 0.30, 0.25)
GOOD = Candidate(np.full(50, 1.1), np.ones(50), EVIDENCE)


def changed(**evidence: Any) -> Candidate:
    return replace(GOOD, evidence=replace(EVIDENCE, **evidence))


def with_edge(factor: float, in_force: float = 1.0) -> Candidate:
    factors, before = GOOD.factor.copy(), GOOD.in_force.copy()
    factors[7], before[7] = factor, in_force
    return replace(GOOD, factor=factors, in_force=before)


def test_good_weights_pass() -> None:
    assert refusal_of(GOOD, LENGTH_M, PARAMS) is None


@pytest.mark.parametrize(
    ("candidate", "refusal"),
    [
        (changed(drivers=PARAMS.region_drivers_min - 1), Refusal.COVERAGE),
        (with_edge(8.5, 8.0), Refusal.BOUNDS),
        (with_edge(0.3, 0.4), Refusal.BOUNDS),
        (with_edge(np.nan), Refusal.BOUNDS),
        (changed(pace=5.2), Refusal.REGION_PACE),
        (changed(pace=0.5), Refusal.REGION_PACE),
        (with_edge(1.6), Refusal.CHANGE),
        (replace(GOOD, factor=np.full(50, 1.25)), Refusal.CHANGE),
        (changed(error_candidate=0.33), Refusal.HELD_BACK),
        (changed(error_in_force=None, error_candidate=None), Refusal.HELD_BACK),
    ],
)
def test_bad_weights_are_refused_for_their_reason(candidate: Candidate, refusal: Refusal) -> None:
    assert refusal_of(candidate, LENGTH_M, PARAMS) is refusal


factors = st.lists(st.floats(0.4, 8.0), min_size=5, max_size=5).map(np.array)


@given(factors, factors)
def test_whatever_is_asked_for_an_update_goes_no_farther_than_allowed_and_never_past_it(
    before: np.ndarray, asked: np.ndarray
) -> None:
    length_m = np.array([10.0, 200.0, 50.0, 0.0, 120.0])
    factor = limited(before, asked, length_m, PARAMS)
    step, wish = np.log(factor / before), np.log(asked / before)
    assert np.abs(step).max() <= np.log(PARAMS.edge_change_max) + 1e-9
    assert (np.abs(step) * length_m).sum() / length_m.sum() <= np.log(PARAMS.region_change_max) + 1e-9
    assert (np.abs(step) <= np.abs(wish) + 1e-9).all()
    assert (step * wish >= -1e-12).all()


def test_without_drives_half_of_the_way_back_takes_a_half_life() -> None:
    back = expected_factor(np.full(1, 4.0), np.ones(1), PARAMS.half_life_s, PARAMS.half_life_s)
    assert back[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"update_every_s": 0.0}, "update_every_s must be positive"),
        ({"keep_s": 600.0}, "keep_s must be at least three times"),
        ({"window_s": 60.0}, "window_s must be at least"),
        ({"slower_max": 1.0}, "slower_max must be a factor above 1"),
        ({"drivers_min": 1}, "drivers_min must be at least 2"),
        ({"held_back_one_in": 1}, "held_back_one_in"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LearnedTrafficParams(**wrong)
