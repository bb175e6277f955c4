"""Generates a city's demand from zone counts or, without counts, from its streets."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.cells import cell_to_latlng, latlng_to_cells
from geo.city import City
from geo.point_index import PointIndex
from geo.roads.graph import RoadGraph
from simulator.demand.draw import ZONE_REACH_M, ZoneCorners, draw_day, draw_drivers
from simulator.demand.inputs import DRIVER_COLUMNS, REQUEST_COLUMNS, BadInput, BadRows, checked_rows, wrong_place
from simulator.demand.requests import Requests
from simulator.demand.stylised import stylised_flows, stylised_volumes
from simulator.demand.zone_flows import ZoneVolumes, distances_m, seed_of

REQUESTS_FILE = "requests.csv.gz"
DRIVERS_FILE = "drivers.csv"
ABOUT_FILE = "demand.json"
#: Zones of a city without zones: cells of a few hundred metres, as walking distance is.
CELL_RESOLUTION = 8
FITTED = "a model: pairs drawn so that zone totals hold, after observed trips; no single request is a record"
TRIPS_MAX = 1e8
ZONES_LEAST = 2
#: A day and the night after it.
HOURS = 48
STYLISED = "a sketch: hours and places drawn by hand from the street network alone; nothing of it was counted"

#: Called with a progress message.
OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class ZoneFiles:
    """What was counted: middles of zones, their hourly totals, and trips seen (CSV, CSV.gz or parquet)."""

    zones: Path
    volumes: Path
    trips: Path


@dataclass(frozen=True)
class Demand:
    """A drawn day: its requests, where drivers begin (n, 2) in degrees, and what is to be said of it."""

    requests: Requests
    drivers_deg: FloatArray
    about: dict[str, Any]


@dataclass(frozen=True)
class _Known:
    """Inputs of a drawn day: zones with their nodes, hourly totals, and the seed matrix of pairs (z, z)."""

    corners: ZoneCorners
    volumes: ZoneVolumes
    seed_flows: FloatArray


def make_demand(
    city: City,
    day: date,
    trips: float | None,
    drivers: int,
    seed: int,
    files: ZoneFiles | None,
    on_progress: OnProgress,
) -> Demand:
    """Draw a day of `trips` requests, or, with `files`, as many as were counted unless `trips` says otherwise.

    Raises ValueError for files that cannot be used, naming file and line, or a number that makes no sense.
    """
    if trips is not None and not 1 <= trips <= TRIPS_MAX:
        raise ValueError(f"the number of trips must be 1 to {TRIPS_MAX:,.0f}, not {trips:g}")
    if drivers < 1:
        raise ValueError(f"the number of drivers must be at least 1, not {drivers}")
    known = _sketched(city.graph, trips) if files is None else _counted(city.graph, files, day, on_progress)
    volumes, skipped = known.volumes.by_clocks(day, city.region.timezone)
    volumes = _scaled(volumes, trips)
    on_progress("drawing the day")
    generator = np.random.default_rng(seed)
    requests = draw_day(city.graph, known.corners, known.seed_flows, volumes, day, city.region.timezone, generator)
    about = {
        "what": STYLISED if files is None else FITTED,
        "city": city.region.name,
        "date": day.isoformat(),
        "timezone": city.region.timezone,
        "zones": known.seed_flows.shape[0],
        "requests": len(requests),
        "drivers": drivers,
        "seed": seed,
    }
    if skipped:
        about["hours_skipped_by_clocks"] = skipped
    return Demand(requests, draw_drivers(city.graph, known.corners, volumes, drivers, generator), about)


def _sketched(graph: RoadGraph, trips: float | None) -> _Known:
    """Zones are cells of the streets; everything else is drawn by hand."""
    if trips is None:
        raise ValueError("without zone volumes, say how many trips: --trips 20000")
    middle = cell_to_latlng(np.unique(latlng_to_cells(graph.lat_deg, graph.lng_deg, CELL_RESOLUTION)))
    corners, distance_m = ZoneCorners.of(graph, *middle), distances_m(*middle)
    volumes = stylised_volumes(np.diff(corners.offset), distance_m, trips)
    return _Known(corners, volumes, stylised_flows(distance_m, volumes))


def _counted(graph: RoadGraph, files: ZoneFiles, day: date, on_progress: OnProgress) -> _Known:
    on_progress("reading zones, volumes and trips")
    zone, lat_deg, lng_deg = _read_zones(files.zones)
    volumes = _read_volumes(files.volumes, zone, day.weekday())
    seen = _read_trips(files.trips, PointIndex.of(lat_deg, lng_deg), zone.size)
    on_progress("fitting pairs of zones")
    return _Known(ZoneCorners.of(graph, lat_deg, lng_deg), volumes, seed_of(distances_m(lat_deg, lng_deg), seen))


def write_demand(demand: Demand, folder: Path) -> None:
    """Write `requests.csv.gz`, `drivers.csv` and `demand.json` into a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = demand.requests
    columns = [asked.t_s, *asked.pickup_deg.T, *asked.dropoff_deg.T]
    rows = zip(*(column.round(6).tolist() for column in columns), asked.party_size.tolist(), strict=True)
    # A fixed time of change, so that one seed gives one file.
    with (folder / REQUESTS_FILE).open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.write(_csv_text(REQUEST_COLUMNS, rows).encode())
    drivers = _csv_text(DRIVER_COLUMNS, demand.drivers_deg.round(6).tolist())
    (folder / DRIVERS_FILE).write_text(drivers, encoding="utf-8")
    (folder / ABOUT_FILE).write_text(json.dumps(demand.about, indent=2) + "\n", encoding="utf-8")


def _csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _read_zones(path: Path) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return (zone, lat_deg, lng_deg), (z,) each, by ascending number."""
    rows, _ = checked_rows(path, ("zone", "lat", "lng"), {}, _wrong_zone, BadRows())
    rows = rows[np.argsort(rows[:, 0])]
    zone = rows[:, 0].astype(np.int64)
    if zone.size < ZONES_LEAST or (np.diff(zone) == 0).any():
        raise BadInput(f"{path} must hold {ZONES_LEAST} zones or more, each once")
    return zone, rows[:, 1].copy(), rows[:, 2].copy()


def _read_volumes(path: Path, zone: IntArray, weekday: int) -> ZoneVolumes:
    """Volumes of one weekday (0 = Monday); a file without the column day_of_week is of that day."""
    columns, optional = ("zone", "hour", "pickups", "dropoffs"), {"day_of_week": float(weekday)}
    rows, line = checked_rows(path, columns, optional, _wrong_volume, BadRows())
    rows, line = rows[rows[:, 4] == weekday], line[rows[:, 4] == weekday]
    if not rows.size:
        raise BadInput(f"{path} says nothing of day_of_week {weekday} (0 is Monday)")
    place = np.searchsorted(zone, rows[:, 0])
    unknown = np.flatnonzero(zone[np.minimum(place, zone.size - 1)] != rows[:, 0])
    if unknown.size:
        raise BadInput(f"{path}, line {line[unknown[0]]}: zone {rows[unknown[0], 0]:g} is not in the file of zones")
    hour, at = np.unique(rows[:, 1].astype(np.int64), return_inverse=True)
    pickups, dropoffs = np.zeros((hour.size, zone.size)), np.zeros((hour.size, zone.size))
    np.add.at(pickups, (at, place), rows[:, 2])
    np.add.at(dropoffs, (at, place), rows[:, 3])
    return ZoneVolumes(hour, pickups, dropoffs)


def _read_trips(path: Path, middles: PointIndex, count: int) -> FloatArray:
    """Trips seen between the zones nearest to their ends, (z, z); those that end far from every zone do not count."""
    rows, _ = checked_rows(path, REQUEST_COLUMNS[1:5], {}, _wrong_trip, BadRows())
    origin, from_m = middles.nearest(rows[:, 0], rows[:, 1])
    destination, to_m = middles.nearest(rows[:, 2], rows[:, 3])
    inside = (from_m <= ZONE_REACH_M) & (to_m <= ZONE_REACH_M)
    flat = np.bincount(origin[inside] * count + destination[inside], minlength=count * count)
    return flat.reshape(count, count).astype(np.float64)


def _scaled(volumes: ZoneVolumes, trips: float | None) -> ZoneVolumes:
    factor = 1.0 if trips is None else trips / volumes.pickups.sum()
    return ZoneVolumes(volumes.hour, volumes.pickups * factor, volumes.dropoffs * factor)


def _wrong_zone(row: Sequence[float]) -> str | None:
    return _wrong_number(row[0]) or wrong_place("zone", row[1], row[2])


def _wrong_number(zone: float) -> str | None:
    return None if np.isfinite(zone) and zone == int(zone) else f"zone is {zone:g}, not a whole number"


def _wrong_volume(row: Sequence[float]) -> str | None:
    zone, hour, pickups, dropoffs, weekday = row
    if not 0 <= hour < HOURS or hour != int(hour):
        return f"hour is {hour:g}, not a whole number from 0 (local midnight) to {HOURS - 1}"
    if not (0 <= pickups <= TRIPS_MAX and 0 <= dropoffs <= TRIPS_MAX):
        return f"pickups and dropoffs are {pickups:g} and {dropoffs:g}, not numbers from 0 to {TRIPS_MAX:,.0f}"
    if weekday not in range(7):
        return f"day_of_week is {weekday:g}, not 0 (Monday) to 6"
    return _wrong_number(zone)


def _wrong_trip(row: Sequence[float]) -> str | None:
    return wrong_place("pickup", row[0], row[1]) or wrong_place("dropoff", row[2], row[3])
