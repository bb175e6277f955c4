"""Trying again until it works or the process is to stop; waits are recorded, not waited."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from backing.retry import Backoff, RestartNeeded, retry_until_stopped
from hexhail.runtime.repeating import StopEvent, repeat
from tests.patience import PATIENCE_S


class RecordedStop:
    """Stands for a Faust application that is told to stop after so many waits."""

    def __init__(self, stops_after: int = 1_000) -> None:
        self.slept_s: list[float] = []
        self.stops_after = stops_after

    @property
    def should_stop(self) -> bool:
        return len(self.slept_s) >= self.stops_after

    async def sleep(self, seconds: float, /) -> None:
        self.slept_s.append(seconds)


class FailsFirst:
    """A call that fails so often before it works."""

    def __init__(self, failures: int) -> None:
        self.failures_left = failures
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.failures_left:
            self.failures_left -= 1
            raise ConnectionError(f"{self.failures_left} left")


def test_waits_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(0.1, 1.0)
    assert [backoff.next_s() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next_s() == 0.1


def test_with_jitter_no_two_waits_are_the_same_and_none_is_shorter_than_half() -> None:
    backoff = Backoff(0.2, 5.0, random.Random(1))
    waits_s = [backoff.next_s() for _ in range(20)]
    assert 0.1 <= waits_s[0] <= 0.2
    assert all(2.5 <= wait_s <= 5.0 for wait_s in waits_s[5:])
    assert len(set(waits_s)) == 20


@pytest.mark.parametrize("waits_s", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_waits_that_do_not_grow_are_refused(waits_s: Any) -> None:
    with pytest.raises(ValueError, match="waits must grow from above 0"):
        Backoff(*waits_s)


async def test_a_call_is_repeated_until_it_works_and_each_failure_is_told() -> None:
    stop, attempt, told = RecordedStop(), FailsFirst(3), []
    assert await retry_until_stopped(attempt, stop, Backoff(0.1, 0.2), lambda error, s: told.append((str(error), s)))
    assert (attempt.calls, stop.slept_s) == (4, [0.1, 0.2, 0.2])
    assert told == [("2 left", 0.1), ("1 left", 0.2), ("0 left", 0.2)]


async def test_a_stop_ends_the_tries() -> None:
    stop, attempt = RecordedStop(stops_after=2), FailsFirst(1_000)
    assert not await retry_until_stopped(attempt, stop, Backoff(0.1, 0.2), lambda error, s: None)
    assert (attempt.calls, stop.slept_s) == (2, [0.1, 0.2])


async def test_nothing_is_tried_after_a_stop() -> None:
    attempt = FailsFirst(0)
    assert not await retry_until_stopped(attempt, RecordedStop(0), Backoff(0.1, 0.2), lambda error, s: None)
    assert attempt.calls == 0


async def test_a_cancelled_call_is_not_tried_again() -> None:
    calls = 0

    async def is_cancelled() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await retry_until_stopped(is_cancelled, RecordedStop(), Backoff(0.1, 0.2), lambda error, s: None)
    assert calls == 1


async def test_a_step_is_taken_again_after_it_failed_and_a_stop_ends_its_wait() -> None:
    """With an hour between the steps: only the stop can end the wait for the second one."""
    stop = StopEvent()
    calls: list[Any] = []

    async def step() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise ConnectionError("away")
        stop.set()

    async with asyncio.timeout(PATIENCE_S):
        await repeat(step, lambda: 3600.0, stop)
    assert calls == [0, 1]


async def test_a_stop_that_is_set_during_a_wait_ends_it() -> None:
    stop = StopEvent()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    async with asyncio.timeout(PATIENCE_S):
        await stop.sleep(3600.0)
    assert stop.should_stop


async def test_an_error_that_only_a_restart_mends_is_not_tried_again() -> None:
    calls = 0

    async def is_hopeless() -> None:
        nonlocal calls
        calls += 1
        raise RestartNeeded("the coordination task has ended")

    with pytest.raises(RestartNeeded):
        await retry_until_stopped(is_hopeless, RecordedStop(), Backoff(0.1, 0.2), lambda error, s: None)
    assert calls == 1
