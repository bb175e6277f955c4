"""Honest phones that repeat their last fix while the car stands: does the filter lose any of them?"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.common.measure import Report
from benchmarks.location_ingest.tracks import COLUMNS, Bools, Tracks, rejected_by
from geo.distances import great_circle_m
from location_ingest.model import IngestParams

#: Two pings in a row that are nearer than this are a car at a stand.
STAND_M_MAX = 30.0
#: How long the phone repeats its fix at each stand, and how often.
HEARTBEATS_S = 600.0
HEARTBEAT_EVERY_S = 30.0
#: What phones say of the speed of a car at rest: nothing, iOS's "not known", and 0.
SPEEDS_MPS = (np.nan, -1.0, 0.0)
#: The filter of before: silence of five minutes counted as a stuck receiver.
LIMITED = IngestParams(frozen_s_max=300.0)

Ints = npt.NDArray[np.int64]


def compare_heartbeats(name: str, tracks: Tracks, report: Report) -> None:
    """Report what is rejected of heartbeats at each stand; raises AssertionError if an honest phone is lost."""
    without = rejected_by(tracks, IngestParams())
    long_tracks, row_of, is_heartbeat = with_heartbeats(tracks)
    # Heartbeats of a fix that was believed, and pings that were: whoever is rejected now was lost by the heartbeats.
    was_believed = ~without[row_of]
    rows: list[list[object]] = []
    for limit, params in (("none", IngestParams()), ("300 s", LIMITED)):
        lost = rejected_by(long_tracks, params) & was_believed & long_tracks.honest
        drivers = len(np.unique(long_tracks.driver[lost]))
        rows.append([limit, int(is_heartbeat.sum()), int(lost[is_heartbeat].sum()), int(lost.sum()), drivers])
    header = ["limit on silence", "heartbeats", "heartbeats lost", "pings lost", "drivers lost"]
    report.table(f"{HEARTBEATS_S / 60:.0f} minutes of repeated fixes at each stand of {name}", header, rows)
    report.note(
        "a third of the stands each: no speed, speed -1, speed 0; lost: honest, believed without the heartbeats"
    )
    if rows[0][3]:
        raise AssertionError(f"{rows[0][3]} honest pings are lost by heartbeats at stands")


def with_heartbeats(tracks: Tracks) -> tuple[Tracks, Ints, Bools]:
    """Return the tracks with heartbeats behind the last ping of each stand; what follows is that much later.

    Also (m,) the row of `tracks` that each ping is or repeats, and (m,) whether it is a heartbeat.
    """
    ends = _stand_ends(tracks)
    count = int(HEARTBEATS_S / HEARTBEAT_EVERY_S)
    copies = np.ones(len(tracks.t_s), np.int64)
    copies[ends] += count
    row_of = np.repeat(np.arange(len(copies)), copies)
    first = np.cumsum(copies) - copies
    nth = np.arange(len(row_of)) - first[row_of]
    later_s = np.where(np.isin(np.arange(len(copies)), ends), HEARTBEATS_S, 0.0)
    # Each driver's own stands before a ping move it; the sum starts anew with each driver.
    moved_s = np.cumsum(later_s) - later_s
    _, start, driver = np.unique(tracks.driver, return_index=True, return_inverse=True)
    moved_s -= moved_s[start][driver]
    t_s = tracks.t_s[row_of] + moved_s[row_of] + HEARTBEAT_EVERY_S * nth
    speed_mps = tracks.speed_mps[row_of]
    stand = np.cumsum(later_s > 0.0)[row_of]
    is_heartbeat = nth > 0
    speed_mps[is_heartbeat] = np.array(SPEEDS_MPS)[stand[is_heartbeat] % len(SPEEDS_MPS)]
    columns = {name: getattr(tracks, name)[row_of] for name in COLUMNS}
    return replace(tracks, **columns | {"t_s": t_s, "received_s": t_s, "speed_mps": speed_mps}), row_of, is_heartbeat


def _stand_ends(tracks: Tracks) -> Ints:
    """Return the last ping of each run of pings at one place."""
    lat_deg, lng_deg = tracks.lat_deg, tracks.lng_deg
    stands = great_circle_m(lat_deg[:-1], lng_deg[:-1], lat_deg[1:], lng_deg[1:]) <= STAND_M_MAX
    stands &= tracks.driver[:-1] == tracks.driver[1:]
    goes_on = np.append(stands[1:], False)
    return np.flatnonzero(stands & ~goes_on) + 1
