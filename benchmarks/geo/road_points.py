"""Points on roads: what share of a city's road length is served, and trips beside another reading of the same map.

The other reading takes OpenStreetMap's ways with pyosmium, one edge between each two points of a way, and
searches them with scipy; both sides look for the shortest way in metres. Trips begin and end at points of ways.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from benchmarks.common.inputs import lattice
from benchmarks.common.measure import SHARED_DATA, Report
from geo.arrays import FloatArray
from geo.city import load_city
from geo.city_build import OsmSource, build_city
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from geo.roads.road_ways import node_on_road, road_way
from geo.roads.snap import points_along
from geo.roads.travel_times import UnreachableError
from hexhail.runtime.settings import MANHATTAN
from kernel.points import Point

EXTRACTS = (("Liechtenstein", "liechtenstein.osm.pbf", "LI"), ("Midtown", "manhattan_midtown_2025-01-25.osm.pbf", "US"))
STEP_M = 20.0
OFF_ROAD_M_MAX = 200.0
ORIGINS, DESTINATIONS = 200, 10
#: What a car may drive on by a plain reading: one tag for access, no barriers, no exceptions by vehicle or direction.
DRIVABLE = frozenset(
    kind + link
    for kind in ("motorway", "trunk", "primary", "secondary", "tertiary")
    for link in ("", "_link")
) | {"road", "service", "unclassified", "residential", "living_street"}  # fmt: skip
NO_THROUGH_ROADS = frozenset({"driveway", "parking_aisle", "drive-through", "emergency_access"})
NEAR_SHARE = 0.01
COLUMNS = ["city", "by crossings %", "by roads %"]


def run(small: bool, report: Report) -> None:
    """Sample the roads of every city at hand; ``small`` takes a drawn one."""
    if small:
        report.table(
            "Share of the road length served",
            ["city", "by crossings %", "by roads %"],
            [_served("lattice", lattice(12, 1))],
        )
        return
    rows = [_served("Manhattan, as shipped", load_city(MANHATTAN).graph)]
    with tempfile.TemporaryDirectory() as folder:
        for name, file, country in EXTRACTS:
            path = SHARED_DATA / "osm" / file
            if not path.exists():
                report.note(f"{file} is not at hand: left out")
                continue
            build_city(OsmSource(path, country), Path(folder) / name, lambda stage, done: None)
            graph = RoadGraph.load(Path(folder) / name)
            rows.append(_served(name, graph))
            if name == "Liechtenstein":
                _compare(path, graph, report)
    report.table(f"Share of the road length within {OFF_ROAD_M_MAX:g} m", COLUMNS, rows)


def _served(name: str, graph: RoadGraph) -> list[object]:
    lat, lng = (column[graph.node_count :] for column in points_along(graph, STEP_M))
    _, to_crossing_m = graph.snap(lat, lng)
    _, to_road_m = node_on_road(graph, lat, lng)
    return [name, *(f"{100.0 * float((found <= OFF_ROAD_M_MAX).mean()):.2f}" for found in (to_crossing_m, to_road_m))]


def _compare(path: Path, graph: RoadGraph, report: Report) -> None:
    """Say how far the lengths of trips are from those of the other reading."""
    place, ways = _plain_reading(path)
    by_length = graph.with_travel_times(graph.length_m)
    rng = np.random.default_rng(1)
    origins = rng.choice(len(place), ORIGINS, replace=False)
    lengths_m = dijkstra(ways, indices=origins)
    differences, unreachable = [], 0
    for row, origin in enumerate(origins.tolist()):
        for destination in rng.choice(len(place), DESTINATIONS).tolist():
            try:
                found = road_way(by_length, Point(*place[origin]), Point(*place[destination]))
            except UnreachableError:
                unreachable += 1
                continue
            differences.append((found.length_m - lengths_m[row, destination]) / max(lengths_m[row, destination], 100.0))
    difference = np.array(differences)
    report.table(
        f"{ORIGINS * DESTINATIONS} trips on Liechtenstein beside a plain reading of its ways",
        ["within 0.1 %", f"within {NEAR_SHARE:.0%}", "longer here", "shorter here", "no way here", "median"],
        [
            [
                int((np.abs(difference) <= 0.001).sum()),
                int((np.abs(difference) <= NEAR_SHARE).sum()),
                int((difference > NEAR_SHARE).sum()),
                int((difference < -NEAR_SHARE).sum()),
                unreachable,
                f"{float(np.median(difference)):+.4%}",
            ]
        ],
    )


def _plain_reading(path: Path) -> tuple[FloatArray, csr_array]:
    """Return the points (n, 2) lat, lng of the largest connected part, and its edges as a matrix of metres."""
    number: dict[int, int] = {}
    places: list[tuple[float, float]] = []
    rows: list[tuple[int, int]] = []
    for points, is_forwards, is_backwards in _ways(path):
        for node, place in points:
            if node not in number:
                number[node] = len(places)
                places.append(place)
        order = [number[node] for node, _ in points]
        steps = list(itertools.pairwise(order))
        rows += steps if is_forwards else []
        rows += [(far, near) for near, far in steps] if is_backwards else []
    place, (source, target) = np.array(places), np.array(rows).T
    # Of two edges between the same points the shorter: a matrix would add them up.
    shortest: dict[tuple[int, int], float] = {}
    for edge, metres in zip(rows, great_circle_m(*place[source].T, *place[target].T).tolist(), strict=True):
        shortest[edge] = min(metres, shortest.get(edge, np.inf))
    source, target = np.array(list(shortest)).T
    length_m = np.array(list(shortest.values()))
    ways = csr_array((length_m, (source, target)), shape=(len(place), len(place)))
    _, part = connected_components(ways, connection="strong")
    kept = np.flatnonzero(part == np.bincount(part).argmax())
    return place[kept], ways[kept][:, kept]


def _ways(path: Path) -> Iterator[tuple[list[tuple[int, tuple[float, float]]], bool, bool]]:
    """Each drivable way: its points with their places, and whether it is driven forwards and backwards."""
    import osmium

    for way in osmium.FileProcessor(str(path), osmium.osm.NODE | osmium.osm.WAY).with_locations():
        tags = way.tags
        if not way.is_way() or tags.get("highway") not in DRIVABLE:
            continue
        if tags.get("access") in ("no", "private") or tags.get("service") in NO_THROUGH_ROADS:
            continue
        is_round = tags.get("junction") in ("roundabout", "circular") or tags.get("highway") == "motorway"
        oneway = tags.get("oneway", "yes" if is_round else "no")
        points = [(node.ref, (node.lat, node.lon)) for node in way.nodes if node.location.valid()]
        yield points, oneway != "-1", oneway in ("no", "-1", "reversible")
