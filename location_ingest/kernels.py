"""The ping filter on arrays: same verdicts as the reference `rules.judge`, which explains each rule.

A driver is a dense number; its track is a row of `TRACK_NUMBERS` in the order of `rules.Track`, with t_s NaN if there
is none. Verdicts are 0 for accepted, else 1 + the index of the reason in `Reason`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo.arrays import CellArray, FloatArray, IntArray
from geo.distances import EARTH_RADIUS_M
from geo.jit import kernel
from location_ingest.model import IngestParams, Reason
from location_ingest.rules import Track

REASONS = tuple(Reason)
TRACK_NUMBERS = len(Track._fields)
ByteArray = NDArray[np.uint8]

#: The time of a driver of whom none is known.
NEVER_MS = np.iinfo(np.int64).min

_BELIEVED = 0
_NOT_FINITE = 1 + REASONS.index(Reason.NOT_FINITE)
_OUT_OF_RANGE = 1 + REASONS.index(Reason.OUT_OF_RANGE)
_FROM_THE_FUTURE = 1 + REASONS.index(Reason.FROM_THE_FUTURE)
_TOO_OLD = 1 + REASONS.index(Reason.TOO_OLD)
_DUPLICATE_TIME = 1 + REASONS.index(Reason.DUPLICATE_TIME)
_OUT_OF_ORDER = 1 + REASONS.index(Reason.OUT_OF_ORDER)
_TOO_COARSE = 1 + REASONS.index(Reason.TOO_COARSE)
_IMPOSSIBLE_JUMP = 1 + REASONS.index(Reason.IMPOSSIBLE_JUMP)
OFF_REGION = 1 + REASONS.index(Reason.OFF_REGION)
_REPEATED_COORDINATES = 1 + REASONS.index(Reason.REPEATED_COORDINATES)

# Columns of a row of pings and of a track.
_T, _LAT, _LNG, _, _SPEED, _ACCURACY = range(6)
(
    _STILL_SINCE,
    _REPEATS,
    _MOVING_REPEATS,
    _SUSPECTS,
    _SUSPECT_T,
    _SUSPECT_LAT,
    _SUSPECT_LNG,
    _SUSPECT_SINCE,
    _SUSPECT_IS_FAR,
) = range(3, 12)

_LIMITS = (
    "age_s_max",
    "future_skew_s_max",
    "speed_mps_max",
    "jump_slack_m",
    "jumps_to_recover",
    "quarantine_s",
    "far_jump_m",
    "moving_mps_min",
    "moving_repeats_max",
    "repeats_max",
    "frozen_s_max",
    "accuracy_m_max",
    "forget_after_s",
)
(
    _AGE_S_MAX,
    _FUTURE_SKEW_S_MAX,
    _SPEED_MPS_MAX,
    _JUMP_SLACK_M,
    _JUMPS_TO_RECOVER,
    _QUARANTINE_S,
    _FAR_JUMP_M,
    _MOVING_MPS_MIN,
    _MOVING_REPEATS_MAX,
    _REPEATS_MAX,
    _FROZEN_S_MAX,
    _ACCURACY_M_MAX,
    _FORGET_AFTER_S,
) = range(13)
_METRES_PER_DEGREE = np.radians(EARTH_RADIUS_M)


def limits_of(params: IngestParams) -> FloatArray:
    """Return the parameters as the kernels take them."""
    return np.array([getattr(params, name) for name in _LIMITS], np.float64)


@kernel
def _number_reason(row: FloatArray, received_s: float, limit: FloatArray) -> int:
    """Judge what needs no track: `place_reason`, then `time_reason`."""
    for column in range(3):
        if not np.isfinite(row[column]):
            return _NOT_FINITE
    # A comparison with NaN is false: an unknown accuracy passes.
    if abs(row[_LAT]) > 90.0 or abs(row[_LNG]) > 180.0 or row[_ACCURACY] < 0.0:
        return _OUT_OF_RANGE
    if row[_T] > received_s + limit[_FUTURE_SKEW_S_MAX]:
        return _FROM_THE_FUTURE
    if row[_T] < received_s - limit[_AGE_S_MAX]:
        return _TOO_OLD
    return _BELIEVED


@kernel
def judge_numbers(values: FloatArray, received_s: FloatArray, limit: FloatArray) -> NDArray[np.int8]:
    """Return the verdicts (n,) that need no track, on pings (n, 6) received at (n,); used by the edge."""
    verdict = np.zeros(values.shape[0], np.int8)
    for at in range(values.shape[0]):
        verdict[at] = _number_reason(values[at], received_s[at], limit)
    return verdict


@kernel
def judge_times_inplace(verdict: NDArray[np.int8], newest_ms: IntArray, slot: IntArray, t_s: FloatArray) -> None:
    """Refuse each believed ping (n,) that is not newer than the newest time (s,) of its slot, which it else becomes."""
    for at in range(verdict.shape[0]):
        if verdict[at] != _BELIEVED:
            continue
        t_ms = np.int64(np.rint(t_s[at] * 1e3))
        if t_ms > newest_ms[slot[at]]:
            newest_ms[slot[at]] = t_ms
        else:
            verdict[at] = _DUPLICATE_TIME if t_ms == newest_ms[slot[at]] else _OUT_OF_ORDER


@kernel
def _great_circle_m(lat_deg: float, lng_deg: float, to_lat_deg: float, to_lng_deg: float) -> float:
    """Return metres, as `geo.distances.great_circle_m`."""
    phi, to_phi = np.radians(lat_deg), np.radians(to_lat_deg)
    half_lat = np.sin((to_phi - phi) / 2.0)
    half_lng = np.sin(np.radians(to_lng_deg - lng_deg) / 2.0)
    share = half_lat**2 + np.cos(phi) * np.cos(to_phi) * half_lng**2
    distance_m: float = 2.0 * EARTH_RADIUS_M * np.arcsin(np.sqrt(min(share, 1.0)))
    return distance_m


@kernel
def _is_within_reach(
    t_s: float, lat_deg: float, lng_deg: float, row: FloatArray, limit: FloatArray, more_m: float
) -> bool:
    reach_m = limit[_JUMP_SLACK_M] + limit[_SPEED_MPS_MAX] * (row[_T] - t_s) + more_m
    detour_deg = abs(row[_LAT] - lat_deg) + abs(row[_LNG] - lng_deg)
    is_near: bool = detour_deg * _METRES_PER_DEGREE <= reach_m
    return is_near or _great_circle_m(lat_deg, lng_deg, row[_LAT], row[_LNG]) <= reach_m


@kernel
def _begin_track_inplace(track: FloatArray, row: FloatArray) -> None:
    track[:3] = row[:3]
    track[_STILL_SINCE] = row[_T]
    track[_REPEATS:] = 0.0


@kernel
def _continues_jump(track: FloatArray, row: FloatArray, limit: FloatArray) -> bool:
    is_on: bool = (
        track[_SUSPECTS] > 0.0
        and np.rint(row[_T] * 1e3) > np.rint(track[_SUSPECT_T] * 1e3)
        and _is_within_reach(track[_SUSPECT_T], track[_SUSPECT_LAT], track[_SUSPECT_LNG], row, limit, 0.0)
    )
    return is_on


@kernel
def _lng_change_deg(from_deg: float, to_deg: float) -> float:
    change_deg = to_deg - from_deg
    if abs(change_deg) > 180.0:
        change_deg -= 360.0 if change_deg > 0.0 else -360.0
    return change_deg


@kernel
def _is_still_far(track: FloatArray, row: FloatArray, limit: FloatArray) -> bool:
    if track[_SUSPECT_IS_FAR] == 0.0 or not _continues_jump(track, row, limit):
        return False
    east = np.cos(np.radians(row[_LAT]))
    lat_deg, lng_deg = row[_LAT] - track[_LAT], east * _lng_change_deg(track[_LNG], row[_LNG])
    on_lat_deg, on_lng_deg = row[_LAT] - track[_SUSPECT_LAT], east * _lng_change_deg(track[_SUSPECT_LNG], row[_LNG])
    is_far: bool = on_lat_deg * on_lat_deg + on_lng_deg * on_lng_deg < lat_deg * lat_deg + lng_deg * lng_deg
    return is_far


@kernel
def _judge_jump_inplace(track: FloatArray, row: FloatArray, limit: FloatArray) -> int:
    if _continues_jump(track, row, limit):
        drives = row[_LAT] != track[_SUSPECT_LAT] or row[_LNG] != track[_SUSPECT_LNG]
        since_s, suspects = track[_SUSPECT_SINCE], track[_SUSPECTS] + (1.0 if drives else 0.0)
        is_far = track[_SUSPECT_IS_FAR]
    else:
        near = _is_within_reach(track[_T], track[_LAT], track[_LNG], row, limit, limit[_FAR_JUMP_M])
        since_s, suspects, is_far = row[_T], 1.0, 0.0 if near else 1.0
    if suspects >= limit[_JUMPS_TO_RECOVER] and row[_T] - since_s >= limit[_QUARANTINE_S]:
        _begin_track_inplace(track, row)
        return _BELIEVED
    track[_SUSPECTS] = suspects
    track[_SUSPECT_T : _SUSPECT_T + 3] = row[:3]
    track[_SUSPECT_SINCE] = since_s
    track[_SUSPECT_IS_FAR] = is_far
    return _IMPOSSIBLE_JUMP


@kernel
def _judge_repeat_inplace(track: FloatArray, row: FloatArray, limit: FloatArray) -> int:
    track[_REPEATS] += 1.0
    # An unknown speed (NaN) is never above a limit.
    moves = row[_SPEED] >= limit[_MOVING_MPS_MIN]
    track[_MOVING_REPEATS] = track[_MOVING_REPEATS] + 1.0 if moves else 0.0
    is_silent_too_long = (
        np.isnan(row[_SPEED])
        and track[_REPEATS] > limit[_REPEATS_MAX]
        and row[_T] - track[_STILL_SINCE] > limit[_FROZEN_S_MAX]
    )
    if is_silent_too_long or track[_MOVING_REPEATS] > limit[_MOVING_REPEATS_MAX]:
        return _REPEATED_COORDINATES
    track[:3] = row[:3]
    track[_SUSPECTS:] = 0.0
    return _BELIEVED


@kernel
def _judge_inplace(track: FloatArray, row: FloatArray, received_s: float, limit: FloatArray) -> int:
    """Judge one ping as `rules.judge` does, and change the track."""
    is_known = not np.isnan(track[_T])
    verdict = _number_reason(row, received_s, limit)
    if verdict != _BELIEVED:
        return verdict
    if is_known:
        t_ms, last_t_ms = np.rint(row[_T] * 1e3), np.rint(track[_T] * 1e3)
        if t_ms == last_t_ms:
            return _DUPLICATE_TIME
        if t_ms < last_t_ms:
            return _OUT_OF_ORDER
    if row[_ACCURACY] > limit[_ACCURACY_M_MAX]:
        return _TOO_COARSE
    if not is_known or row[_T] - track[_T] > limit[_FORGET_AFTER_S]:
        _begin_track_inplace(track, row)
        return _BELIEVED
    if not _is_within_reach(track[_T], track[_LAT], track[_LNG], row, limit, 0.0) or _is_still_far(track, row, limit):
        return _judge_jump_inplace(track, row, limit)
    if row[_LAT] == track[_LAT] and row[_LNG] == track[_LNG]:
        return _judge_repeat_inplace(track, row, limit)
    _begin_track_inplace(track, row)
    return _BELIEVED


@kernel
def judge_pings_inplace(
    track: FloatArray, driver: IntArray, values: FloatArray, received_s: FloatArray, limit: FloatArray
) -> NDArray[np.int8]:
    """Return the verdicts (n,) on pings (n, 6) of drivers (n,) received at (n,), in order; changes tracks (d, 12)."""
    verdict = np.zeros(driver.shape[0], np.int8)
    for at in range(driver.shape[0]):
        verdict[at] = _judge_inplace(track[driver[at]], values[at], received_s[at], limit)
    return verdict


@kernel
def newest_places(driver: IntArray, drivers: int) -> IntArray:
    """Return (n,): for each place, the last place that is of the same driver; drivers are numbers below `drivers`."""
    last = np.full(drivers, -1, np.int64)
    newest = np.empty(driver.shape[0], np.int64)
    for at in range(driver.shape[0] - 1, -1, -1):
        if last[driver[at]] < 0:
            last[driver[at]] = at
        newest[at] = last[driver[at]]
    return newest


@kernel
def index_entries(cell: CellArray, t_ms: IntArray) -> ByteArray:
    """Return (n, 29) characters `<cell>|<t_ms>`: h3's name of the cell, 15 digits, and the time, 13 digits.

    A time below 0 is written as 0.
    """
    entry = np.empty((cell.shape[0], 29), np.uint8)
    for at in range(cell.shape[0]):
        rest = cell[at]
        for place in range(14, -1, -1):
            digit = np.int64(rest & np.uint64(15))
            entry[at, place] = digit + 48 if digit < 10 else digit + 87
            rest = rest >> np.uint64(4)
        entry[at, 15] = 124
        rest_ms = max(t_ms[at], 0)
        for place in range(28, 15, -1):
            entry[at, place] = 48 + rest_ms % 10
            rest_ms //= 10
    return entry


def load_edge_kernels() -> None:
    """Compile the kernels that the edge calls, or load them; see `load_kernels`."""
    judge_numbers(np.zeros((0, 6)), np.zeros(0), limits_of(IngestParams()))
    judge_times_inplace(np.zeros(0, np.int8), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def load_kernels() -> None:
    """Compile the kernels that the worker calls, or load them from the cache; blocks the interpreter for seconds."""
    limits, none, no_values = limits_of(IngestParams()), np.zeros(0, np.int64), np.zeros((0, 6))
    judge_pings_inplace(np.zeros((0, TRACK_NUMBERS)), none, no_values, np.zeros(0), limits)
    newest_places(none, 0)
    index_entries(np.zeros(0, np.uint64), none)
