"""The window and the radius follow how many there are to choose from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.model import DispatchParams
from dispatch.rules.window import MarketWatch, RoundFigures

PARAMS = replace(DispatchParams(), batch_window_s_min=0.5, pickup_cap_s_min=60.0)
#: Seconds times the root of a count: a hundred idle drivers are a minute away.
KAPPA = 600.0


def market(n_waiting: Any, n_idle: Any, rate: Any, params: Any = PARAMS) -> Any:
    """A market in balance: each second so many drivers get free, requests come, and pairs are matched."""
    watch = MarketWatch(params)
    eta_s = KAPPA / max(n_waiting, n_idle) ** 0.5
    for second in range(1000):
        watch.observe(RoundFigures(float(second), n_waiting, n_idle, rate, eta_s))
    return watch


def test_nobody_is_held_while_drivers_abound() -> None:
    watch = market(n_waiting=2, n_idle=1000, rate=2)
    assert watch.window_s == 0.5
    assert watch.pickup_eta_s_max == PARAMS.pickup_eta_s_max


def test_requests_are_held_for_the_whole_window_while_each_driver_who_gets_free_makes_a_difference() -> None:
    assert market(n_waiting=2, n_idle=10, rate=2).window_s == 2.0


def test_the_window_ends_when_waiting_longer_costs_more_than_it_brings() -> None:
    # (600 * 10 / 2)^(2/3) = 208 drivers would be enough; the 10 that are missing come in 1 s.
    assert market(n_waiting=10, n_idle=198, rate=10).window_s == pytest.approx(1.0, abs=0.02)


def test_requests_count_where_drivers_choose_among_them() -> None:
    assert market(n_waiting=1000, n_idle=5, rate=2).window_s == 0.5
    assert market(n_waiting=20, n_idle=5, rate=5).window_s == 2.0


def test_nobody_is_sent_far_while_few_are_idle() -> None:
    # With 2 rides begun a second, 71 idle drivers serve most; from those the pickup takes 600 / sqrt(71) = 71 s.
    assert market(n_waiting=2, n_idle=40, rate=2).pickup_eta_s_max == pytest.approx(71.1, abs=0.5)
    assert market(n_waiting=2, n_idle=72, rate=2).pickup_eta_s_max == PARAMS.pickup_eta_s_max


def test_the_cap_has_a_floor_and_can_be_left_out() -> None:
    assert market(2, 40, 2, replace(PARAMS, pickup_cap_s_min=100.0)).pickup_eta_s_max == 100.0
    assert market(2, 40, 2, replace(PARAMS, pickup_cap_s_min=0.0)).pickup_eta_s_max == PARAMS.pickup_eta_s_max


def test_a_window_without_room_to_adapt_is_what_it_was() -> None:
    assert market(2, 1000, 2, DispatchParams()).window_s == DispatchParams().batch_window_s
    assert market(2, 40, 2, DispatchParams(batch_window_s=10.0)).window_s == 10.0
    assert MarketWatch(replace(PARAMS, batch_window_s=0.3)).window_s == 0.3


rounds = st.builds(
    RoundFigures,
    at_s=st.floats(0.0, 1e4),
    n_waiting=st.integers(0, 5000),
    n_idle=st.integers(0, 5000),
    n_matches=st.integers(0, 5000),
    pickup_eta_s=st.floats(0.0, 1800.0),
)


@given(st.lists(rounds, max_size=30))
def test_whatever_happens_both_stay_within_their_bounds(seen: Any) -> None:
    watch = MarketWatch(PARAMS)
    for figures in sorted(seen, key=lambda figures: figures.at_s):
        watch.observe(figures)
        assert 0.5 <= watch.window_s <= 2.0
        assert 60.0 <= watch.pickup_eta_s_max <= PARAMS.pickup_eta_s_max
