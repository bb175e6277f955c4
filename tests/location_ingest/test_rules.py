"""The ping filter, rule by rule, and what holds for every sequence of pings."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.distances import great_circle_m
from location_ingest.model import DriverPing, GatewayParams, IngestParams, Reason, StoreParams
from location_ingest.rules import Track, is_plausible, judge, order_reason, place_reason, time_reason

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


@pytest.mark.parametrize("field", ["t_s", "lat_deg", "lng_deg", "heading_deg", "speed_mps", "accuracy_m"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_not_finite(field, value):
    assert seen(replace(PING, **{field: value})) is Reason.NOT_FINITE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat_deg", 90.001),
        ("lat_deg", -91),
        ("lng_deg", 180.001),
        ("lng_deg", -181),
        ("heading_deg", -1),
        ("heading_deg", 360.5),
        ("speed_mps", -1),
        ("accuracy_m", -1),
    ],
)
def test_a_number_beyond_its_unit_is_out_of_range(field, value):
    assert seen(replace(PING, **{field: value})) is Reason.OUT_OF_RANGE


@pytest.mark.parametrize("ping", [PING, replace(PING, lat_deg=90, lng_deg=-180, heading_deg=360, accuracy_m=0)])
def test_a_sound_first_ping_is_believed(ping):
    assert judge(ping, None, NOW_S, PARAMS) == (None, Track(ping))


def test_the_time_must_be_near_that_of_receipt():
    assert time_reason(NOW_S + PARAMS.future_skew_s_max, NOW_S, PARAMS) is None
    assert time_reason(NOW_S + PARAMS.future_skew_s_max + 0.1, NOW_S, PARAMS) is Reason.FROM_THE_FUTURE
    assert time_reason(NOW_S - PARAMS.age_s_max, NOW_S, PARAMS) is None
    assert time_reason(NOW_S - PARAMS.age_s_max - 0.1, NOW_S, PARAMS) is Reason.TOO_OLD


def test_the_time_must_grow_by_a_whole_millisecond():
    assert order_reason(NOW_S, None) is None
    assert order_reason(NOW_S + 0.001, NOW_S) is None
    assert order_reason(NOW_S + 0.0001, NOW_S) is Reason.DUPLICATE_TIME
    assert order_reason(NOW_S - 0.001, NOW_S) is Reason.OUT_OF_ORDER


def test_a_coarse_fix_is_not_believed_and_an_unknown_accuracy_is():
    assert seen(replace(PING, accuracy_m=PARAMS.accuracy_m_max + 1)) is Reason.TOO_COARSE
    assert seen(replace(PING, accuracy_m=None)) is None


def test_a_jump_is_not_believed_and_the_next_ping_of_the_old_track_is():
    track = Track(replace(PING, t_s=NOW_S - 10))
    reason, after = judge(replace(PING, t_s=NOW_S - 5, lat_deg=41.75), track, NOW_S, PARAMS)
    assert reason is Reason.IMPOSSIBLE_JUMP
    assert after.last == track.last
    assert judge(PING, after, NOW_S, PARAMS) == (None, Track(PING))


def test_small_jitter_is_believed_however_short_the_time_between():
    track = Track(replace(PING, t_s=NOW_S - 0.01))
    assert seen(replace(PING, lat_deg=PING.lat_deg + 0.001), track) is None
    assert seen(replace(PING, lat_deg=PING.lat_deg + 0.002), track) is Reason.IMPOSSIBLE_JUMP


def test_jumps_that_agree_with_one_another_win_and_jumps_that_do_not_never_do():
    track, reasons = Track(replace(PING, t_s=NOW_S - 50)), []
    for step in range(3):
        there = replace(PING, t_s=NOW_S - 40 + step, lat_deg=41.75)
        reason, track = judge(there, track, NOW_S, PARAMS)
        reasons.append(reason)
    assert reasons == [Reason.IMPOSSIBLE_JUMP, Reason.IMPOSSIBLE_JUMP, None]
    for step in range(30):
        scattered = replace(PING, t_s=NOW_S - 30 + step, lat_deg=float(step))
        reason, track = judge(scattered, track, NOW_S, PARAMS)
        assert reason is Reason.IMPOSSIBLE_JUMP


@given(st.lists(any_pings, max_size=8), st.floats(-90, 90), st.floats(-180, 180))
def test_no_driver_is_locked_out_for_ever(junk, lat_deg, lng_deg):
    track = Track(PING)
    for ping in junk:
        _, track = judge(ping, track, NOW_S, PARAMS)
    later_s = NOW_S + PARAMS.future_skew_s_max + 1.0
    reasons = []
    for step in range(PARAMS.jumps_to_recover):
        ping = DriverPing("d", later_s + step, lat_deg, lng_deg)
        reason, track = judge(ping, track, later_s + step, PARAMS)
        reasons.append(reason)
    assert None in reasons


@given(any_pings)
def test_every_ping_gets_a_verdict_and_only_places_on_the_globe_are_believed(ping):
    reason, track = judge(ping, None, NOW_S, PARAMS)
    assert (reason is None) == (track is not None)
    if reason is None:
        assert place_reason(ping) is None
        assert abs(ping.lat_deg) <= 90


@given(places, places, st.floats(0.1, 200), st.floats(0, 1e7))
def test_plausible_means_within_reach_of_the_great_circle(earlier, later, speed_mps_max, slack_m):
    params = IngestParams(speed_mps_max=speed_mps_max, jump_slack_m=slack_m)
    reach_m = slack_m + speed_mps_max * (later.t_s - earlier.t_s)
    distance_m = great_circle_m(earlier.lat_deg, earlier.lng_deg, later.lat_deg, later.lng_deg)[0]
    if abs(distance_m - reach_m) > 1e-3:
        assert is_plausible(earlier, later, params) == (distance_m < reach_m)


@pytest.mark.parametrize("driver_id", ["", "d" * 65])
def test_an_id_that_no_key_should_hold_is_refused_at_birth(driver_id):
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
        (GatewayParams, {"group_wait_s": 0}),
        (GatewayParams, {"held_pings_max": -5}),
        (StoreParams, {"batch_positions_max": 1_001}),
        (StoreParams, {"stale_after_s": math.inf}),
    ],
)
def test_parameters_refuse_nonsense_at_birth(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)
