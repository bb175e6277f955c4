"""Building a city from OpenStreetMap extracts: CPU seconds, peak memory, size, and what was dropped and why."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common.measure import SHARED_DATA, Report
from geo.roads.graph import STORED, STORED_SHAPES, RoadGraph

EXTRACTS = (("liechtenstein.osm.pbf", "LI"), ("manhattan_midtown_2025-01-25.osm.pbf", "US"))
# More extracts to build, separated as in PATH: python -m benchmarks roads with a file of one's own.
MORE_EXTRACTS = "HEXHAIL_BENCH_OSM"

# In a process of its own, for peak memory is that of a process. Kernels are compiled by a first build.
BUILD = """
import json, resource, sys, time
from pathlib import Path
from geo.city_build import OsmSource, build_city
from dataclasses import asdict
source, out = OsmSource(Path(sys.argv[1]), sys.argv[2] or None), Path(sys.argv[3])
build_city(source, out.with_name("warm"), lambda stage, done: None)
empty_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = time.process_time()
report = build_city(source, out, lambda stage, done: None)
spent_s = time.process_time() - before
print(json.dumps(asdict(report) | {"cpu_s": spent_s, "peak_mb": empty_mb}))
"""


def run(small: bool, report: Report) -> None:
    """Build every extract at hand; ``small`` builds a drawn one."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(path, country, Path(folder), report) for path, country in _extracts(Path(folder), small, report)]
    header = ["extract", "MB", "CPU s", "peak MB", "nodes", "edges", "km of edges", "save and load"]
    report.table("Cities built", header, rows)


def _extracts(folder: Path, small: bool, report: Report) -> list[tuple[Path, str]]:
    if small:
        return [(_drawn_extract(folder), "US")]
    found = [(SHARED_DATA / "osm" / name, country) for name, country in EXTRACTS]
    found += [(Path(name), "") for name in os.environ.get(MORE_EXTRACTS, "").split(os.pathsep) if name]
    for path, _ in found:
        if not path.exists():
            report.note(f"{path.name} is not at hand: left out")
    return [(path, country) for path, country in found if path.exists()]


def _row(path: Path, country: str, folder: Path, report: Report) -> list[object]:
    out = folder / f"city-{path.name}"
    command = [sys.executable, "-c", BUILD, str(path), country, str(out)]
    built = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    graph = RoadGraph.load(out)
    graph.save(folder / "again")
    again = RoadGraph.load(folder / "again")
    is_equal = all(np.array_equal(getattr(graph, name), getattr(again, name)) for name in STORED) and all(
        np.array_equal(getattr(graph.shapes, name), getattr(again.shapes, name)) for name in STORED_SHAPES
    )
    report.note(f"{path.name} dropped: {', '.join(f'{count:,} {why}' for why, count in built['dropped'].items())}")
    report.checksum(path.name, graph.source, graph.target, graph.length_m)
    size_mb = path.stat().st_size / 1e6
    counts = [built["node_count"], built["edge_count"], built["edges_m"] / 1000]
    return [path.name, size_mb, built["cpu_s"], built["peak_mb"], *counts, "identical" if is_equal else "DIFFERENT"]


def _drawn_extract(folder: Path) -> Path:
    """Write a ring road with two streets across."""
    nodes = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    lines = [f'<node id="{at + 1}" lat="{lat / 500}" lon="{lng / 500}"/>' for at, (lat, lng) in enumerate(nodes)]
    for number, way in enumerate(([1, 2, 3, 4, 5, 6, 7, 8, 1], [2, 6], [4, 8]), start=1):
        refs = "".join(f'<nd ref="{node}"/>' for node in way)
        lines.append(f'<way id="{number}">{refs}<tag k="highway" v="residential"/></way>')
    path = folder / "drawn.osm"
    path.write_text("\n".join(['<osm version="0.6">', *lines, "</osm>"]), encoding="utf-8")
    return path
