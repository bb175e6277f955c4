"""What a process says about itself."""

from __future__ import annotations

from backing.readiness import STUCK_AFTER_S, Readiness, Stage


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_process_is_ready_from_its_start_until_it_is_told_to_stop() -> None:
    readiness = Readiness()
    assert (readiness.stage, readiness.is_ready) == (Stage.STARTING, False)
    readiness.start()
    assert (readiness.stage, readiness.is_ready) == (Stage.READY, True)
    readiness.drain()
    assert (readiness.stage, readiness.is_ready) == (Stage.DRAINING, False)


def test_a_process_that_is_told_to_stop_while_it_starts_never_becomes_ready() -> None:
    readiness = Readiness()
    readiness.drain()
    readiness.start()
    assert readiness.stage is Stage.DRAINING


def test_a_loop_is_stuck_when_it_has_not_turned_for_long() -> None:
    clock = Clock()
    readiness = Readiness(clock)
    clock.now_s += 10 * STUCK_AFTER_S
    assert readiness.stuck_s == 0.0, "it has not begun: it may be compiling"
    readiness.beat()
    clock.now_s += STUCK_AFTER_S
    assert readiness.stuck_s == 0.0
    clock.now_s += 1.0
    assert readiness.stuck_s == STUCK_AFTER_S + 1.0
    readiness.beat()
    assert readiness.stuck_s == 0.0
