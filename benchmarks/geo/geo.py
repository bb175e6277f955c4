"""Cells and nearest drivers: beside the h3 Python API, scipy's k-d tree, Redis and scipy's Dijkstra."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import redis
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from benchmarks.common.inputs import bay_area, places
from benchmarks.common.measure import Report, cpu_s
from geo.cells import disks, latlng_to_cells, path_in_use
from geo.distances import EARTH_RADIUS_M, great_circle_m, unit_vectors
from geo.nearest import PointsByCell
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import between, nearest_by_road, path

K = 20
LIMIT_S = 600.0
US = 1e6
# Cells with some ten points each: the resolution for a number of drivers over the bay.
RESOLUTION_OF = {1_000: 6, 10_000: 7, 100_000: 7, 1_000_000: 8}


def run(small: bool, report: Report) -> None:
    """Measure everything; ``small`` shrinks all inputs."""
    report.note(f"H3 through {path_in_use().reason}")
    _cells(small, report)
    _nearest(small, report)
    _growth(small, report)
    _by_road(small, report)


def _cells(small: bool, report: Report) -> None:
    count = 2_000 if small else 200_000
    lat, lng = places(np.random.default_rng(0), count)
    pairs = list(zip(lat.tolist(), lng.tolist(), strict=True))
    mine_s, cells = cpu_s(lambda: latlng_to_cells(lat, lng, 9))
    api_s, by_api = cpu_s(lambda: [h3.latlng_to_cell(a, b, 9) for a, b in pairs], 3)
    if cells.tolist() != by_api:
        raise AssertionError("the compiled calls and the Python API of h3 disagree")
    rows = [["latlng to cell, res 9", mine_s / count * US, api_s / count * US, api_s / mine_s]]
    some = np.unique(cells)[: count // 10]
    ids = some.tolist()
    for k in (1, 2, 5):
        mine_s, _ = cpu_s(lambda k=k: disks(some, k))
        api_s, _ = cpu_s(lambda k=k: [h3.grid_disk(cell, k) for cell in ids], 3)
        rows.append([f"disk, k = {k}", mine_s / some.size * US, api_s / some.size * US, api_s / mine_s])
    report.table("H3, us of CPU each", ["what", "geo.cells", "h3 Python API", "ratio"], rows)
    report.checksum("cells", cells)


def _nearest(small: bool, report: Report) -> None:
    rng = np.random.default_rng(1)
    drivers, queries = (1_000, 200) if small else (100_000, 20_000)
    points, asked = places(rng, drivers), places(rng, queries)
    resolution = RESOLUTION_OF[drivers]
    mine_s, nearest = cpu_s(lambda: PointsByCell.of(*points, resolution).nearest(*asked, K))
    index, distance_m = nearest.index, nearest.distance_m
    ready = PointsByCell.of(*points, resolution)
    search_s, found = cpu_s(lambda: ready.nearest(*asked, K))
    tree_s, (_, tree_index) = cpu_s(lambda: cKDTree(unit_vectors(*points)).query(unit_vectors(*asked), k=K))
    tree = cKDTree(unit_vectors(*points))
    tree_search_s, _ = cpu_s(lambda: tree.query(unit_vectors(*asked), k=K))
    first_s, first = cpu_s(lambda: _first_ring_wins(ready, asked), 3)
    per = US / queries
    rows: list[list[object]] = [
        ["geo.nearest.PointsByCell, build included", mine_s * per, 1.0, "exact, all certified"],
        ["  points already in cells", search_s * per, search_s / mine_s, "exact, all certified"],
        ["scipy cKDTree, build included", tree_s * per, tree_s / mine_s, "exact"],
        ["  tree already built", tree_search_s * per, tree_search_s / mine_s, "exact"],
        _first_ring_row(first, index[:, 0], distance_m[:, 0], first_s * per, first_s / mine_s),
    ]
    rows += _redis_rows(points, asked, index, mine_s, report)
    title = f"{K} nearest of {drivers:,} drivers, {queries:,} queries, resolution {resolution}: us of CPU a query"
    report.table(title, ["what", "us", "of ours", "answers"], rows)
    report.figure("nearest, build included", mine_s * per, "us a query (aim: 20)")
    if not (found.is_certified.all() and np.array_equal(np.sort(index), np.sort(tree_index))):
        raise AssertionError("nearest and the k-d tree disagree")
    report.checksum("nearest", index)


def _first_ring_wins(ready: PointsByCell, asked: tuple[Any, Any]) -> tuple[Any, Any]:
    """Do as engines do that widen the disk until anyone is in it, and take the best of those."""
    lat, lng = asked
    index, distance_m = np.full(lat.size, -1), np.full(lat.size, np.inf)
    rings, left = 0, np.arange(lat.size)
    while left.size:
        found = ready.nearest(lat[left], lng[left], 1, rings_max=rings)
        index[left], distance_m[left] = found.index[:, 0], found.distance_m[:, 0]
        left, rings = left[found.index[:, 0] < 0], rings + 1
    return index, distance_m


def _first_ring_row(first: tuple[Any, Any], index: Any, distance_m: Any, us: float, ratio: float) -> list[object]:
    wrong = first[0] != index
    farther = (first[1][wrong] / distance_m[wrong]).max() if wrong.any() else 1.0
    return ["first ring wins, k = 1", us, ratio, f"{wrong.mean():.1%} wrong, up to {farther:.1f} times as far"]


@contextlib.contextmanager
def _redis_server() -> Iterator[redis.Redis | None]:
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=str(socket))
            while not socket.exists():
                time.sleep(0.01)
            yield client
            client.close()
        finally:
            server.terminate()
            server.wait()


def _redis_rows(points: Any, asked: Any, index: Any, mine_s: float, report: Report) -> list[list[object]]:
    """Ask a real server the same, within a radius that holds three times as many drivers on average."""
    with _redis_server() as client:
        if client is None:
            report.note("no redis-server on this machine: GEOSEARCH not measured")
            return []
        members = [
            value
            for at, place in enumerate(zip(points[1].tolist(), points[0].tolist(), strict=True))
            for value in (*place, at)
        ]
        for begin in range(0, len(members), 30_000):
            client.geoadd("drivers", members[begin : begin + 30_000])
        count = min(asked[0].size, 2_000)
        radius_m = float(np.median(_kth_distance_m(points, asked, count)) * 1.7)
        before, own = _server_cpu_s(client), time.process_time()
        answers: list[list[bytes]] = []
        for begin in range(0, count, 100):
            pipe = client.pipeline(transaction=False)
            for at in range(begin, min(begin + 100, count)):
                place = {
                    "longitude": float(asked[1][at]),
                    "latitude": float(asked[0][at]),
                    "radius": radius_m,
                    "unit": "m",
                }
                pipe.geosearch("drivers", **place, sort="ASC", count=K)
            answers += pipe.execute()
        own_s, server_s = time.process_time() - own, _server_cpu_s(client) - before
        same = np.mean([[int(one) for one in answers[at]] == index[at].tolist() for at in range(count)])
        mine = mine_s / asked[0].size * US
        us, version = server_s / count * US, dict(client.info())["redis_version"]
        return [
            [f"Redis {version} GEOSEARCH, server", us, us / mine, f"{same:.1%} as ours, radius {radius_m:,.0f} m"],
            ["  its Python client", own_s / count * US, own_s / count * US / mine, ""],
        ]  # fmt: skip


def _kth_distance_m(points: Any, asked: Any, count: int) -> Any:
    chord, _ = cKDTree(unit_vectors(*points)).query(unit_vectors(asked[0][:count], asked[1][:count]), k=[K])
    return chord * EARTH_RADIUS_M


def _server_cpu_s(client: redis.Redis) -> float:
    cpu: Any = client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def _growth(small: bool, report: Report) -> None:
    rows = []
    for drivers in (1_000,) if small else tuple(RESOLUTION_OF):
        rng = np.random.default_rng(2)
        points, asked = places(rng, drivers), places(rng, 200 if small else 20_000)
        resolution = RESOLUTION_OF[drivers]
        build_s, ready = cpu_s(lambda points=points, r=resolution: PointsByCell.of(*points, r), 3)
        search_s, _ = cpu_s(lambda ready=ready, asked=asked: ready.nearest(*asked, K), 3)
        tree_build_s, tree = cpu_s(lambda points=points: cKDTree(unit_vectors(*points)), 3)
        tree_s, _ = cpu_s(lambda tree=tree, asked=asked: tree.query(unit_vectors(*asked), k=K), 3)
        per = US / asked[0].size
        rows.append([f"{drivers:,}", resolution, build_s * 1e3, search_s * per, tree_build_s * 1e3, tree_s * per])
    header = ["drivers", "resolution", "build ms", "us a query", "k-d tree build ms", "k-d tree us a query"]
    report.table(f"Growth, {K} nearest", header, rows)


def _by_road(small: bool, report: Report) -> None:
    graph = bay_area(report, small=small)
    rng = np.random.default_rng(3)
    pickups, drivers, sample = (60, 90, 10) if small else (3_000, 4_500, 300)
    driver_node, pickup_node = (rng.integers(0, graph.node_count, count) for count in (drivers, pickups))
    mine_s, (index, found_s) = cpu_s(lambda: nearest_by_road(graph, driver_node, pickup_node, K, LIMIT_S), 9)
    some = pickup_node[:sample]
    scipy_s, expected_s = cpu_s(lambda: _k_by_scipy(graph, driver_node, some), 1)
    if not np.allclose(found_s[:sample], expected_s):
        raise AssertionError("nearest_by_road and scipy disagree")
    mine, theirs = mine_s / pickups * US, scipy_s / sample * US
    rows = [
        ["geo.roads.travel_times.nearest_by_road", mine, 1.0],
        ["scipy dijkstra, limit, and the k best", theirs, theirs / mine],
    ]
    report.table(
        f"{K} nearest of {drivers:,} drivers by road within {LIMIT_S:.0f} s, {graph.node_count:,} nodes, "
        f"{graph.edge_count:,} edges: us of CPU a pickup",
        ["what", "us", "of ours"],
        rows,
    )
    report.figure(f"nearest_by_road, {pickups:,} pickups x {drivers:,} drivers", mine_s * 1e3, "ms (aim: 25)")
    report.figure("scipy's CPU over ours", theirs / mine, "times (aim: 20)")
    report.checksum("nearest_by_road", index)
    _pairs(graph, sample, rng, report)


def _k_by_scipy(graph: RoadGraph, driver_node: Any, pickup_node: Any) -> Any:
    reversed_graph = _matrix(graph, graph.target, graph.source)
    answers = []
    for begin in range(0, pickup_node.size, 100):
        times_s = dijkstra(reversed_graph, indices=pickup_node[begin : begin + 100], limit=LIMIT_S)
        answers.append(np.sort(np.partition(times_s[:, driver_node], K - 1, axis=1)[:, :K], axis=1))
    return np.concatenate(answers)


def _node_within(graph: RoadGraph, origin: int, distance_m: float, rng: np.random.Generator) -> int:
    away_m = great_circle_m(graph.lat_deg[origin], graph.lng_deg[origin], graph.lat_deg, graph.lng_deg)
    return int(rng.choice(np.flatnonzero(away_m < distance_m)))


def _matrix(graph: RoadGraph, row: Any, column: Any) -> Any:
    """Return the travel times as scipy wants them; of parallel edges the quickest, for scipy would add them up."""
    order = np.lexsort((graph.travel_time_s, column, row))
    _, first = np.unique(np.column_stack([row, column])[order], axis=0, return_index=True)
    kept = order[first]
    shape = (graph.node_count, graph.node_count)
    return csr_matrix((graph.travel_time_s[kept], (row[kept], column[kept])), shape=shape)


def _pairs(graph: RoadGraph, count: int, rng: np.random.Generator, report: Report) -> None:
    node = rng.integers(0, graph.node_count, (2, count))
    single_s, _ = cpu_s(lambda: between(graph, node[0], node[1]), 3)
    few, everywhere = node[0][:50], np.arange(graph.node_count)
    ends = np.repeat(few, everywhere.size), np.tile(everywhere, few.size)
    many_s, answer_s = cpu_s(lambda: between(graph, *ends), 3)
    for_scipy = _matrix(graph, graph.source, graph.target)
    scipy_s, expected_s = cpu_s(lambda: dijkstra(for_scipy, indices=few), 3)
    if not np.allclose(answer_s, expected_s.ravel()):
        raise AssertionError("between and scipy disagree")
    near = [_node_within(graph, origin, 5_000.0, rng) for origin in node[0].tolist()]
    path_s, _ = cpu_s(lambda: [path(graph, *ends) for ends in zip(node[0].tolist(), near, strict=True)], 3)
    rows = [
        ["between, pairs all over the map that share no end", single_s / count * US, "-"],
        ["path, ends within 5 km", path_s / count * US, "-"],
        [f"between, 50 origins x {graph.node_count:,} nodes", many_s / answer_s.size * US, scipy_s / many_s],
    ]
    report.table("One to one: us of CPU a pair", ["what", "us", "scipy's CPU over ours"], rows)
