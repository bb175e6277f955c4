"""The ping filter against spoofed positions injected into real tracks: precision, recall, honest pings rejected."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.common.measure import Report
from benchmarks.location_ingest.drives import compare_smoothing, drawn_drives
from benchmarks.location_ingest.heartbeats import LIMITED, compare_heartbeats
from benchmarks.location_ingest.replay import FRIDAY
from benchmarks.location_ingest.tracks import COLUMNS, HONEST_MPS, HONEST_SLACK_M, Bools, Tracks, rejected_by, tracks_of
from geo.distances import great_circle_m
from location_ingest.model import IngestParams

#: How long a spoof goes on.
SPOOF_S = 1_200.0
#: Nearer than this a jump is a drive: a car may get there from one ping to the next.
TELEPORT_M_MIN = 5_000.0
HOUR_S = 3_600.0
SKEW_S = 600.0

Rng = np.random.Generator
Spoof = Callable[[Tracks, slice, Rng], Tracks]


def run(small: bool, report: Report) -> None:
    """Judge honest tracks, then one spoof in each track, kind by kind; ``small`` does it with few drawn drives."""
    if FRIDAY.exists() and not small:
        _judge("real drives, a ping each minute", _san_francisco(), report)
    else:
        report.note("drawn drives alone" if small else "drawn drives alone, for want of ../shared/data/sf")
    checked = _judge("drawn drives, a ping each 4 s", _drawn(10 if small else 100), report)
    compare_smoothing(report, small=small)
    report.checksum("verdicts", checked.astype(np.int64))


def _judge(name: str, tracks: Tracks, report: Report) -> Bools:
    """Report on one set of tracks; return which of the unspoofed pings are rejected."""
    report.note(
        f"{name}: {len(tracks.t_s):,} pings of {len(np.unique(tracks.driver))} drivers; honest: "
        f"{tracks.honest.mean():.2%}, within reach of both neighbours at {HONEST_MPS:.0f} m/s + {HONEST_SLACK_M:.0f} m"
    )
    honest = _report_honest(name, tracks, report)
    rows = []
    for kind, spoof in SPOOFS.items():
        spoofed = _inject(tracks, spoof, np.random.default_rng(1))
        params = (IngestParams(), IngestParams(quarantine_s=0.0), LIMITED)
        rows.append(_row(kind, spoofed, *[rejected_by(spoofed, each) for each in params]))
    without = ["recall % without quarantine", "recall % with frozen_s_max = 300"]
    header = ["spoof", "pings", "recall %", "precision %", "found %", *without]
    report.table(f"Spoofed positions in {name}", header, rows)
    report.note("recall: spoofed pings rejected; found: spoofs of which half is; precision: of those rejected, spoofed")
    report.note(
        "a frozen phone that says no speed sends what a parked phone sends: only a limit on silence rejects both"
    )
    compare_heartbeats(name, tracks, report)
    return honest


def _report_honest(name: str, tracks: Tracks, report: Report) -> Bools:
    rejected = rejected_by(tracks, IngestParams())
    share = float(rejected[tracks.honest].mean())
    report.figure(f"{name}: honest pings rejected", share * 100, "% (aim: < 0.1)")
    report.figure(f"{name}: all pings rejected", float(rejected.mean()) * 100, "%")
    if share >= 1e-3:
        raise AssertionError(f"{share:.3%} of the honest pings are rejected")
    return rejected


def _row(name: str, spoofed: Tracks, rejected: Bools, *without: Bools) -> list[object]:
    true, false = int((rejected & spoofed.spoofed).sum()), int((rejected & spoofed.honest).sum())
    found = [
        rejected[rows].mean() >= 0.5
        for driver in np.unique(spoofed.driver)
        if (rows := np.flatnonzero((spoofed.driver == driver) & spoofed.spoofed)).size
    ]
    return [
        name,
        int(spoofed.spoofed.sum()),
        100.0 * float(rejected[spoofed.spoofed].mean()),
        100.0 * true / max(true + false, 1),
        100.0 * float(np.mean(found)),
        *[100.0 * float(each[spoofed.spoofed].mean()) for each in without],
    ]


def _inject(tracks: Tracks, spoof: Spoof, rng: Rng) -> Tracks:
    """Return the tracks with one spoof in each that is long enough, somewhere behind its first third."""
    _, first, count = np.unique(tracks.driver, return_index=True, return_counts=True)
    pings = _spoof_pings(tracks)
    spoofed = replace(tracks, **{name: getattr(tracks, name).copy() for name in COLUMNS})
    for start, length in zip(first.tolist(), count.tolist(), strict=True):
        if length >= 4 * pings:
            begin = start + int(rng.integers(length // 3, length - pings))
            spoofed = spoof(spoofed, slice(begin, begin + pings), rng)
    return spoofed


def _spoof_pings(tracks: Tracks) -> int:
    """The pings of one spoof."""
    return int(SPOOF_S / tracks.every_s)


def _mark(tracks: Tracks, rows: slice | int) -> Tracks:
    tracks.spoofed[rows] = True
    tracks.honest[rows] = False
    return tracks


def _far_row(tracks: Tracks, at: int, rng: Rng) -> int:
    """Return a ping of anybody that is far from the one given, with as many behind it of the same driver."""
    while True:
        row = int(rng.integers(0, len(tracks.t_s) - _spoof_pings(tracks)))
        away_m = great_circle_m(tracks.lat_deg[at], tracks.lng_deg[at], tracks.lat_deg[row], tracks.lng_deg[row])[0]
        if away_m >= TELEPORT_M_MIN and tracks.driver[row] == tracks.driver[row + _spoof_pings(tracks) - 1]:
            return row


def one_ping_elsewhere(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Put a single ping somewhere else."""
    other = _far_row(tracks, rows.start, rng)
    tracks.lat_deg[rows.start], tracks.lng_deg[rows.start] = tracks.lat_deg[other], tracks.lng_deg[other]
    return _mark(tracks, rows.start)


def pinned_elsewhere(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Put the driver to one place far away, to the last digit, and leave her there."""
    other = _far_row(tracks, rows.start, rng)
    tracks.lat_deg[rows], tracks.lng_deg[rows] = tracks.lat_deg[other], tracks.lng_deg[other]
    return _mark(tracks, rows)


def another_track_as_of_now(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Replay a stretch that somebody drove elsewhere, with the times of now."""
    other = _far_row(tracks, rows.start, rng)
    for name in ("lat_deg", "lng_deg"):
        getattr(tracks, name)[rows] = getattr(tracks, name)[other : other + _spoof_pings(tracks)].copy()
    return _mark(tracks, rows)


def own_track_as_it_was(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Replay the driver's own pings of before, word for word."""
    before = slice(rows.start - _spoof_pings(tracks), rows.start)
    for name in ("t_s", "lat_deg", "lng_deg"):
        getattr(tracks, name)[rows] = getattr(tracks, name)[before].copy()
    return _mark(tracks, rows)


def clock_ahead(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Have the phone's clock go ten minutes ahead."""
    tracks.t_s[rows] += SKEW_S
    return _mark(tracks, rows)


def clock_behind(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Have the phone's clock go ten minutes behind."""
    tracks.t_s[rows] -= SKEW_S
    return _mark(tracks, rows)


def frozen_and_silent(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Repeat the coordinates, and say no speed."""
    tracks.lat_deg[rows], tracks.lng_deg[rows] = tracks.lat_deg[rows.start], tracks.lng_deg[rows.start]
    return _mark(tracks, slice(rows.start + 1, rows.stop))


def frozen_and_driving(tracks: Tracks, rows: slice, rng: Rng) -> Tracks:
    """Repeat the coordinates, and say the speed of a car in traffic."""
    tracks.speed_mps[rows] = rng.uniform(3.0, 15.0, _spoof_pings(tracks))
    return frozen_and_silent(tracks, rows, rng)


SPOOFS: dict[str, Spoof] = {
    "teleport, one ping": one_ping_elsewhere,
    "teleport to a pinned point": pinned_elsewhere,
    "replay of a track elsewhere, as of now": another_track_as_of_now,
    "replay of the own track, as it was": own_track_as_it_was,
    "clock 10 min ahead": clock_ahead,
    "clock 10 min behind": clock_behind,
    "frozen, says that it drives": frozen_and_driving,
    "frozen, says nothing": frozen_and_silent,
}


def _san_francisco() -> Tracks:
    from hexhail.runs.recorded_pings import read_pings

    pings = read_pings(FRIDAY)
    _, driver = np.unique(pings.driver_id.astype(str), return_inverse=True)
    order = np.lexsort((pings.t_s, driver))
    pings = pings.taken(order)
    return tracks_of(driver[order], pings.t_s, pings.lat_deg, pings.lng_deg, 60.0)


def _drawn(drivers: int) -> Tracks:
    drives = drawn_drives(drivers, duration_s=2 * HOUR_S, every_s=4.0, seed=3)
    shape = drives.lat_deg.shape
    driver = np.repeat(np.arange(shape[0]), shape[1])
    t_s = np.tile(drives.t_s, shape[0])
    return tracks_of(driver, t_s, drives.lat_deg.ravel(), drives.lng_deg.ravel(), 4.0)
