"""SUMO (PyPI eclipse-sumo, EPL-2.0) on a part of our inputs: its own environment, network and taxis out of our files.

SUMO drives every car metre by metre, with others in its way: different physics, so only a tenth of the hour is asked
of it, with a sixth of its drivers. Its riders never give up; who was picked up later than others would have waited does
not count as served.
"""

from __future__ import annotations

import csv
import gzip
import resource
import shutil
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import quoteattr

import numpy as np

PACKAGES = ("eclipse-sumo==1.28.0",)
M_PER_DEG = 111_195.0
#: Each n-th request, and so many drivers: what SUMO plays in a minute or two without a jam.
EVERY_REQUEST = 10
DRIVERS = 250
#: Its default is 60 s, which nobody would wait for.
DISPATCH_PERIOD_S = 15
PATIENCE_S = 600.0
END_S = 5_400


@dataclass(frozen=True)
class SumoResult:
    """SUMO's results under our metric names."""

    requests: int
    vehicles: int
    served: int
    wait_s_mean: float
    wait_s_p50: float
    wait_s_p95: float
    cpu_s: float


def write_part(data: Path, folder: Path) -> Path:
    """Write the part of the hour that SUMO plays, in our own columns: nodes, edges, requests, drivers."""
    folder.mkdir(parents=True, exist_ok=True)
    requests, drivers = _rows(data / "requests.csv.gz")[::EVERY_REQUEST], _rows(data / "drivers.csv")
    picked = [drivers[number * len(drivers) // DRIVERS] for number in range(DRIVERS)]
    for name, rows in (("requests.csv", requests), ("drivers.csv", picked)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    for name in ("nodes.csv", "edges.csv"):
        shutil.copyfile(data / name, folder / name)
    return folder


def run(data: Path, cache: Path) -> SumoResult:
    """Run what `write_part` wrote. Raises CalledProcessError or OSError if SUMO cannot be had."""
    tools = _environment(cache) / "bin"
    folder = cache / "scenario"
    folder.mkdir(parents=True, exist_ok=True)
    arriving = _write_network(data, folder, tools)
    requests, vehicles = _write_people(data, folder, arriving)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [
            tools / "sumo", "--net-file", "net.xml", "--route-files", "people.xml", "--tripinfo-output", "trips.xml",
            "--device.taxi.dispatch-algorithm", "greedy", "--device.taxi.dispatch-period", str(DISPATCH_PERIOD_S),
            "--end", str(END_S), "--no-step-log", "--no-warnings", "--ignore-route-errors", "--seed", "1",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wait_s = _waits_s(folder / "trips.xml")
    wait_s = wait_s[wait_s <= PATIENCE_S]
    p50, p95 = np.percentile(wait_s, [50, 95]).tolist()
    cpu_s = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return SumoResult(requests, vehicles, wait_s.size, float(wait_s.mean()), p50, p95, cpu_s)


def _environment(cache: Path) -> Path:
    folder = cache / "venv"
    if not (folder / "bin" / "sumo").exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
    return folder


def _write_network(data: Path, folder: Path, tools: Path) -> dict[str, str]:
    """Write our graph as SUMO's; returns an edge that arrives at each node."""
    nodes, edges = _rows(data / "nodes.csv"), _rows(data / "edges.csv")
    lng_scale = np.cos(np.radians(float(nodes[0]["lat"])))
    places = (
        f'<node id={quoteattr(node["node"])} x="{float(node["lng"]) * M_PER_DEG * lng_scale:.2f}" '
        f'y="{float(node["lat"]) * M_PER_DEG:.2f}"/>'
        for node in nodes
    )
    arriving: dict[str, Any] = {}
    lines: list[Any] = []
    for number, edge in enumerate(edges):
        speed_mps = float(edge["length_m"]) / max(float(edge["travel_time_s"]), 0.1)
        lines.append(
            f'<edge id="e{number}" from={quoteattr(edge["source"])} to={quoteattr(edge["target"])} numLanes="2" '
            f'speed="{speed_mps:.2f}" length="{float(edge["length_m"]):.2f}"/>'
        )
        arriving.setdefault(edge["target"], f"e{number}")
    (folder / "nodes.xml").write_text(f"<nodes>{''.join(places)}</nodes>", encoding="utf-8")
    (folder / "edges.xml").write_text(f"<edges>{''.join(lines)}</edges>", encoding="utf-8")
    command = [tools / "netconvert", "--node-files", "nodes.xml", "--edge-files", "edges.xml", "-o", "net.xml"]
    # No lights, and nobody waits at corners that our graph does not know either.
    options = ["--no-turnarounds", "false", "--tls.discard-simple", "--default.junctions.keep-clear", "false"]
    subprocess.run([*command, *options, "--no-warnings"], cwd=folder, check=True, capture_output=True)
    return arriving


def _write_people(data: Path, folder: Path, arriving: dict[str, str]) -> tuple[int, int]:
    """Write riders and taxis; returns how many of either."""
    nodes = _rows(data / "nodes.csv")
    place = np.array([[float(node["lat"]), float(node["lng"])] for node in nodes])
    name = [node["node"] for node in nodes]

    def edge_at(lat: str, lng: str) -> str:
        away = (place - (float(lat), float(lng))) * (1.0, np.cos(np.radians(float(lat))))
        near = np.argsort((away**2).sum(axis=1))
        return next(arriving[name[node]] for node in near.tolist() if name[node] in arriving)

    drivers, requests = _rows(data / "drivers.csv"), _rows(data / "requests.csv")
    lines = ['<vType id="taxi" vClass="taxi" speedDev="0"><param key="has.taxi.device" value="true"/></vType>']
    for number, row in enumerate(drivers):
        edge = edge_at(row["lat"], row["lng"])
        stop = f'<stop lane="{edge}_0" triggered="person"/>'
        lines.append(f'<vehicle id="v{number}" type="taxi" depart="0"><route edges="{edge}"/>{stop}</vehicle>')
    for number, row in enumerate(sorted(requests, key=lambda row: float(row["t_s"]))):
        begin, end = edge_at(row["pickup_lat"], row["pickup_lng"]), edge_at(row["dropoff_lat"], row["dropoff_lng"])
        ride = f'<ride from="{begin}" to="{end}" lines="taxi"/>'
        lines.append(f'<person id="p{number}" depart="{float(row["t_s"]):.1f}">{ride}</person>')
    (folder / "people.xml").write_text(f"<routes>{''.join(lines)}</routes>", encoding="utf-8")
    return len(requests), len(drivers)


def _waits_s(trips: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rides = Xml.parse(trips).getroot().iterfind("personinfo/ride")  # noqa: S314 - written by SUMO a moment ago
    return np.array([float(ride.get("waitingTime", "nan")) for ride in rides if float(ride.get("depart", "-1")) >= 0])


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
