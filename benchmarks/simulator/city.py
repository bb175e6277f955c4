"""A city's hour through the shipped engine, life cycle and all, beside HIVE and SUMO on the same inputs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.inputs import lattice
from benchmarks.common.measure import SHARED_DATA, Report
from geo.city_build import CsvSource, build_city
from geo.roads.travel_times import between
from hexhail.cities.files import write_city_file

WINDOWS_S = (2.0, 5.0, 10.0)
HIVE_STEP_S = 15
#: The rules of the comparison: everybody says yes, boarding takes no time, nobody pays more.
RULES = ("--acceptance=always", "--surge=off", "--boarding-s=0", "--max-wait-s=600", "--drain-s=1800")
HEADER = ["who", "requests", "served %", "mean wait s", "p50 s", "p95 s", "CPU s", "requests / CPU s"]
CACHE = Path(__file__).resolve().parents[2] / ".cache"
TITLE = "One hour, solo rides, give up at 600 s; always wait and served share together"


def run(small: bool, report: Report) -> None:
    """Simulate the Manhattan hour for several batch windows, and HIVE beside it; ``small`` draws a tiny city."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        data = SHARED_DATA / "manhattan_hour"
        if small or not data.exists():
            report.note("a tiny drawn city" if small else "a drawn city, for want of ../shared/data; HIVE is left out")
            data = _drawn(here / "data", *((150, 20) if small else (5_000, 500)))
        _build(data, here / "city")
        rows = [_ours(data, here, window_s, report) for window_s in ((10.0,) if small else WINDOWS_S)]
        if not small and data == SHARED_DATA / "manhattan_hour":
            rows += _hive(data, report)
            _beside_sumo(data, here, report)
    report.table(TITLE, HEADER, rows)
    report.note("CPU s of ours: trips, rounds, life cycles, invariants, fingerprint; of HIVE: its whole process")
    if not small:
        report.note("an earlier run of HIVE with a hand-made scenario served 92.81 % at 124.8 s: compare with both")
        report.note("SUMO set up by others on these inputs served 99.9 % at 149 s: compare with both")


def _build(data: Path, city: Path) -> None:
    build_city(CsvSource(data / "nodes.csv", data / "edges.csv"), city, lambda stage, done: None)
    write_city_file(city, name=city.name, timezone="UTC", currency="USD", is_osm=False)


def _ours(data: Path, here: Path, window_s: float, report: Report) -> list[object]:
    """Run twice in processes of their own: the first compiles, the second counts."""
    out = here / f"out-{window_s:g}"
    requests = next(data.glob("requests.csv*"))
    command = [
        sys.executable, "-m", "hexhail", "simulate", f"--city={here / 'city'}", f"--requests={requests}",
        f"--drivers={data / 'drivers.csv'}", f"--out={out}", f"--batch-window-s={window_s}", "--to-crossings", *RULES,
    ]  # fmt: skip
    logs = []
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True, env={**os.environ})
        summary: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        logs.append(summary["events_sha256"])
    if logs[0] != logs[1]:
        raise AssertionError(f"two runs of one seed differ: {logs}")
    report.checksum(f"events, window {window_s:g} s", np.frombuffer(bytes.fromhex(logs[0]), np.uint8))
    wait = summary["pickup_wait_s"]
    report.figure(f"window {window_s:g} s", summary["cpu_s"], "CPU s")
    return [
        f"hexhail, window {window_s:g} s", summary["requests"], 100.0 * summary["service_rate"], wait["mean"],
        wait["p50"], wait["p95"], summary["cpu_s"], summary["requests_per_cpu_s"],
    ]  # fmt: skip


def _hive(data: Path, report: Report) -> list[list[object]]:
    from benchmarks.simulator.peers import hive

    try:
        found = hive.run(data, CACHE / "hive", HIVE_STEP_S)
    except (OSError, subprocess.SubprocessError) as error:
        report.note(f"HIVE could not be run: {error}")
        return []
    share = 100.0 * found.served / found.requests
    return [
        [
            f"HIVE 1.3.1, step {HIVE_STEP_S} s", found.requests, share, found.wait_s_mean, found.wait_s_p50,
            found.wait_s_p95, found.cpu_s, found.requests / found.cpu_s,
        ]
    ]  # fmt: skip


def _beside_sumo(data: Path, here: Path, report: Report) -> None:
    """SUMO and the engine on the part of the hour that SUMO can play."""
    from benchmarks.simulator.peers import sumo

    part = sumo.write_part(data, here / "part")
    try:
        found = sumo.run(part, CACHE / "sumo")
    except (OSError, subprocess.SubprocessError) as error:
        report.note(f"SUMO could not be run: {error}")
        return
    rows = [
        _ours(part, here, WINDOWS_S[-1], report),
        [
            f"SUMO 1.28, greedy, each {sumo.DISPATCH_PERIOD_S} s", found.requests,
            100.0 * found.served / found.requests, found.wait_s_mean, found.wait_s_p50, found.wait_s_p95,
            found.cpu_s, found.requests / found.cpu_s,
        ],
    ]  # fmt: skip
    report.table(
        f"A tenth of the requests, {found.vehicles} drivers; SUMO's cars stand in each other's way", HEADER, rows
    )


def _drawn(folder: Path, n_requests: int, n_drivers: int) -> Path:
    """Write a drawn city and its people in the columns of the real ones."""
    folder.mkdir()
    graph, rng = lattice(20, seed=1), np.random.default_rng(2)
    pickup, dropoff = rng.integers(0, graph.node_count, (2, n_requests))
    is_trip = (dropoff != pickup) & np.isfinite(between(graph, pickup, dropoff))
    pickup, dropoff = pickup[is_trip], dropoff[is_trip]
    lat, lng = graph.lat_deg, graph.lng_deg
    t_s = np.sort(rng.integers(0, 3600, pickup.size))
    at = rng.integers(0, graph.node_count, n_drivers)
    tables = {
        "nodes": ("node,lat,lng", [np.arange(graph.node_count), lat, lng]),
        "edges": (
            "source,target,length_m,travel_time_s",
            [graph.source, graph.target, graph.length_m, graph.travel_time_s],
        ),
        "requests": (
            "t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size",
            [t_s, lat[pickup], lng[pickup], lat[dropoff], lng[dropoff], np.ones(pickup.size, int)],
        ),
        "drivers": ("lat,lng", [lat[at], lng[at]]),
    }
    for name, (header, columns) in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header.split(","))
            writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return folder
