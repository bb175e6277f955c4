"""The checker of histories finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispatch.engine import DispatchEngine
from dispatch.rules.invariants import check_history
from tests.dispatch.people import PARAMS, accept, arrive, decline, drop_off, offer, pick_up, request


def _events(*commands: Any) -> Any:
    engine = DispatchEngine(PARAMS)
    return [event for now_s, command in enumerate(commands) for event in engine.handle(command, float(now_s))]


def _whole_ride() -> Any:
    return _events(request(), offer(), accept(), arrive(), pick_up(), drop_off())


def test_an_honest_history_has_no_violation() -> None:
    history = check_history(_whole_ride())
    assert history.violations == []
    assert history.open_rides() == []


def test_a_second_live_ride_of_a_driver_is_found_although_both_end_well() -> None:
    other = [replace(e, ride_id="other") for e in _whole_ride()]
    other[1] = replace(other[1], token=2, offer_id="other-2")
    other[2] = replace(other[2], token=2, offer_id="other-2")
    first = _whole_ride()
    interleaved = [first[0], other[0], first[1], first[2], other[1], other[2], *first[3:], *other[3:]]
    violations = check_history(interleaved).violations
    assert any("has rides ride and other at once" in violation for violation in violations)


def test_two_offers_of_one_driver_at_once_are_found() -> None:
    first = _events(request(), offer())
    second = [replace(e, ride_id="other") for e in first]
    second[1] = replace(second[1], token=2, offer_id="other-2")
    violations = check_history([*first, *second]).violations
    assert violations == ["1 driver dora has offers ride-1 and other-2 at once"]


def test_an_old_token_is_found() -> None:
    first = _events(request(), offer(token=5), decline("ride-5"))
    second = [replace(e, ride_id="other") for e in _events(request(), offer(token=4))]
    violations = check_history([*first, *second]).violations
    assert violations == ["2 driver dora: token 4 is not newer than the last"]


def test_a_lost_event_and_one_told_twice_are_found() -> None:
    events = _whole_ride()
    assert check_history([*events[:2], *events[3:]]).violations
    assert check_history([*events[:2], events[1], *events[2:]]).violations
    assert check_history(events[1:]).violations


def test_a_driver_who_is_at_a_pickup_with_another_rider_aboard_is_found() -> None:
    first = _whole_ride()
    other = [replace(e, ride_id="other") for e in _whole_ride()]
    other[1] = replace(other[1], token=2, offer_id="other-2")
    other[2] = replace(other[2], token=2, offer_id="other-2")
    assert check_history([*first[:5], *other[:3], first[5], *other[3:]]).violations == []
    violations = check_history([*first[:5], *other[:4], first[5], *other[4:]]).violations
    assert violations == ["1 driver dora is with other while ride is aboard"]
