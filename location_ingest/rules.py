"""The ping filter: is this ping to be believed? Every rule gives one reason or None."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geo.distances import EARTH_RADIUS_M, great_circle_m
from location_ingest.model import DriverPing, IngestParams, Reason

_METRES_PER_DEGREE = math.radians(EARTH_RADIUS_M)


@dataclass(frozen=True, slots=True)
class Track:
    """What is remembered of one driver: the last believed ping, and the latest run of jumps away from it."""

    last: DriverPing
    suspect: DriverPing | None = None
    suspects_in_row: int = 0


def place_reason(ping: DriverPing) -> Reason | None:
    """Judge the numbers alone: finite, and in the range of their unit."""
    optional = (ping.heading_deg, ping.speed_mps, ping.accuracy_m)
    if not all(map(math.isfinite, (ping.t_s, ping.lat_deg, ping.lng_deg))):
        return Reason.NOT_FINITE
    if any(value is not None and not math.isfinite(value) for value in optional):
        return Reason.NOT_FINITE
    in_range = (
        abs(ping.lat_deg) <= 90.0
        and abs(ping.lng_deg) <= 180.0
        and (ping.heading_deg is None or 0.0 <= ping.heading_deg <= 360.0)
        and (ping.speed_mps is None or ping.speed_mps >= 0.0)
        and (ping.accuracy_m is None or ping.accuracy_m >= 0.0)
    )
    return None if in_range else Reason.OUT_OF_RANGE


def time_reason(t_s: float, received_s: float, params: IngestParams) -> Reason | None:
    """Judge the time of a ping by the time it was received, both city seconds."""
    if t_s > received_s + params.future_skew_s_max:
        return Reason.FROM_THE_FUTURE
    if t_s < received_s - params.age_s_max:
        return Reason.TOO_OLD
    return None


def order_reason(t_s: float, last_t_s: float | None) -> Reason | None:
    """Judge the time of a ping by that of the driver's last believed one, to the millisecond that is stored."""
    if last_t_s is None:
        return None
    t_ms, last_t_ms = to_ms(t_s), to_ms(last_t_s)
    if t_ms == last_t_ms:
        return Reason.DUPLICATE_TIME
    return Reason.OUT_OF_ORDER if t_ms < last_t_ms else None


def judge(
    ping: DriverPing, track: Track | None, received_s: float, params: IngestParams
) -> tuple[Reason | None, Track | None]:
    """Return why the ping is not believed (None: it is), and the driver's track from now on."""
    reason = place_reason(ping) or time_reason(ping.t_s, received_s, params)
    if reason is None and track is not None:
        reason = order_reason(ping.t_s, track.last.t_s)
    if reason is None and ping.accuracy_m is not None and ping.accuracy_m > params.accuracy_m_max:
        reason = Reason.TOO_COARSE
    if reason is not None:
        return reason, track
    if track is None or is_plausible(track.last, ping, params):
        return None, Track(ping)
    return _judge_jump(ping, track, params)


def _judge_jump(ping: DriverPing, track: Track, params: IngestParams) -> tuple[Reason | None, Track]:
    """A jump is not believed, unless it goes on long enough where it led: then the old position was the wrong one."""
    goes_on = (
        track.suspect is not None
        and order_reason(ping.t_s, track.suspect.t_s) is None
        and is_plausible(track.suspect, ping, params)
    )
    in_row = track.suspects_in_row + 1 if goes_on else 1
    if in_row >= params.jumps_to_recover:
        return None, Track(ping)
    return Reason.IMPOSSIBLE_JUMP, Track(track.last, ping, in_row)


def is_plausible(earlier: DriverPing, later: DriverPing, params: IngestParams) -> bool:
    """Say whether a car can have got from one ping to the other."""
    reach_m = params.jump_slack_m + params.speed_mps_max * (later.t_s - earlier.t_s)
    # Along the meridian, then along the parallel as if it were the equator: never shorter than the great circle,
    # and twenty times cheaper. Nearly every ping passes here.
    detour_deg = abs(later.lat_deg - earlier.lat_deg) + abs(later.lng_deg - earlier.lng_deg)
    if detour_deg * _METRES_PER_DEGREE <= reach_m:
        return True
    return bool(great_circle_m(earlier.lat_deg, earlier.lng_deg, later.lat_deg, later.lng_deg)[0] <= reach_m)


def to_ms(t_s: float) -> int:
    """Return whole milliseconds, rounded as `geo.positions` rounds."""
    return round(t_s * 1e3)
