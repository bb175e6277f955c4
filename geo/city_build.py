"""Builds the road graph of a city from a file and writes it whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from geo.adapters import csv_roads, osm_pbf
from geo.roads.access import keys_of
from geo.roads.build import BuildReport, CityBuildError, Losses, build_graph
from geo.roads.graph import RoadGraph

REPORT_FILE = "build.json"

# Called with (stage, done): the name of the stage, and how many items of it are done.
OnProgress = Callable[[str, int], None]


@dataclass(frozen=True)
class OsmSource:
    """An OpenStreetMap extract.

    ``country`` (two letters) chooses the default speeds, None those of most places. ``taxis_are_psv``: whether taxis
    may drive where public service vehicles may, as in most countries.
    """

    path: Path
    country: str | None = None
    taxis_are_psv: bool = True


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
    graph, report = _read(source, on_progress)
    on_progress("writing the graph", graph.edge_count)
    _write(graph, report, out_dir)
    return report


def _read(source: OsmSource | CsvSource, on_progress: OnProgress) -> tuple[RoadGraph, BuildReport]:
    if isinstance(source, CsvSource):
        on_progress("reading nodes and edges", 0)
        graph, losses, bounded_speeds = csv_roads.read_graph(source.nodes, source.edges)
        return graph, replace(_report(graph, {}, losses), bounded_speeds=bounded_speeds)
    on_progress("reading ways", 0)
    ways, found = osm_pbf.read_ways(
        source.path,
        source.country,
        keys_of(taxis_are_psv=source.taxis_are_psv),
        lambda seen: on_progress("reading ways", seen),
    )
    on_progress("connecting streets", ways.forward_kmh.shape[0])
    graph, losses = build_graph(ways)
    report = replace(
        _report(graph, found.dropped, losses),
        closed_points=dict(sorted(found.closed_points.items())),
        bounded_speeds=found.wrong_limits,
        taxis_are_psv=source.taxis_are_psv,
    )
    return graph, report


def _report(graph: RoadGraph, dropped: dict[str, int], losses: Losses) -> BuildReport:
    return BuildReport(
        node_count=graph.node_count,
        edge_count=graph.edge_count,
        edges_m=float(graph.length_m.sum()),
        dropped={reason: count for reason, count in sorted((dropped | losses.dropped).items()) if count},
        lost_share=round(losses.length_share, 6),
        next_part_m=losses.next_part_m,
        next_part_deg=losses.next_part_deg,
    )


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
