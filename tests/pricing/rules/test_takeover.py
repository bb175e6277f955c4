"""The prices that the next pricer goes on from."""

from __future__ import annotations

import pytest

from pricing.model.surge import RecordedPrice, SurgeParams, SurgePrice
from pricing.rules.takeover import CLOCKS_APART_S_MAX, moment_after, resumed_multiplier

NOW_S = 1_400_000_000.0
PARAMS = SurgeParams(price_life_s=300.0)


def resumed(recorded: RecordedPrice | None, multiplier: float, updated_s: float | None) -> float:
    return resumed_multiplier(recorded, SurgePrice(1, multiplier, updated_s), NOW_S, PARAMS)


def test_without_a_record_the_published_price_counts() -> None:
    assert resumed(None, 1.3, NOW_S - 10.0) == 1.3


def test_a_published_price_as_new_as_the_record_is_what_riders_see() -> None:
    """Published times are in milliseconds."""
    assert resumed(RecordedPrice(1.3, NOW_S - 200.0004), 1.15, NOW_S - 200.0) == 1.15


@pytest.mark.parametrize("published", [(1.1, NOW_S - 25.0), (1.0, None)])
def test_a_change_that_was_recorded_and_not_published_or_lost_counts(published: tuple[float, float | None]) -> None:
    assert resumed(RecordedPrice(1.2345678901234567, NOW_S - 10.0), *published) == 1.2345678901234567


def test_a_recorded_price_that_nobody_renewed_has_faded() -> None:
    assert 1.0 < resumed(RecordedPrice(1.5, NOW_S - 200.0), 1.0, None) < 1.5
    assert resumed(RecordedPrice(1.5, NOW_S - 300.0), 1.0, None) == 1.0


def test_a_clock_slightly_behind_the_record_is_brought_after_it_and_one_set_anew_is_left() -> None:
    assert moment_after(NOW_S + 0.5, NOW_S) > NOW_S + 0.5
    assert moment_after(NOW_S - 1.0, NOW_S) == NOW_S
    assert moment_after(NOW_S + CLOCKS_APART_S_MAX + 1.0, NOW_S) == NOW_S
