"""The engine: one event for each ping, in order, with a bounded memory that can be set back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_ingest.commands import RecordPings
from location_ingest.engine import IngestEngine
from location_ingest.events import PingRejected, PositionAccepted
from location_ingest.model import DriverPing, IngestParams, Reason
from location_ingest.rules import Track, to_ms

NOW_S = 1_700_000_000.0

streets = st.lists(
    st.builds(
        DriverPing,
        driver_id=st.sampled_from("abc"),
        t_s=st.floats(NOW_S - 60, NOW_S + 30),
        lat_deg=st.floats(40.7, 40.8),
        lng_deg=st.sampled_from([-73.98, -73.97, -64.0]),
    ),
    max_size=30,
)


def record(*pings: DriverPing, received_s: float = NOW_S) -> RecordPings:
    return RecordPings("manhattan", received_s, pings)


def make_ping(driver_id: str = "d", t_s: float = NOW_S) -> DriverPing:
    return DriverPing(driver_id, t_s, 40.75, -73.98)


def test_each_ping_gets_one_event_in_order() -> None:
    first, second = make_ping("a"), make_ping("b")
    events = IngestEngine().handle(record(first, second, first), NOW_S)
    assert events == [
        PositionAccepted("manhattan", first),
        PositionAccepted("manhattan", second),
        PingRejected("manhattan", first, Reason.DUPLICATE_TIME),
    ]


@given(streets)
def test_accepted_times_of_a_driver_only_increase(pings: Any) -> None:
    last_ms: dict[str, int] = {}
    for event in IngestEngine().handle(record(*pings), NOW_S):
        if isinstance(event, PositionAccepted):
            assert to_ms(event.ping.t_s) > last_ms.get(event.ping.driver_id, 0)
            last_ms[event.ping.driver_id] = to_ms(event.ping.t_s)


@given(streets)
def test_a_replay_an_hour_later_decides_as_the_first_run_did(pings: Any) -> None:
    assert IngestEngine().handle(record(*pings), NOW_S) == IngestEngine().handle(record(*pings), NOW_S + 3_600)


@given(streets, streets)
def test_after_restore_the_same_pings_are_judged_alike_again(earlier: Any, later: Any) -> None:
    engine = IngestEngine()
    engine.handle(record(*earlier), NOW_S)
    before = engine.tracks_of(("manhattan", ping.driver_id) for ping in later)
    first = engine.handle(record(*later), NOW_S)
    engine.restore(before)
    assert engine.handle(record(*later), NOW_S) == first


@given(streets, streets)
def test_a_repeated_message_is_rejected_entirely(earlier: Any, later: Any) -> None:
    engine = IngestEngine()
    engine.handle(record(*earlier), NOW_S)
    accepted = [e.ping for e in engine.handle(record(*later), NOW_S) if isinstance(e, PositionAccepted)]
    again = engine.handle(record(*accepted), NOW_S)
    assert all(isinstance(event, PingRejected) for event in again)


def test_a_message_that_claims_to_be_from_the_future_is_judged_by_now() -> None:
    event = IngestEngine().handle(record(make_ping(t_s=NOW_S + 900), received_s=NOW_S + 900), NOW_S)[0]
    assert event == PingRejected("manhattan", make_ping(t_s=NOW_S + 900), Reason.FROM_THE_FUTURE)


@given(streets, streets)
def test_another_region_changes_no_verdict(earlier: Any, later: Any) -> None:
    alone, together = IngestEngine(), IngestEngine()
    together.handle(RecordPings("brooklyn", NOW_S, tuple(earlier)), NOW_S)
    assert together.handle(record(*later), NOW_S) == alone.handle(record(*later), NOW_S)


def test_drivers_silent_for_long_are_forgotten() -> None:
    engine = IngestEngine()
    engine.handle(record(make_ping("silent"), make_ping("talking")), NOW_S)
    params = IngestParams()
    later_s = NOW_S + params.forget_after_s + params.age_s_max + 1
    engine.handle(record(make_ping("talking", later_s), received_s=later_s), later_s)
    assert engine.tracks_of([("manhattan", "silent")]) == {("manhattan", "silent"): None}
    assert len(engine) == 1


@given(streets, st.floats(0.0, 200.0))
def test_verdicts_do_not_depend_on_how_long_the_pings_were_on_their_way(pings: Any, delay_s: Any) -> None:
    at_once = IngestEngine().handle(record(*pings, received_s=NOW_S + 30), NOW_S + 30)
    assert IngestEngine().handle(record(*pings, received_s=NOW_S + 30 + delay_s), NOW_S + 30 + delay_s) == at_once


def test_what_a_replay_believes_of_one_region_does_not_depend_on_how_far_another_is() -> None:
    engine = IngestEngine()
    engine.handle(record(make_ping()), NOW_S + 10_000)
    engine.handle(RecordPings("brooklyn", NOW_S + 9_000, ()), NOW_S + 10_000)
    assert len(engine) == 1


@pytest.mark.parametrize("drivers_max", [1, 3])
def test_the_memory_is_bounded_and_the_longest_silent_goes_first(drivers_max: Any) -> None:
    engine = IngestEngine(IngestParams(drivers_max=drivers_max))
    for number in range(10):
        engine.handle(record(make_ping(str(number), NOW_S + 0.1 * number)), NOW_S + 5)
        assert len(engine) <= drivers_max
    assert engine.tracks_of([("manhattan", "9")])["manhattan", "9"] is not None


def test_a_rejected_ping_leaves_the_last_believed_one_in_place() -> None:
    engine = IngestEngine()
    engine.handle(record(make_ping()), NOW_S)
    engine.handle(record(replace(make_ping(), t_s=NOW_S + 1, lat_deg=float("nan"))), NOW_S + 1)
    assert engine.tracks_of([("manhattan", "d")])["manhattan", "d"] == Track.begun(make_ping())
