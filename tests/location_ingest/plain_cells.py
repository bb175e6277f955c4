"""Which cells recorded pings end in, computed one ping after the other in plain Python: slow, and written otherwise.

The filter's rules are those of ARCHITECTURE.md and of `IngestParams`; nothing of the project computes here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import h3

from location_ingest.model import IngestParams

EARTH_RADIUS_M = 6_371_007.180918475
Row = tuple[str, float, float, float]
LatLng = tuple[float, float]


@dataclass
class Plain:
    """What the computation found."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    #: Of each driver: cell by name, milliseconds, latitude and longitude in degrees times 10,000,000.
    last: dict[str, tuple[str, int, int, int]] = field(default_factory=dict)


def region_cells(nodes: Iterable[LatLng], streets: Iterable[Sequence[LatLng]], resolution: int) -> set[str]:
    """Return the cells of the nodes, of points along the streets half a cell edge apart, and one ring round each."""
    step_m = h3.average_hexagon_edge_length(resolution, unit="m") / 2.0
    own = {h3.latlng_to_cell(lat_deg, lng_deg, resolution) for lat_deg, lng_deg in nodes}
    for street in streets:
        for begin, end in pairwise(street):
            parts = max(1, math.ceil(h3.great_circle_distance(begin, end, unit="m") / step_m))
            for part in range(parts):
                lat_deg, lng_deg = (a + (b - a) * part / parts for a, b in zip(begin, end, strict=True))
                own.add(h3.latlng_to_cell(lat_deg, lng_deg, resolution))
    return {near for cell in own for near in h3.grid_disk(cell, 1)}


def compute(rows: Sequence[Row], region_id: set[str], resolution: int, params: IngestParams) -> Plain:
    """Judge pings (driver, seconds, lat, lng) without speeds, each driver's in order of time."""
    found = Plain()
    of_driver: dict[str, list[Row]] = {}
    for row in rows:
        of_driver.setdefault(row[0], []).append(row)
    for driver_id, pings in of_driver.items():
        _follow(driver_id, sorted(pings, key=lambda row: row[1]), region_id, resolution, params, found)
    return found


def _follow(
    driver_id: str, pings: list[Row], region_id: set[str], resolution: int, params: IngestParams, found: Plain
) -> None:
    believed: list[Row] = []
    suspects: list[Row] = []
    for ping in pings:
        cell = h3.latlng_to_cell(ping[2], ping[3], resolution)
        if cell not in region_id:
            found.rejected["off_region"] += 1
            continue
        reason = _reason(ping, believed, suspects, params)
        if reason is not None:
            found.rejected[reason] += 1
            continue
        believed.append(ping)
        suspects.clear()
        found.accepted += 1
        found.last[driver_id] = (cell, round(ping[1] * 1e3), round(ping[2] * 1e7), round(ping[3] * 1e7))


def _reason(ping: Row, believed: list[Row], suspects: list[Row], params: IngestParams) -> str | None:
    if not believed:
        return None
    if round(ping[1] * 1e3) <= round(believed[-1][1] * 1e3):
        return "duplicate_time" if round(ping[1] * 1e3) == round(believed[-1][1] * 1e3) else "out_of_order"
    if ping[1] - believed[-1][1] > params.forget_after_s:
        return None
    if not _reachable(believed[-1], ping, params) or _is_from_far(ping, believed[-1], suspects, params):
        return _jump(ping, suspects, params)
    # How many of the latest believed pings were at this very place, without a jump or a silence in between.
    same = [row for row in _latest_run(believed, params) if row[2:] == ping[2:]]
    is_run = len(same) > params.repeats_max and ping[1] - same[0][1] > params.frozen_s_max
    return "repeated_coordinates" if is_run else None


def _latest_run(believed: list[Row], params: IngestParams) -> list[Row]:
    run = [believed[-1]]
    for row in reversed(believed[:-1]):
        if row[2:] != run[0][2:] or run[0][1] - row[1] > params.forget_after_s:
            break
        run.insert(0, row)
    return run


def _jump(ping: Row, suspects: list[Row], params: IngestParams) -> str | None:
    if suspects and not _continues_jump(suspects[-1], ping, params):
        suspects.clear()
    suspects.append(ping)
    places = 1 + sum(earlier[2:] != later[2:] for earlier, later in pairwise(suspects))
    is_drive = places >= params.jumps_to_recover and ping[1] - suspects[0][1] >= params.quarantine_s
    return None if is_drive else "impossible_jump"


def _is_from_far(ping: Row, last: Row, suspects: list[Row], params: IngestParams) -> bool:
    """Whether the ping goes on from a jump that was far, and is nearer to that than to the old place."""
    if not suspects or not _continues_jump(suspects[-1], ping, params):
        return False
    was_far = not _reachable(last, suspects[0], params, params.far_jump_m)
    return was_far and _planar(suspects[-1], ping) < _planar(last, ping)


def _continues_jump(suspect: Row, ping: Row, params: IngestParams) -> bool:
    return round(ping[1] * 1e3) > round(suspect[1] * 1e3) and _reachable(suspect, ping, params)


def _planar(there: Row, here: Row) -> float:
    return math.hypot(here[2] - there[2], math.cos(math.radians(here[2])) * (here[3] - there[3]))


def _reachable(earlier: Row, later: Row, params: IngestParams, more_m: float = 0.0) -> bool:
    """By the spherical law of cosines with the angle from its chord: not the formula of the project."""
    ends = []
    for _, _, lat_deg, lng_deg in (earlier, later):
        lat, lng = math.radians(lat_deg), math.radians(lng_deg)
        ends.append((math.cos(lat) * math.cos(lng), math.cos(lat) * math.sin(lng), math.sin(lat)))
    chord = math.dist(*ends)
    distance_m = 2.0 * EARTH_RADIUS_M * math.asin(min(1.0, chord / 2.0))
    return distance_m <= more_m + params.jump_slack_m + params.speed_mps_max * (later[1] - earlier[1])
