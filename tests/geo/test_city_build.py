from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from geo.city_build import REPORT_FILE, CsvSource, OsmSource, build_city
from geo.distances import great_circle_m
from geo.kernels.components import strong_parts
from geo.roads.build import CityBuildError
from geo.roads.graph import GRAPH_FILE, Adjacency, RoadGraph
from geo.roads.travel_times import between, path

# Drawn as a map, rows from north to south, 0.001 degrees apart; each letter is a point.
#   A - B - C
#   |       |
#   D - E - F     G: an island behind a one-way street out of F
POINTS = {"A": (1, 0), "B": (1, 1), "C": (1, 2), "D": (0, 0), "E": (0, 1), "F": (0, 2), "G": (0, 3), "H": (2, 2)}


def osm_file(folder: Path, *ways: Any) -> Any:
    """An extract of ways like ("ABC", {"highway": "residential"})."""
    ids = {name: number for number, name in enumerate(POINTS, start=1)}
    lines = ['<osm version="0.6">']
    lines += [f'<node id="{ids[n]}" lat="{r / 1000}" lon="{c / 1000}" version="1"/>' for n, (r, c) in POINTS.items()]
    for number, (points, tags) in enumerate(ways, start=1):
        refs = "".join(f'<nd ref="{ids.get(point, 99)}"/>' for point in points)
        texts = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        lines.append(f'<way id="{number}" version="1">{refs}{texts}</way>')
    file = folder / "city.osm"
    file.write_text("\n".join([*lines, "</osm>"]))
    return file


def built(tmp_path: Path, *ways: Any) -> Any:
    report = build_city(OsmSource(osm_file(tmp_path, *ways)), tmp_path / "out", lambda stage, done: None)
    return RoadGraph.load(tmp_path / "out"), report


def node_of(graph: Any, name: str) -> Any:
    (node,), (distance_m,) = graph.snap(POINTS[name][0] / 1000, POINTS[name][1] / 1000)
    return int(node) if distance_m < 1 else None


def test_streets_are_cut_at_crossings_and_keep_their_bends(tmp_path: Path) -> None:
    graph, report = built(tmp_path, ("ABCF", {"highway": "residential"}), ("ADEF", {"highway": "primary"}))
    assert (graph.node_count, graph.edge_count) == (2, 4)
    assert node_of(graph, "B") is None
    way = path(graph, node_of(graph, "A"), node_of(graph, "F"))
    bends = graph.edge_points(int(way.edge[0]))
    assert np.allclose(bends, [[0.001, 0], [0, 0], [0, 0.001], [0, 0.002]])
    step_m = great_circle_m(bends[:-1, 0], bends[:-1, 1], bends[1:, 0], bends[1:, 1])
    assert way.length_m[-1] == pytest.approx(step_m.sum())
    assert way.arrival_s[-1] == pytest.approx(step_m.sum() / (60 / 3.6))
    assert report.dropped == {}


def test_a_one_way_street_has_one_edge_and_the_way_back_goes_round(tmp_path: Path) -> None:
    graph, _ = built(
        tmp_path, ("ABC", {"highway": "residential", "oneway": "yes"}), ("CFEDA", {"highway": "residential"})
    )
    there, back = between(graph, [node_of(graph, "A"), node_of(graph, "C")], [node_of(graph, "C"), node_of(graph, "A")])
    assert back == pytest.approx(2 * there, rel=1e-3)


def test_edges_without_a_way_back_are_dropped_and_reported(tmp_path: Path) -> None:
    graph, report = built(
        tmp_path,
        ("ADF", {"highway": "residential"}),
        ("FG", {"highway": "residential", "oneway": "yes"}),
        ("BE", {"highway": "residential"}),
        ("AC", {"highway": "footway"}),
    )
    assert graph.node_count == 2
    assert report.dropped == {"edges that one cannot both reach and leave": 3, "not a road for cars": 1}


def test_a_street_that_ends_where_it_begins_is_kept_as_two_edges_each_way(tmp_path: Path) -> None:
    graph, _ = built(tmp_path, ("ABCFEDA", {"highway": "residential"}))
    assert (graph.node_count, graph.edge_count) == (2, 4)


def test_points_outside_the_extract_are_left_out(tmp_path: Path) -> None:
    graph, report = built(tmp_path, ("ABX", {"highway": "residential"}), ("DX", {"highway": "residential"}))
    assert graph.node_count == 2
    assert report.dropped == {"points outside the extract": 2, "ways with less than two points in the extract": 1}


def test_building_again_replaces_the_graph_and_leaves_other_files_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "city.toml").write_text("mine")
    _, report = built(tmp_path, ("ABC", {"highway": "residential"}))
    assert sorted(file.name for file in out.iterdir()) == [REPORT_FILE, "city.toml", GRAPH_FILE]
    assert json.loads((out / REPORT_FILE).read_text())["edge_count"] == report.edge_count == 2


def test_bends_survive_saving_and_loading(tmp_path: Path) -> None:
    graph, _ = built(tmp_path, ("ABCF", {"highway": "residential"}), ("ADEF", {"highway": "primary"}))
    graph.save(tmp_path / "again")
    again = RoadGraph.load(tmp_path / "again")
    for edge in range(graph.edge_count):
        assert np.array_equal(graph.edge_points(edge), again.edge_points(edge))


def test_a_file_at_the_output_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(CityBuildError, match="is a file"):
        built(tmp_path, ("ABC", {"highway": "residential"}))
    assert (tmp_path / "out").read_text() == "not a folder"


def test_progress_is_reported(tmp_path: Path) -> None:
    told = []
    source = OsmSource(osm_file(tmp_path, ("ABC", {"highway": "residential"})))
    build_city(source, tmp_path / "out", lambda stage, done: told.append(stage))
    assert told == ["reading ways", "connecting streets", "writing the graph"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.osm.pbf", b"", "cannot be read|no road"),
        ("noise.osm.pbf", b"\x00\x01\x02\x03 noise" * 50, "cannot be read"),
        ("half.osm", b"<osm version='0.6'><node id='1' lat='0'", "cannot be read"),
        ("nothing.osm", b"<osm version='0.6'></osm>", "no road that cars may drive"),
        ("unknown.txt", b"hello", "cannot be read"),
    ],
)
def test_a_broken_or_empty_file_is_a_clear_error_and_nothing_is_written(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CityBuildError, match=message):
        build_city(OsmSource(tmp_path / name), tmp_path / "out", lambda stage, done: None)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kept_bytes", [1_000, 700_000])
def test_a_truncated_extract_is_a_clear_error_and_nothing_is_written(
    shared: Any, tmp_path: Path, kept_bytes: Any
) -> None:
    half = tmp_path / "half.osm.pbf"
    half.write_bytes(shared("osm/liechtenstein.osm.pbf").read_bytes()[:kept_bytes])
    with pytest.raises(CityBuildError, match="download it again"):
        build_city(OsmSource(half), tmp_path / "out", lambda stage, done: None)
    assert [file.name for file in tmp_path.iterdir()] == ["half.osm.pbf"]


def test_a_missing_file_and_roads_that_lead_nowhere_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(CityBuildError, match="there is no file"):
        build_city(OsmSource(tmp_path / "none.pbf"), tmp_path / "out", lambda stage, done: None)
    for way in (("ABC", {"highway": "residential", "oneway": "yes"}), ("AA", {"highway": "residential"})):
        with pytest.raises(CityBuildError, match=r"reached from each other|no street"):
            built(tmp_path, way)
    assert not (tmp_path / "out").exists()


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(self: RoadGraph, folder: Path) -> None:
        folder.mkdir()
        (folder / "half").write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(RoadGraph, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        built(tmp_path, ("ABC", {"highway": "residential"}))
    assert [file.name for file in tmp_path.iterdir()] == ["city.osm"]


def csv_files(folder: Path, nodes: Any = "node,lat,lng\na,0,0\nb,0,1\nc,0,2\n", edges: Any = None) -> Any:
    edges = edges or "source,target,length_m,travel_time_s\na,b,5,1\nb,a,5,2\nb,c,5,3\nb,b,1,1\n"
    (folder / "nodes.csv").write_text(nodes)
    (folder / "edges.csv").write_text(edges)
    return CsvSource(folder / "nodes.csv", folder / "edges.csv")


def test_a_graph_is_read_from_csv_files(tmp_path: Path) -> None:
    report = build_city(csv_files(tmp_path), tmp_path / "out", lambda stage, done: None)
    graph = RoadGraph.load(tmp_path / "out")
    assert graph.travel_time_s.tolist() == [1.0, 2.0]
    assert graph.lng_deg.tolist() == [0.0, 1.0]
    assert report.dropped == {"edges from a node to itself": 1, "edges that one cannot both reach and leave": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"nodes": "id,lat,lng\n1,0,0\n"}, "lacks the column node"),
        ({"nodes": "node,lat,lng\n"}, "no line below"),
        ({"nodes": "node,lat,lng\na,0,0\nb,north,0\n"}, "line 3, column lat: 'north'"),
        ({"nodes": "node,lat,lng\na,0,0\na,0,0\n"}, "twice"),
        ({"nodes": "node,lat,lng\na,0,0\n"}, "leads to node b"),
        ({"nodes": "node,lat,lng\na,0,0\nb,99,0\nc,0,0\n"}, "not a place"),
        ({"edges": "source,target,length_m,travel_time_s\na,b,5,1\n"}, "reached from each other"),
        ({"edges": "source,target,length_m,travel_time_s\na,b,5,1\nb,a,5\n"}, "line 3, column travel_time_s"),
    ],
)
def test_broken_csv_files_are_clear_errors(tmp_path: Path, files: Any, message: str) -> None:
    with pytest.raises(CityBuildError, match=message):
        build_city(csv_files(tmp_path, **files), tmp_path / "out", lambda stage, done: None)
    with pytest.raises(CityBuildError, match="cannot be read"):
        build_city(CsvSource(tmp_path / "no.csv", tmp_path / "no.csv"), tmp_path / "out", lambda stage, done: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(5))
def test_strong_parts_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, 200, (2, 50 + 70 * seed)).astype(np.int32)
    rows = Adjacency.of(200, source, target)
    mine = strong_parts(rows.offset, rows.neighbour)
    matrix = csr_matrix((np.ones(source.size), (source, target)), shape=(200, 200))
    count, theirs = connected_components(matrix, connection="strong")
    assert mine.max() + 1 == count
    assert np.unique(mine * 1000 + theirs).size == count


@pytest.mark.parametrize(
    ("name", "country"), [("liechtenstein.osm.pbf", "LI"), ("manhattan_midtown_2025-01-25.osm.pbf", "US")]
)
def test_real_extracts_build_into_one_strongly_connected_city(
    shared: Any, tmp_path: Path, name: str, country: Any
) -> None:
    report = build_city(OsmSource(shared(f"osm/{name}"), country), tmp_path / "out", lambda stage, done: None)
    graph = RoadGraph.load(tmp_path / "out")
    assert report.node_count == graph.node_count > 1_000
    matrix = csr_matrix((np.ones(graph.edge_count), (graph.source, graph.target)), shape=(graph.node_count,) * 2)
    assert connected_components(matrix, connection="strong")[0] == 1
    speed_kmh = graph.length_m.sum() / graph.travel_time_s.sum() * 3.6
    assert 15 < speed_kmh < 60
    ends_m = great_circle_m(
        graph.lat_deg[graph.source],
        graph.lng_deg[graph.source],
        graph.lat_deg[graph.target],
        graph.lng_deg[graph.target],
    )
    assert (graph.length_m >= ends_m * (1 - 1e-9) - 1e-6).all()


def test_marks_line_ends_blank_lines_and_trailing_commas_do_not_matter(tmp_path: Path) -> None:
    nodes = "\ufeffnode,lat,lng\r\n\r\na,0,0\r\nb,0,1\r\n"
    edges = "\ufeffsource,target,length_m,travel_time_s,\na,b,5,1,\n\nb,a,5,2,\n,,,,\n"
    build_city(csv_files(tmp_path, nodes, edges), tmp_path / "out", lambda stage, done: None)
    assert RoadGraph.load(tmp_path / "out").travel_time_s.tolist() == [1.0, 2.0]
