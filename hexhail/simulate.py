"""Running a simulated day: reads the files, lives the day, writes what happened."""

from __future__ import annotations

import gc
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dispatch.events import RideEvent
from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.policy import MatchingPolicy
from geo.cells import cell_to_latlng
from geo.city import City, load_city
from geo.roads import RoadGraph
from simulator.day import Day, DayParams, Outcome
from simulator.event_log import lines, sha256_of
from simulator.figures import figures_of
from simulator.inputs import BadRows, DriverStarts, PlacedRequests, read_drivers, read_requests
from simulator.report import report_html

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
#: By name, what a policy is made of: more come as files of dispatch/matching/.
POLICIES: dict[str, Callable[[RoadGraph], MatchingPolicy]] = {"optimal": OptimalPolicy}


@dataclass(frozen=True)
class Inputs:
    """What a day is made of, read and checked."""

    city: City
    requests: PlacedRequests
    starts: DriverStarts
    bad: BadRows


@dataclass(frozen=True)
class Run:
    """A day that was lived, and what it cost."""

    outcome: Outcome
    summary: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_inputs(city_dir: Path, requests: Path, drivers: Path, *, skip_bad: bool) -> Inputs:
    """Read a city and its people. Raises ValueError or FileNotFoundError that names file, line and reason."""
    city = load_city(city_dir)
    bad = BadRows(skip=skip_bad)
    off_road_m_max = city.region.off_road_m_max
    return Inputs(
        city,
        read_requests(requests, city.graph, off_road_m_max, bad),
        read_drivers(drivers, city.graph, off_road_m_max, bad),
        bad,
    )


def simulate(
    inputs: Inputs,
    params: DayParams,
    policy: str = "optimal",
    on_progress: Callable[[float, int], None] = lambda now_s, gone: None,
) -> Run:
    """Live a day and sum it up. `cpu_s` is all of that: trips searched, rounds, life cycles, invariants, fingerprint.

    Raises ValueError for a policy that does not exist or a city whose tariff is wrong.
    """
    if policy not in POLICIES:
        raise ValueError(f"there is no policy {policy!r}: choose one of {', '.join(sorted(POLICIES))}")
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    # Nothing of a run is garbage until it ends; looking for some over and over took a third of the time.
    gc.collect()
    gc.disable()
    try:
        day = Day(inputs.city, inputs.requests, inputs.starts, POLICIES[policy](inputs.city.graph), params)
        outcome = day.run(on_progress)
        summary = figures_of(outcome)
        fingerprint = sha256_of(outcome.events)
    finally:
        gc.enable()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    summary |= {
        "cpu_s": round(cpu_s, 3),
        "wall_s": round(wall_s, 3),
        "requests_per_cpu_s": round(summary["requests"] / cpu_s, 1),
        "events_sha256": fingerprint,
        "seed": params.seed,
        "version": version("hexhail"),
    }
    return Run(outcome, summary)


def write_run(run: Run, city: City, folder: Path) -> Path:
    """Write summary, report and events into a folder, made if need be; returns the file of the events."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY_FILE).write_text(json.dumps(run.summary, indent=2) + "\n", encoding="utf-8")
    page = report_html(city.region.name, run.summary, run.outcome, cell_to_latlng(city.surge_cells))
    (folder / REPORT_FILE).write_text(page, encoding="utf-8")
    if find_spec("pyarrow") is None:
        return _write_lines(run.outcome.events, folder / "events.jsonl.gz")
    return _write_parquet(run.outcome.events, folder / "events.parquet")


def _write_lines(events: list[RideEvent], path: Path) -> Path:
    # A fixed time of change, so that one run gives one file.
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0, compresslevel=5) as packed:
        packed.writelines(line + b"\n" for line in lines(events))
    return path


def _write_parquet(events: list[RideEvent], path: Path) -> Path:
    """One row an event: what one filters by as columns, and the whole event as the service publishes it."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "at_s": pa.array([event.at_s for event in events], pa.float64()),
        "event": pa.array([type(event).__name__ for event in events]).dictionary_encode(),
        "ride_id": pa.array([event.ride_id for event in events], pa.string()),
        "sequence": pa.array([event.sequence for event in events], pa.int32()),
        "driver_id": pa.array([getattr(event, "driver_id", None) for event in events], pa.string()),
        "payload": pa.array([line.decode() for line in lines(events)], pa.string()),
    }
    parquet.write_table(pa.table(columns), path, compression="zstd")
    return path
