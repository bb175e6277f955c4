"""Builds the road graph of a city from a file and writes it whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from geo.adapters import csv_roads, osm_pbf
from geo.roads.build import BuildReport, CityBuildError, build_graph
from geo.roads.graph import RoadGraph

REPORT_FILE = "build.json"

# Called with (stage, done): the name of the stage, and how many items of it are done.
OnProgress = Callable[[str, int], None]


@dataclass(frozen=True)
class OsmSource:
    """An OpenStreetMap extract; ``country`` (two letters) chooses the default speeds, None those of most places."""

    path: Path
    country: str | None = None


@dataclass(frozen=True)
class CsvSource:
    """A graph in two CSV files: nodes (node, lat, lng), edges (source, target, length_m, travel_time_s)."""

    nodes: Path
    edges: Path


def build_city(source: OsmSource | CsvSource, out_dir: Path, on_progress: OnProgress) -> BuildReport:
    """Build the roads of ``source`` into ``out_dir``: the graph, and build.json with the report.

    Everything is written beside ``out_dir`` first and moved when complete; other files in ``out_dir`` stay.
    Raises CityBuildError, with nothing written, if the source is missing, broken or holds no roads, or if
    ``out_dir`` is a file.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise CityBuildError(f"{out_dir} is a file; give a folder to write the city into")
    graph, dropped = _read(source, on_progress)
    report = BuildReport(
        graph.node_count, graph.edge_count, float(graph.length_m.sum()), {k: n for k, n in sorted(dropped.items()) if n}
    )
    on_progress("writing the graph", graph.edge_count)
    _write(graph, report, out_dir)
    return report


def _read(source: OsmSource | CsvSource, on_progress: OnProgress) -> tuple[RoadGraph, dict[str, int]]:
    if isinstance(source, CsvSource):
        on_progress("reading nodes and edges", 0)
        return csv_roads.read_graph(source.nodes, source.edges)
    on_progress("reading ways", 0)
    ways, dropped_ways = osm_pbf.read_ways(source.path, source.country, lambda seen: on_progress("reading ways", seen))
    on_progress("connecting streets", ways.forward_kmh.shape[0])
    graph, dropped_edges = build_graph(ways)
    return graph, dropped_ways | dropped_edges


def _write(graph: RoadGraph, report: BuildReport, out_dir: Path) -> None:
    unfinished = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.unfinished")
    try:
        graph.save(unfinished)
        (unfinished / REPORT_FILE).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
        if out_dir.exists():
            for file in sorted(unfinished.iterdir()):
                file.replace(out_dir / file.name)
        else:
            unfinished.rename(out_dir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
