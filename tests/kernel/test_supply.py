"""The rule of supply: whose position counts, who is idle, and the state in which a driver is shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.supply import BUSY, DriverState, Duties, driver_states, is_fresh, is_idle

WEB = Path(__file__).parents[2] / "web" / "src"
#: shift, offer, on the way to a pickup, at a pickup, rider aboard; fresh
drivers = st.lists(st.tuples(*[st.booleans()] * 6), max_size=30)


def judged(fleet: list[tuple[bool, ...]]) -> tuple[Duties, np.ndarray]:
    columns = np.array(fleet, bool).reshape(len(fleet), 6).T
    return Duties(*columns[:5]), columns[5]


@pytest.mark.parametrize(
    ("age_s", "fresh"),
    [(0.0, True), (60.0, True), (60.001, False), (-5.0, True), (np.inf, False), (np.nan, False)],
    ids=["now", "at the limit", "past it", "clock ahead", "never seen", "unknown"],
)
def test_a_position_counts_up_to_and_including_the_limit(age_s: float, *, fresh: bool) -> None:
    assert is_fresh(np.array([1000.0 - age_s]), 1000.0, 60.0).tolist() == [fresh]


@pytest.mark.parametrize(
    ("duties", "fresh", "state"),
    [
        ("", True, DriverState.OFFLINE),
        ("", False, DriverState.OFFLINE),
        ("shift", True, DriverState.IDLE),
        ("shift offer", True, DriverState.OFFERED),
        ("shift to_pickup", True, DriverState.TO_PICKUP),
        ("shift at_pickup", True, DriverState.AT_PICKUP),
        ("shift on_trip", True, DriverState.ON_TRIP),
        ("shift on_trip offer", True, DriverState.ON_TRIP),
        ("shift on_trip to_pickup", True, DriverState.ON_TRIP),
        ("shift", False, DriverState.STALE),
        ("shift on_trip", False, DriverState.STALE),
    ],
)
def test_the_state_is_what_the_driver_is_bound_to_unless_off_shift_or_stale(
    duties: str, *, fresh: bool, state: DriverState
) -> None:
    bound = [np.array([word in duties.split()]) for word in ("shift", "offer", "to_pickup", "at_pickup", "on_trip")]
    assert driver_states(Duties(*bound), np.array([fresh])) == [state]


@given(drivers)
def test_the_drivers_shown_as_idle_are_exactly_the_supply(fleet: list[tuple[bool, ...]]) -> None:
    duties, fresh = judged(fleet)
    states = driver_states(duties, fresh)
    assert [state is DriverState.IDLE for state in states] == is_idle(duties.is_free, fresh).tolist()
    has_ride = duties.is_to_pickup | duties.is_at_pickup | duties.is_on_trip
    assert [state in BUSY for state in states] == (duties.is_on_shift & has_ride & fresh).tolist()


def test_the_map_knows_every_state_that_is_shown_and_no_other() -> None:
    shown = {state.value for state in DriverState} - {"OFFLINE"}
    [union] = re.findall(r"export type DriverState = (.*);", (WEB / "contract.ts").read_text())
    assert set(re.findall(r'"(\w+)"', union)) == shown
    assert set(re.findall(r'\{ state: "(\w+)"', (WEB / "states.ts").read_text())) == shown
