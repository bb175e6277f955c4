"""The ping filter, rule by rule, and its properties for arbitrary ping sequences."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.distances import great_circle_m
from kernel.section_reader import read_params
from location_ingest.model import DriverPing, GatewayParams, IngestParams, Reason, StoreParams
from location_ingest.rules import Track, is_within_reach, judge, order_reason, place_reason, time_reason, wrong_field

NOW_S = 1_700_000_000.0
PARAMS = IngestParams()
PING = DriverPing("d", NOW_S, 40.75, -73.98)

places = st.builds(
    DriverPing,
    driver_id=st.just("d"),
    t_s=st.floats(NOW_S, NOW_S + 100),
    lat_deg=st.floats(-90, 90),
    lng_deg=st.floats(-180, 180),
)
anything = st.one_of(st.none(), st.floats())
any_pings = st.builds(DriverPing, st.just("d"), st.floats(), st.floats(), st.floats(), anything, anything, anything)


def seen(ping: DriverPing, track: Track | None = None, params: IngestParams = PARAMS) -> Reason | None:
    return judge(ping, track, NOW_S, params)[0]


@pytest.mark.parametrize("field", ["t_s", "lat_deg", "lng_deg"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_rejected_as_not_finite(field: Any, value: Any) -> None:
    assert seen(replace(PING, **{field: value})) is Reason.NOT_FINITE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat_deg", 90.001),
        ("lat_deg", -91),
        ("lng_deg", 180.001),
        ("lng_deg", -181),
        ("accuracy_m", -1),
        ("accuracy_m", -math.inf),
    ],
)
def test_a_number_beyond_its_unit_is_out_of_range(field: Any, value: Any) -> None:
    wrong = replace(PING, **{field: value})
    assert seen(wrong) is Reason.OUT_OF_RANGE
    assert wrong_field(wrong) == (field, Reason.OUT_OF_RANGE)


@pytest.mark.parametrize("heading_deg", [None, 90.0, -1.0, 361.0, math.nan, math.inf])
@pytest.mark.parametrize("speed_mps", [None, 3.0, -1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("accuracy_m", [None, 5.0, math.nan])
def test_a_speed_and_a_heading_that_the_phone_does_not_know_leave_the_place_believed(
    heading_deg: Any, speed_mps: Any, accuracy_m: Any
) -> None:
    ping = replace(PING, heading_deg=heading_deg, speed_mps=speed_mps, accuracy_m=accuracy_m)
    assert seen(ping) is None


def test_an_accuracy_beyond_all_measure_is_coarse() -> None:
    assert seen(replace(PING, accuracy_m=math.inf)) is Reason.TOO_COARSE


@pytest.mark.parametrize("ping", [PING, replace(PING, lat_deg=90, lng_deg=-180, heading_deg=360, accuracy_m=0)])
def test_a_sound_first_ping_is_believed(ping: Any) -> None:
    assert judge(ping, None, NOW_S, PARAMS) == (None, Track.begun(ping))


def test_the_time_must_be_near_that_of_receipt() -> None:
    assert time_reason(NOW_S + PARAMS.future_skew_s_max, NOW_S, PARAMS) is None
    assert time_reason(NOW_S + PARAMS.future_skew_s_max + 0.1, NOW_S, PARAMS) is Reason.FROM_THE_FUTURE
    assert time_reason(NOW_S - PARAMS.age_s_max, NOW_S, PARAMS) is None
    assert time_reason(NOW_S - PARAMS.age_s_max - 0.1, NOW_S, PARAMS) is Reason.TOO_OLD


def test_the_time_must_grow_by_a_whole_millisecond() -> None:
    assert order_reason(NOW_S, None) is None
    assert order_reason(NOW_S + 0.001, NOW_S) is None
    assert order_reason(NOW_S + 0.0001, NOW_S) is Reason.DUPLICATE_TIME
    assert order_reason(NOW_S - 0.001, NOW_S) is Reason.OUT_OF_ORDER


def test_a_coarse_fix_is_not_believed_and_an_unknown_accuracy_is() -> None:
    assert seen(replace(PING, accuracy_m=PARAMS.accuracy_m_max + 1)) is Reason.TOO_COARSE
    assert seen(replace(PING, accuracy_m=None)) is None


def drive(start: DriverPing, count: int, every_s: float = 5.0, speed_mps: float | None = None) -> list[DriverPing]:
    """Return pings of a car that goes north by about 11 m from one to the next."""
    return [
        replace(start, t_s=start.t_s + every_s * step, lat_deg=start.lat_deg + 1e-4 * step, speed_mps=speed_mps)
        for step in range(count)
    ]


def judged(pings: list[DriverPing], track: Track | None = None, params: IngestParams = PARAMS) -> list[Reason | None]:
    """Return the verdicts of a drive, each ping received when it was taken."""
    reasons = []
    for ping in pings:
        reason, track = judge(ping, track, ping.t_s, params)
        reasons.append(reason)
    return reasons


def test_a_jump_is_not_believed_and_the_next_ping_of_the_old_track_is() -> None:
    track = Track.begun(replace(PING, t_s=NOW_S - 10))
    reason, after = judge(replace(PING, t_s=NOW_S - 5, lat_deg=41.75), track, NOW_S, PARAMS)
    assert reason is Reason.IMPOSSIBLE_JUMP
    assert after[:3] == track[:3]
    there = replace(PING, lat_deg=40.7501)
    assert judge(there, after, NOW_S, PARAMS) == (None, Track.begun(there))


def test_small_jitter_is_believed_however_short_the_time_between() -> None:
    track = Track.begun(replace(PING, t_s=NOW_S - 0.01))
    assert seen(replace(PING, lat_deg=PING.lat_deg + 0.001), track) is None
    assert seen(replace(PING, lat_deg=PING.lat_deg + 0.002), track) is Reason.IMPOSSIBLE_JUMP


def test_a_drive_far_away_is_quarantined_and_believed_when_it_has_gone_on_for_long_enough() -> None:
    held = int(PARAMS.quarantine_s / 5.0)
    reasons = judged([PING, *drive(replace(PING, t_s=NOW_S + 5, lat_deg=41.75), held + 9)])
    assert reasons == [None, *[Reason.IMPOSSIBLE_JUMP] * held, *[None] * 9]


def test_a_point_pinned_to_the_map_far_away_is_not_believed_before_the_old_place_is_forgotten() -> None:
    pinned = [replace(PING, t_s=NOW_S + 5.0 * step, lat_deg=41.0) for step in range(1, 200)]
    reasons = judged([PING, *pinned])
    first = next(step for step, reason in enumerate(reasons[1:], 1) if reason is None)
    assert 5.0 * first == PARAMS.forget_after_s + 5.0


def test_a_jump_that_was_not_far_is_believed_once_a_car_could_be_there() -> None:
    pinned = [replace(PING, t_s=NOW_S + 5.0 * step, lat_deg=40.78) for step in range(1, 30)]
    reasons = judged([PING, *pinned])
    reach_s = (0.03 * 111_195 - PARAMS.jump_slack_m) / PARAMS.speed_mps_max
    first = next(step for step, reason in enumerate(reasons[1:], 1) if reason is None)
    assert first == math.ceil(reach_s / 5.0) > 1


def test_a_driver_who_returns_from_a_far_jump_is_accepted_at_once() -> None:
    away = [replace(PING, t_s=NOW_S + 5.0 * step, lat_deg=41.0 + 1e-4 * step) for step in range(1, 100)]
    back = replace(PING, t_s=NOW_S + 505.0, lat_deg=40.76)
    assert judged([PING, *away, back]) == [None, *[Reason.IMPOSSIBLE_JUMP] * 99, None]


def test_jumps_that_do_not_agree_with_one_another_are_never_believed() -> None:
    scattered = [replace(PING, t_s=NOW_S + 5.0 * step, lat_deg=40.75 - (step % 5 + 1)) for step in range(1, 150)]
    assert set(judged([PING, *scattered])[1:]) == {Reason.IMPOSSIBLE_JUMP}


def test_after_a_long_gap_any_position_is_accepted() -> None:
    later_s = NOW_S + PARAMS.forget_after_s + 0.1
    assert judged([PING, replace(PING, t_s=later_s, lat_deg=-33.0)]) == [None, None]


def test_repeated_coordinates_with_a_speed_are_rejected_after_repeats_max_pings() -> None:
    pings = [replace(PING, t_s=NOW_S + 4.0 * step, speed_mps=8.0) for step in range(20)]
    believed = 1 + PARAMS.moving_repeats_max
    assert judged(pings) == [None] * believed + [Reason.REPEATED_COORDINATES] * (20 - believed)


@pytest.mark.parametrize("speed_mps", [0.0, None, -1.0, math.nan])
@pytest.mark.parametrize("every_s", [4.0, 60.0])
def test_a_parked_phone_that_repeats_its_last_fix_is_believed_however_long(speed_mps: Any, every_s: Any) -> None:
    arriving = drive(replace(PING, lat_deg=40.74), 5, every_s=every_s, speed_mps=8.0)
    parked = [
        replace(arriving[-1], t_s=arriving[-1].t_s + every_s * step, heading_deg=-1.0, speed_mps=speed_mps)
        for step in range(1, 200)
    ]
    assert set(judged([*arriving, *parked])) == {None}


@pytest.mark.parametrize("unknown_mps", [None, -1.0, math.nan])
def test_a_city_may_limit_how_long_coordinates_are_repeated_without_a_speed(unknown_mps: Any) -> None:
    params = IngestParams(frozen_s_max=300.0)
    pings = [replace(PING, t_s=NOW_S + 4.0 * step, speed_mps=unknown_mps) for step in range(120)]
    believed = 1 + int(params.frozen_s_max / 4.0)
    expected = [None] * believed + [Reason.REPEATED_COORDINATES] * (120 - believed)
    assert judged(pings, params=params) == expected
    thrifty = [replace(PING, t_s=NOW_S + 60.0 * step) for step in range(20)]
    assert judged(thrifty, params=params) == [None] * (1 + params.repeats_max) + [Reason.REPEATED_COORDINATES] * (
        19 - params.repeats_max
    )


def test_repeated_coordinates_with_speed_zero_are_accepted() -> None:
    pings = [replace(PING, t_s=NOW_S + 4.0 * step, speed_mps=0.5) for step in range(2_000)]
    assert set(judged(pings)) == {None}


def test_a_frozen_receiver_is_believed_again_as_soon_as_it_drives() -> None:
    frozen = [replace(PING, t_s=NOW_S + 4.0 * step, speed_mps=8.0) for step in range(20)]
    there = replace(PING, t_s=NOW_S + 100.0, lat_deg=40.76, speed_mps=8.0)
    assert judged([*frozen, *drive(there, 5, speed_mps=8.0)])[-5:] == [None] * 5


@given(st.lists(any_pings, max_size=8), st.floats(-89, 89), st.floats(-180, 180))
def test_no_driver_is_locked_out_for_longer_than_the_quarantine(junk: Any, lat_deg: Any, lng_deg: Any) -> None:
    track = Track.begun(PING)
    for ping in junk:
        _, track = judge(ping, track, NOW_S, PARAMS)
    later_s = NOW_S + PARAMS.future_skew_s_max + 1.0
    pings = drive(DriverPing("d", later_s, lat_deg, lng_deg), 2 + int(PARAMS.quarantine_s / 5.0))
    assert None in judged(pings, track)


steps = st.tuples(st.floats(0.0, 400.0), st.sampled_from([0.0, 1e-4, 0.01, 0.5]), st.sampled_from([None, 0.0, 9.0]))


@given(st.lists(steps, max_size=40))
def test_every_believed_ping_was_within_reach_of_the_last_or_ended_a_whole_quarantine(drawn: Any) -> None:
    t_s, track = NOW_S, Track.begun(PING)
    for gap_s, north_deg, speed_mps in drawn:
        t_s += gap_s
        ping = DriverPing("d", t_s, 40.75 + north_deg, -73.98, None, speed_mps)
        reason, after = judge(ping, track, t_s, PARAMS)
        jumped = t_s - track.t_s <= PARAMS.forget_after_s and not is_within_reach(*track[:3], ping, PARAMS)
        if reason is None and jumped:
            assert t_s - track.suspect_since_s >= PARAMS.quarantine_s
        if reason is Reason.IMPOSSIBLE_JUMP:
            assert jumped or track.suspect_is_far
        track = after


@given(any_pings)
def test_every_ping_gets_a_verdict_and_only_places_on_the_globe_are_believed(ping: Any) -> None:
    reason, track = judge(ping, None, NOW_S, PARAMS)
    assert (reason is None) == (track is not None)
    if reason is None:
        assert place_reason(ping) is None
        assert abs(ping.lat_deg) <= 90


@given(places, places, st.floats(0.1, 200), st.floats(0, 1e7))
def test_within_reach_means_along_the_great_circle(earlier: Any, later: Any, speed_mps_max: Any, slack_m: Any) -> None:
    params = IngestParams(speed_mps_max=speed_mps_max, jump_slack_m=slack_m)
    reach_m = slack_m + speed_mps_max * (later.t_s - earlier.t_s)
    distance_m = great_circle_m(earlier.lat_deg, earlier.lng_deg, later.lat_deg, later.lng_deg)[0]
    if abs(distance_m - reach_m) > 1e-3:
        within = is_within_reach(earlier.t_s, earlier.lat_deg, earlier.lng_deg, later, params)
        assert within == (distance_m < reach_m)


@pytest.mark.parametrize("driver_id", ["", "d" * 65])
def test_an_id_that_no_key_should_hold_is_refused_at_birth(driver_id: str) -> None:
    with pytest.raises(ValueError, match="driver_id"):
        replace(PING, driver_id=driver_id)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (IngestParams, {"age_s_max": 0}),
        (IngestParams, {"future_skew_s_max": -1}),
        (IngestParams, {"speed_mps_max": math.nan}),
        (IngestParams, {"jump_slack_m": math.inf}),
        (IngestParams, {"jumps_to_recover": 0}),
        (IngestParams, {"quarantine_s": -1}),
        (IngestParams, {"moving_mps_min": 0}),
        (IngestParams, {"frozen_s_max": math.nan}),
        (IngestParams, {"frozen_s_max": -1}),
        (GatewayParams, {"group_wait_s": 0}),
        (GatewayParams, {"held_pings_max": -5}),
        (StoreParams, {"batch_positions_max": 1_001}),
        (StoreParams, {"remove_after_s": math.inf}),
    ],
)
def test_invalid_parameters_are_refused_on_construction(kind: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)


def test_a_city_file_may_say_what_is_believed_and_mistakes_in_it_are_named() -> None:
    assert read_params({"ingest": {"age_s_max": 60}}, IngestParams) == IngestParams(age_s_max=60)
    assert read_params({}, StoreParams) == StoreParams()
    unlimited = read_params({"ingest": {"frozen_s_max": math.inf}}, IngestParams)
    assert unlimited == IngestParams()
    with pytest.raises(ValueError, match=r"\[ingest\] agility is not a key of this section"):
        read_params({"ingest": {"agility": 1}}, IngestParams)
    with pytest.raises(ValueError, match="remove_after_s must be"):
        read_params({"cells": {"remove_after_s": -1}}, StoreParams)


def test_a_jump_over_180_is_as_far_as_elsewhere() -> None:
    """Who jumped far and goes on from there stays in quarantine, however long after: over 180° as anywhere."""

    def verdicts(lng_deg: float) -> list[Reason | None]:
        track, told = None, []
        for after_s, east_deg in ((0.0, -0.3), (10.0, -0.0001), (700.0, 0.0001), (710.0, 0.0002)):
            moved = (lng_deg + east_deg + 180.0) % 360.0 - 180.0
            ping = replace(PING, t_s=NOW_S + after_s, lat_deg=0.0, lng_deg=moved)
            reason, track = judge(ping, track, NOW_S + after_s, PARAMS)
            told.append(reason)
        return told

    assert verdicts(180.0) == verdicts(100.0)
    assert verdicts(100.0)[1:3] == [Reason.IMPOSSIBLE_JUMP] * 2
