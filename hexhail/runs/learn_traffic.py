"""Learning the usual traffic of a city from recorded pings, judged by drives that were held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray
from geo.city import City
from geo.learning.held_back import TripErrors, trip_durations_s, trips_of
from geo.learning.map_matching import Drives, match_pings, spaced_pings
from geo.learning.traffic import EdgeSpeeds
from geo.roads.snap import EdgeIndex
from hexhail.runs.recorded_pings import RecordedPings, read_pings
from kernel.local_time import hours_of_week, local_days

#: Pings that are matched at a time: a second or two, so that a progress bar moves.
CHUNK_PINGS = 50_000
#: Fewer held-back trips judge nothing.
TRIPS_MIN = 30
#: Where all pings are of one day, every so many drivers one is held back.
HELD_BACK_ONE_IN = 5

Progress = Callable[[str, int, int], None]


class TrafficWorse(ValueError):
    """The learned travel times predict held-back trips worse than free flow; the message says by how much."""


@dataclass(frozen=True)
class TrafficReport:
    """What was learned from, what it covers, and how far off held-back trips are predicted."""

    pings: int
    drivers: int
    days: int
    steps: int
    edges_driven: int
    edges: int
    hours_seen: int
    #: Which drives were held back.
    held_back: str
    free_flow: TripErrors
    #: Free flow times the one factor that fits the drives learned from.
    constant: TripErrors
    learned: TripErrors


def learn_traffic(
    city: City, files: Sequence[Path], on_progress: Progress = lambda what, done, total: None
) -> tuple[EdgeSpeeds, TrafficReport]:
    """Learn from files of recorded pings; ``on_progress`` is told what is done, how far, and of how much.

    What is held back judges the rest, and is then learned from too. Raises TrafficWorse; ValueError for files without
    enough drives on the city's roads, and what `read_pings` raises.
    """
    pings = _read(files, on_progress)
    names, vehicle = np.unique(pings.driver_id.astype(str), return_inverse=True)
    drives, driver = _matched(city, pings, vehicle, on_progress)
    if drives.started_s.shape[0] == 0:
        raise ValueError(f"no drive on the roads of {city.region.name} in {len(pings):,} pings: is it the right city?")
    hour = hours_of_week(drives.started_s, city.region.timezone)
    day = local_days(drives.started_s, city.region.timezone)
    is_held_back, which = _held_back(day, driver)
    on_progress("learning", 0, 0)
    speeds = EdgeSpeeds(city.graph)
    speeds.learn(drives.where(~is_held_back), hour[~is_held_back])
    errors = _judged(speeds, drives, driver, hour, is_held_back)
    speeds.learn(drives.where(is_held_back), hour[is_held_back])
    report = TrafficReport(
        len(pings), len(names), len(np.unique(day)), len(hour), speeds.edges_driven, city.graph.edge_count,
        len(np.unique(hour)), which, *errors,
    )  # fmt: skip
    return speeds, report


def _read(files: Sequence[Path], on_progress: Progress) -> RecordedPings:
    read = []
    for path in files:
        on_progress(f"reading {path}", 0, 0)
        pings = read_pings(path)
        is_place = np.isfinite(pings.t_s) & (np.abs(pings.lat_deg) <= 90.0) & np.isfinite(pings.lng_deg)
        read.append(pings.taken(is_place))
    driver_id, t_s, lat_deg, lng_deg = (
        np.concatenate([getattr(one, name) for one in read]) for name in ("driver_id", "t_s", "lat_deg", "lng_deg")
    )
    joined = RecordedPings(driver_id, t_s, lat_deg, lng_deg, {})
    return joined.taken(np.lexsort((joined.t_s, joined.driver_id.astype(str))))


def _matched(city: City, pings: RecordedPings, vehicle: IntArray, on_progress: Progress) -> tuple[Drives, IntArray]:
    """Match the pings some drivers at a time; return all drives, and the driver of each step."""
    kept = np.flatnonzero(spaced_pings(vehicle, pings.t_s, pings.lat_deg, pings.lng_deg))
    index, parts, start = EdgeIndex.of(city.graph), list[Drives](), 0
    while start < len(kept):
        end = min(start + CHUNK_PINGS, len(kept))
        # Up to the end of a driver's pings.
        end = int(np.searchsorted(vehicle[kept], vehicle[kept[end - 1]], side="right"))
        rows = kept[start:end]
        part = match_pings(city.graph, index, vehicle[rows], pings.t_s[rows], pings.lat_deg[rows], pings.lng_deg[rows])
        parts.append(part.of_pings(rows))
        start = end
        on_progress("matching to streets", end, len(kept))
    drives = Drives.joined(parts)
    return drives, vehicle[drives.ping]


def _held_back(day: IntArray, driver: IntArray) -> tuple[BoolArray, str]:
    """Which steps (s,) judge: those of the last day; of some drivers where there is only one."""
    if day.min() < day.max():
        return day == day.max(), f"the last day, {np.datetime64(int(day.max()), 'D')}"
    return driver % HELD_BACK_ONE_IN == 0, f"one driver in {HELD_BACK_ONE_IN}, for all pings are of one day"


def _judged(
    speeds: EdgeSpeeds, drives: Drives, driver: IntArray, hour: IntArray, is_held_back: BoolArray
) -> tuple[TripErrors, TripErrors, TripErrors]:
    """Return the errors by free flow, by free flow times a constant, and as learned. Raises TrafficWorse."""
    free_s, actual_s = _durations(drives.where(~is_held_back), driver[~is_held_back], None)
    constant = float(np.median(actual_s / free_s)) if len(actual_s) else 1.0
    test, test_driver, test_hour = drives.where(is_held_back), driver[is_held_back], hour[is_held_back]
    free_s, actual_s = _durations(test, test_driver, None)
    learned_s, _ = _durations(test, test_driver, _factor_of_parts(speeds, test, test_hour))
    if len(actual_s) < TRIPS_MIN:
        raise ValueError(f"only {len(actual_s)} trips could be held back, and {TRIPS_MIN} are needed to judge by")
    free, learned = TripErrors.of(free_s, actual_s), TripErrors.of(learned_s, actual_s)
    if not learned.median <= free.median:
        raise TrafficWorse(
            f"held-back trips would be predicted worse: median error {learned.median:.1%} instead of "
            f"{free.median:.1%} by free flow; nothing was written"
        )
    return free, TripErrors.of(free_s * constant, actual_s), learned


def _durations(drives: Drives, driver: IntArray, factor_of_part: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    factor = np.ones(drives.edge.shape[0]) if factor_of_part is None else factor_of_part
    return trip_durations_s(drives, trips_of(drives, driver), factor)


def _factor_of_parts(speeds: EdgeSpeeds, drives: Drives, hour: IntArray) -> FloatArray:
    hour_of_part, factor = hour[drives.step], np.empty(drives.edge.shape[0])
    for number in np.unique(hour).tolist():
        rows = hour_of_part == number
        factor[rows] = speeds.factors(number)[drives.edge[rows]]
    return factor
