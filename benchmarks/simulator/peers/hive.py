"""HIVE (PyPI nrel.hive, BSD-3) on our inputs: its own environment, its scenario out of our files, its events read back.

Its stations and bases are moved out of the way of the comparison: combustion cars with a full tank and idle time-outs
longer than the run. HIVE moves in steps; 15 s is the best for its waits, 60 s its default and faster.
"""

from __future__ import annotations

import csv
import gzip
import json
import resource
import subprocess
import venv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

PACKAGES = ("nrel.hive==1.3.1", "networkx==3.2.1", "numpy<2", "setuptools<81")
DAY_S = 86_400
BEGIN = datetime(2013, 11, 18, 16, 0, tzinfo=UTC)

_SCENARIO = """sim:
  sim_name: beside
  timestep_duration_seconds: {step_s}
  request_cancel_time_seconds: 600
  start_time: "2013-11-18T16:00:00"
  end_time: "2013-11-18T17:30:00"
  sim_h3_search_resolution: 7
network:
  network_type: osm_network
input:
  vehicles_file: vehicles.csv
  requests_file: requests.csv
  bases_file: bases.csv
  stations_file: stations.csv
  road_network_file: network.json
dispatcher:
  idle_time_out_seconds: 86400
  valid_dispatch_states: [idle, repositioning, reservebase]
"""
_GLOBAL = "output_base_directory: {out}\nlog_run: False\nlog_states: False\nlog_instructions: False\nlog_events: True\n"


@dataclass(frozen=True)
class HiveResult:
    """HIVE's results under our metric names."""

    requests: int
    served: int
    wait_s_mean: float
    wait_s_p50: float
    wait_s_p95: float
    cpu_s: float


def run(data: Path, cache: Path, step_s: int) -> HiveResult:
    """Run an hour of demand and half an hour of drain. Raises CalledProcessError or OSError if HIVE cannot be had."""
    folder = cache / f"scenario-{step_s}"
    out = folder / f"out-{datetime.now(UTC):%Y%m%d%H%M%S}"
    out.mkdir(parents=True)
    requests = _write_scenario(data, folder, out, step_s)
    hive = _environment(cache) / "bin" / "hive"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([hive, folder / "scenario.yaml"], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    wait_s = _waits_s(next(out.rglob("event.log")))
    p50, p95 = np.percentile(wait_s, [50, 95]).tolist()
    return HiveResult(requests, wait_s.size, float(wait_s.mean()), p50, p95, cpu_s)


def _environment(cache: Path) -> Path:
    folder = cache / "venv"
    if not (folder / "bin" / "hive").exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
    return folder


def _write_scenario(data: Path, folder: Path, out: Path, step_s: int) -> int:
    """Write HIVE's files out of ours; returns how many requests there are."""
    for name in ("vehicles", "requests", "bases", "stations", "road_network"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "scenario.yaml").write_text(_SCENARIO.format(step_s=step_s), encoding="utf-8")
    (folder / ".hive.yaml").write_text(_GLOBAL.format(out=out), encoding="utf-8")
    nodes, edges = _rows(data / "nodes.csv"), _rows(data / "edges.csv")
    drivers, requests = _rows(data / "drivers.csv"), _rows(data / "requests.csv.gz")
    (folder / "road_network" / "network.json").write_text(json.dumps(_network(nodes, edges)), encoding="utf-8")
    _write(
        folder / "vehicles" / "vehicles.csv",
        ["vehicle_id", "lat", "lon", "mechatronics_id", "initial_soc"],
        [[f"v{number}", row["lat"], row["lng"], "toyota_corolla", 1.0] for number, row in enumerate(drivers)],
    )
    places = ("pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng")
    _write(
        folder / "requests" / "requests.csv",
        ["request_id", "o_lat", "o_lon", "d_lat", "d_lon", "departure_time", "passengers"],
        [
            [n, *(row[name] for name in places), _moment(row["t_s"]), row["party_size"]]
            for n, row in enumerate(requests)
        ],
    )
    lng, lat = nodes[0]["lng"], nodes[0]["lat"]
    header = ["station_id", "lon", "lat", "charger_count", "charger_id", "on_shift_access"]
    _write(folder / "stations" / "stations.csv", header, [["s1", lng, lat, 1000, "GAS_PUMP", "TRUE"]])
    header = ["base_id", "lon", "lat", "stall_count", "station_id"]
    _write(folder / "bases" / "bases.csv", header, [["b1", lng, lat, 2000, "s1"]])
    return len(requests)


def _network(nodes: list[dict[str, str]], edges: list[dict[str, str]]) -> dict[str, object]:
    links = [
        {
            "source": int(edge["source"]),
            "target": int(edge["target"]),
            "key": 0,
            "length": float(edge["length_m"]),
            "travel_time": float(edge["travel_time_s"]),
            "speed_kmph": float(edge["length_m"]) / max(float(edge["travel_time_s"]), 0.1) * 3.6,
        }
        for edge in edges
    ]
    places = [{"id": int(node["node"]), "x": float(node["lng"]), "y": float(node["lat"])} for node in nodes]
    graph = {"crs": "epsg:4326", "simplified": True}
    return {"directed": True, "multigraph": True, "graph": graph, "nodes": places, "links": links}


def _waits_s(log: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    events = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return np.array([_seconds(e["wait_time_seconds"]) for e in events if e["report_type"] == "pickup_request_event"])


def _seconds(duration: str) -> float:
    """Seconds of HIVE's H:MM:SS; it dates a pickup one step back, and writes one before its request as a day less."""
    hours, minutes, seconds = map(float, str(duration).split(":"))
    wait_s = hours * 3600 + minutes * 60 + seconds
    return 0.0 if wait_s > DAY_S / 2 else wait_s


def _moment(t_s: str) -> str:
    return f"{datetime.fromtimestamp(BEGIN.timestamp() + float(t_s), UTC):%Y-%m-%dT%H:%M:%S}"


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
