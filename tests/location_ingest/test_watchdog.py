"""The watchdog's decision that a worker is stuck."""

from __future__ import annotations

from typing import Any

import pytest

from location_ingest.adapters.faust_agent import AgentParams, Watchdog


def test_an_idle_worker_without_lag_is_not_stuck() -> None:
    watchdog = Watchdog(stuck_after_s=10)
    assert not any(watchdog.is_stuck(now_s, lag=0, processed=0) for now_s in range(100))


def test_a_busy_worker_is_not_stuck_however_far_behind() -> None:
    watchdog = Watchdog(stuck_after_s=10)
    assert not any(watchdog.is_stuck(now_s, lag=1_000_000, processed=now_s) for now_s in range(100))


@pytest.mark.parametrize("lag", [1, None])
def test_a_worker_with_lag_and_no_progress_is_stuck_after_the_timeout(lag: Any) -> None:
    watchdog = Watchdog(stuck_after_s=10)
    assert not watchdog.is_stuck(0, lag, 5)
    assert not watchdog.is_stuck(1, lag, 5)
    assert not watchdog.is_stuck(10.9, lag, 5)
    assert watchdog.is_stuck(11, lag, 5)


def test_any_progress_restarts_the_timeout() -> None:
    watchdog = Watchdog(stuck_after_s=10)
    watchdog.is_stuck(0, 5, 5)
    watchdog.is_stuck(1, 5, 5)
    assert not watchdog.is_stuck(10, 5, 6)
    assert not watchdog.is_stuck(12, 5, 6)
    assert not watchdog.is_stuck(21, 5, 6)
    assert watchdog.is_stuck(22, 5, 6)


def test_invalid_parameters_are_refused_on_construction() -> None:
    with pytest.raises(ValueError, match="stuck_after_s"):
        AgentParams(stuck_after_s=0)
