"""Budgets of frames and bytes: what fits, how they refill, and that a person's outlive a stream."""

from __future__ import annotations

import pytest

from api.auth.tokens import Principal, Role
from api.streams.budgets import OPENING_FRAMES, PEOPLE_KEPT, FrameBudget, FrameLimits, PersonBudgets

LIMITS = FrameLimits(frames_burst=10, frames_per_s=2, bytes_burst=100, bytes_per_s=10)
ALICE, BOB = Principal(Role.RIDER, "alice"), Principal(Role.RIDER, "bob")


def taken(budget: FrameBudget, frames: int, now_s: float) -> int:
    return sum(budget.take_frames(1, now_s) for _ in range(frames))


def test_a_burst_fits_and_one_frame_more_does_not() -> None:
    budget = FrameBudget(LIMITS, now_s=0.0)
    assert taken(budget, 11, now_s=0.0) == 10


def test_a_budget_refills_steadily_and_never_beyond_its_burst() -> None:
    budget = FrameBudget(LIMITS, now_s=0.0)
    assert taken(budget, 10, now_s=0.0) == 10
    assert taken(budget, 10, now_s=2.0) == 4
    assert taken(budget, 100, now_s=3600.0) == 10


def test_a_clock_that_goes_back_refills_nothing() -> None:
    budget = FrameBudget(LIMITS, now_s=100.0)
    assert taken(budget, 10, now_s=100.0) == 10
    assert taken(budget, 10, now_s=50.0) == 0
    assert taken(budget, 10, now_s=100.0) == 0


def test_bytes_are_counted_beside_frames() -> None:
    budget = FrameBudget(LIMITS, now_s=0.0)
    assert budget.take_bytes(100, now_s=0.0)
    assert not budget.take_bytes(1, now_s=0.0)
    assert budget.take_bytes(50, now_s=5.0)


def test_streams_of_one_person_share_what_the_person_may_send() -> None:
    people = PersonBudgets({role: FrameLimits(OPENING_FRAMES * 2 + 15, 1, 100, 1) for role in Role})
    streams = [FrameBudget(LIMITS, now_s=0.0) for _ in range(2)]
    for stream in streams:
        person = people.open_stream(ALICE, now_s=0.0)
        assert person is not None
        stream.share(person)
    assert [taken(stream, 10, now_s=0.0) for stream in streams] == [10, 5]


def test_connecting_again_brings_no_new_budget_and_another_person_keeps_theirs() -> None:
    people = PersonBudgets({role: FrameLimits(OPENING_FRAMES * 2, 1, 100, 1) for role in Role})
    assert people.open_stream(ALICE, now_s=0.0) is not None
    assert people.open_stream(ALICE, now_s=0.0) is not None
    assert people.open_stream(ALICE, now_s=0.0) is None
    assert people.open_stream(BOB, now_s=0.0) is not None
    assert people.open_stream(ALICE, now_s=float(OPENING_FRAMES)) is not None


def test_people_who_have_sent_nothing_for_long_are_forgotten() -> None:
    people = PersonBudgets()
    for number in range(PEOPLE_KEPT):
        people.open_stream(Principal(Role.DRIVER, f"driver-{number}"), now_s=0.0)
    people.open_stream(ALICE, now_s=3600.0)
    assert len(people) == 1


@pytest.mark.parametrize("name", ["frames_burst", "frames_per_s", "bytes_burst", "bytes_per_s"])
def test_a_limit_that_is_not_positive_is_refused(name: str) -> None:
    values = {"frames_burst": 1.0, "frames_per_s": 1.0, "bytes_burst": 1.0, "bytes_per_s": 1.0}
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=name):
            FrameLimits(**{**values, name: wrong})
