"""The ping filter: each rule returns a rejection reason or None.

A verdict depends on the track, the ping and the time of receipt alone, in double precision and in the order written
here, so that batch kernels and replays come to the same verdicts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from geo.distances import EARTH_RADIUS_M, great_circle_m
from kernel.supply import is_fresh
from location_ingest.model import STALE, DriverPing, IngestParams, LastPings, Reason, Standing

_METRES_PER_DEGREE = math.radians(EARTH_RADIUS_M)


class Track(NamedTuple):
    """The filter's state for one driver; times in city seconds, coordinates in degrees.

    Three parts: the last accepted ping, the repetitions of its coordinates, and the last ping that jumped away from
    it (the suspect). Without a jump the suspect's numbers are 0.
    """

    t_s: float
    lat_deg: float
    lng_deg: float
    #: When a ping with these coordinates was first accepted, how many have repeated them since, and how many of the
    #: latest of those reported a speed.
    still_since_s: float
    repeats: int = 0
    moving_repeats: int = 0
    suspects: int = 0
    suspect_t_s: float = 0.0
    suspect_lat_deg: float = 0.0
    suspect_lng_deg: float = 0.0
    suspect_since_s: float = 0.0
    #: 1 if the jump was so far that waiting does not make it plausible.
    suspect_is_far: int = 0

    @classmethod
    def begun(cls, ping: DriverPing) -> Track:
        """Return a new track that starts with this ping."""
        return cls(ping.t_s, ping.lat_deg, ping.lng_deg, ping.t_s)


def wrong_field(ping: DriverPing) -> tuple[str, Reason] | None:
    """Return the first field that makes the place or the time invalid, and why; None if there is none.

    Speed and heading never do: a value that is none means unknown. A negative accuracy does: with it phones say that
    the place itself is not valid.
    """
    for name in ("t_s", "lat_deg", "lng_deg"):
        if not math.isfinite(getattr(ping, name)):
            return name, Reason.NOT_FINITE
    if abs(ping.lat_deg) > 90.0:
        return "lat_deg", Reason.OUT_OF_RANGE
    if abs(ping.lng_deg) > 180.0:
        return "lng_deg", Reason.OUT_OF_RANGE
    if ping.accuracy_m is not None and ping.accuracy_m < 0.0:
        return "accuracy_m", Reason.OUT_OF_RANGE
    return None


def place_reason(ping: DriverPing) -> Reason | None:
    """Check that place and time are numbers within their range."""
    found = wrong_field(ping)
    return found[1] if found else None


def known_speed_mps(ping: DriverPing) -> float | None:
    """Return the reported speed; None if the phone does not know it: absent, NaN, infinite, or negative as on iOS."""
    speed_mps = ping.speed_mps
    return speed_mps if speed_mps is not None and 0.0 <= speed_mps < math.inf else None


def time_reason(t_s: float, received_s: float, params: IngestParams) -> Reason | None:
    """Check the time of a ping against the time of receipt, both in city seconds."""
    if t_s > received_s + params.future_skew_s_max:
        return Reason.FROM_THE_FUTURE
    if t_s < received_s - params.age_s_max:
        return Reason.TOO_OLD
    return None


def order_reason(t_s: float, last_t_s: float | None) -> Reason | None:
    """Check that a ping is newer than the driver's last accepted one, in stored milliseconds."""
    if last_t_s is None:
        return None
    t_ms, last_t_ms = to_ms(t_s), to_ms(last_t_s)
    if t_ms == last_t_ms:
        return Reason.DUPLICATE_TIME
    return Reason.OUT_OF_ORDER if t_ms < last_t_ms else None


def judge(
    ping: DriverPing, track: Track | None, received_s: float, params: IngestParams
) -> tuple[Reason | None, Track | None]:
    """Return the rejection reason (None: accepted) and the driver's new track."""
    reason = place_reason(ping) or time_reason(ping.t_s, received_s, params)
    if reason is None and track is not None:
        reason = order_reason(ping.t_s, track.t_s)
    if reason is None and ping.accuracy_m is not None and ping.accuracy_m > params.accuracy_m_max:
        reason = Reason.TOO_COARSE
    if reason is not None:
        return reason, track
    if track is None or ping.t_s - track.t_s > params.forget_after_s:
        return None, Track.begun(ping)
    if not is_within_reach(track.t_s, track.lat_deg, track.lng_deg, ping, params) or _is_still_far(ping, track, params):
        return _judge_jump(ping, track, params)
    if (ping.lat_deg, ping.lng_deg) == (track.lat_deg, track.lng_deg):
        return _judge_repeat(ping, track, params)
    return None, Track.begun(ping)


def is_irrelevant(track: Track, received_s: float, params: IngestParams) -> bool:
    """Return whether the track is too old to affect any verdict from then on."""
    return track.t_s < received_s - params.age_s_max - params.forget_after_s


def _continues_jump(ping: DriverPing, track: Track, params: IngestParams) -> bool:
    """Return whether the ping continues from the suspect's position."""
    return (
        track.suspects > 0
        and to_ms(ping.t_s) > to_ms(track.suspect_t_s)
        and is_within_reach(track.suspect_t_s, track.suspect_lat_deg, track.suspect_lng_deg, ping, params)
    )


def _is_still_far(ping: DriverPing, track: Track, params: IngestParams) -> bool:
    """Return whether the ping continues from a far jump; waiting there does not end the quarantine."""
    if not (track.suspect_is_far and _continues_jump(ping, track, params)):
        return False
    # Planar distance with scaled longitudes: precise enough for a comparison.
    east = math.cos(math.radians(ping.lat_deg))
    lat_deg, lng_deg = ping.lat_deg - track.lat_deg, east * _lng_change_deg(track.lng_deg, ping.lng_deg)
    on_lat_deg, on_lng_deg = (
        ping.lat_deg - track.suspect_lat_deg,
        east * _lng_change_deg(track.suspect_lng_deg, ping.lng_deg),
    )
    return on_lat_deg * on_lat_deg + on_lng_deg * on_lng_deg < lat_deg * lat_deg + lng_deg * lng_deg


def _lng_change_deg(from_deg: float, to_deg: float) -> float:
    """Return degrees from one longitude to another the short way round."""
    change_deg = to_deg - from_deg
    return change_deg if abs(change_deg) <= 180.0 else change_deg - math.copysign(360.0, change_deg)


def _judge_jump(ping: DriverPing, track: Track, params: IngestParams) -> tuple[Reason | None, Track]:
    """Start or continue a quarantine after a jump: the old position stays valid, pings near it pass.

    The quarantine ends after enough pings, over long enough, each within reach of the one before and at another place:
    then the old position was wrong. A faked fixed position does not pass, since it does not move. A near jump also
    ends it once a car could have got there (see `judge`), as most errors in the record do.
    """
    if _continues_jump(ping, track, params):
        drives = (ping.lat_deg, ping.lng_deg) != (track.suspect_lat_deg, track.suspect_lng_deg)
        since_s, suspects, is_far = track.suspect_since_s, track.suspects + drives, track.suspect_is_far
    else:
        near = is_within_reach(track.t_s, track.lat_deg, track.lng_deg, ping, params, params.far_jump_m)
        since_s, suspects, is_far = ping.t_s, 1, int(not near)
    if suspects >= params.jumps_to_recover and ping.t_s - since_s >= params.quarantine_s:
        return None, Track.begun(ping)
    return Reason.IMPOSSIBLE_JUMP, track._replace(
        suspects=suspects,
        suspect_t_s=ping.t_s,
        suspect_lat_deg=ping.lat_deg,
        suspect_lng_deg=ping.lng_deg,
        suspect_since_s=since_s,
        suspect_is_far=is_far,
    )


def _judge_repeat(ping: DriverPing, track: Track, params: IngestParams) -> tuple[Reason | None, Track]:
    """Judge exactly repeated coordinates: a car at rest, a stuck receiver or a faked position.

    Repeated coordinates with a reported speed are rejected after `moving_repeats_max` pings, with speed 0 never, and
    with an unknown speed only if the city sets `frozen_s_max`: phones of parked cars repeat their last fix.
    """
    repeats = track.repeats + 1
    speed_mps = known_speed_mps(ping)
    moves = speed_mps is not None and speed_mps >= params.moving_mps_min
    moving_repeats = track.moving_repeats + 1 if moves else 0
    is_frozen = moving_repeats > params.moving_repeats_max or (
        speed_mps is None and repeats > params.repeats_max and ping.t_s - track.still_since_s > params.frozen_s_max
    )
    if is_frozen:
        return Reason.REPEATED_COORDINATES, track._replace(repeats=repeats, moving_repeats=moving_repeats)
    after = Track(ping.t_s, ping.lat_deg, ping.lng_deg, track.still_since_s, repeats, moving_repeats)
    return None, after


def standing_of(last: LastPings, now_s: float, stale_after_s: float) -> Standing:
    """Return whether a driver counts as supply at city time ``now_s``, and why not, by the last pings."""
    if last.seen_s is not None and is_fresh(last.seen_s, now_s, stale_after_s):
        return Standing(counts=True)
    since_s = None if last.seen_s is None else last.seen_s + stale_after_s
    if is_fresh(last.refused_s, now_s, stale_after_s) and last.refused_s > (last.seen_s or -math.inf):
        return Standing(
            counts=False, reason=last.refused_reason, since_s=last.refused_s if since_s is None else since_s
        )
    return Standing(counts=False, reason=None if since_s is None else STALE, since_s=since_s)


def is_within_reach(
    t_s: float, lat_deg: float, lng_deg: float, later: DriverPing, params: IngestParams, more_m: float = 0.0
) -> bool:
    """Return whether a car can have driven from the earlier position to within the tolerance of the later ping."""
    reach_m = params.jump_slack_m + params.speed_mps_max * (later.t_s - t_s) + more_m
    # Upper bound of the great-circle distance (along the meridian, then along the equator), twenty times cheaper.
    # Nearly every ping passes here.
    detour_deg = abs(later.lat_deg - lat_deg) + abs(later.lng_deg - lng_deg)
    if detour_deg * _METRES_PER_DEGREE <= reach_m:
        return True
    return bool(great_circle_m(lat_deg, lng_deg, later.lat_deg, later.lng_deg)[0] <= reach_m)


def to_ms(t_s: float) -> int:
    """Return whole milliseconds, rounded as `geo.positions` rounds."""
    return round(t_s * 1e3)
