"""Step-response figures that the surge benchmark computes from a price series."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.pricing.surge_response import price_series, response, swings
from pricing.events import SurgeChanged

TICK_S = 15.0


def test_swings_count_turns_beyond_the_band_only() -> None:
    assert swings(np.array([1.0, 1.04, 1.0, 1.04, 1.0]), 0.05) == 0
    assert swings(np.array([1.0, 1.3, 1.6, 2.0]), 0.05) == 0
    assert swings(np.array([1.0, 2.0, 1.97, 2.0, 1.2]), 0.05) == 1
    assert swings(np.array([1.0, 1.2, 1.0, 1.2, 1.0]), 0.05) == 3


def test_a_price_that_has_not_settled_at_the_end_of_the_day_has_no_turns_afterwards() -> None:
    assert swings(np.array([]), 0.05) == 0


def test_a_slow_turn_counts_like_a_quick_one() -> None:
    there = np.linspace(1.0, 1.5, 50)
    assert swings(np.concatenate([there, there[::-1]]), 0.1) == 1


def test_a_response_by_hand() -> None:
    before, shock = np.ones(240), np.r_[1.5, 2.2, np.full(18, 2.0)]
    after = np.r_[1.6, 1.2, 0.9, np.ones(60)]
    found = response(np.concatenate([before, shock, after]), TICK_S, (240 * TICK_S, 260 * TICK_S), 0.05)
    assert found.peak == 2.2
    assert found.overshoot == pytest.approx(0.1)
    assert found.undershoot == pytest.approx(0.1)
    assert found.settling_s == 3 * TICK_S


def test_the_series_is_what_stood_after_each_tick() -> None:
    cells = np.array([5, 7, 9], np.uint64)
    nothing = np.zeros(1)

    def change(at_s: float, cell: int, multiplier: float) -> SurgeChanged:
        return SurgeChanged(
            at_s=at_s, version="1", is_frozen=False, cell=np.array([cell], np.uint64),
            multiplier=np.array([multiplier]), multiplier_before=nothing, requests=nothing, quotes=nothing,
            idle_drivers=nothing, supply=nothing, target=nothing, wanted=nothing, bounds=nothing.astype(np.uint8),
        )  # fmt: skip

    series = price_series([change(115.0, 7, 1.1), change(145.0, 7, 1.2)], cells, 100.0, 175.0, TICK_S)
    assert series[:, 0].tolist() == [1.0] * 6
    assert series[:, 1].tolist() == [1.0, 1.1, 1.1, 1.2, 1.2, 1.2]
