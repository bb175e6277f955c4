"""What OpenStreetMap's tags close and open to taxis, and odd files: whole builds of a block of streets.

The block is 300 m wide and 1 km high. From its south-west to its south-east corner it is 300 m along the south side, or
2,302 m round the block where the south side cannot be driven eastwards; a point M lies in the middle of that side.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from geo.city_build import REPORT_FILE, CsvSource, OsmSource, build_city
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import path

ALONG_M, ROUND_M = 300.2, 2301.7
CORNERS = {1: (60.0, 25.0), 2: (60.0, 25.0054), 5: (60.0, 25.0027), 3: (60.009, 25.0054), 4: (60.009, 25.0)}
STREET = {"highway": "residential"}
OTHERS = (((2, 3), STREET), ((3, 4), STREET), ((4, 1), STREET))


def tagged(tags: dict[str, str]) -> str:
    return "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())


def node(number: int, tags: dict[str, str] | None = None, more: str = "") -> str:
    lat_deg, lng_deg = CORNERS[abs(number)]
    return f'<node id="{number}" {more} lat="{lat_deg}" lon="{lng_deg}">{tagged(tags or {})}</node>'


def way(number: int, points: Any, tags: dict[str, str], more: str = "") -> str:
    refs = "".join(f'<nd ref="{point}"/>' for point in points)
    return f'<way id="{number}" {more}>{refs}{tagged(tags)}</way>'


def block(south: dict[str, str], middle: dict[str, str] | None = None, points: Any = (2, 5, 1)) -> list[str]:
    """The block with tags of its south side, which is mapped westwards, and of the point in its middle."""
    nodes = [node(number, middle if number == 5 else None) for number in CORNERS]
    sides = ((points, south), *OTHERS)
    return [*nodes, *(way(10 + number, *side) for number, side in enumerate(sides))]


def built(folder: Path, lines: list[str], **options: Any) -> Any:
    file = folder / "town.osm"
    file.write_text("\n".join(['<osm version="0.6">', *lines, "</osm>"]))
    report = build_city(OsmSource(file, **options), folder / "out", lambda stage, done: None)
    return RoadGraph.load(folder / "out"), report


def eastwards_m(graph: RoadGraph) -> float:
    ends = [int(graph.snap(*CORNERS[number])[0][0]) for number in (1, 2)]
    return float(path(graph, *ends).length_m[-1])


@pytest.mark.parametrize(
    "tags",
    [
        {"barrier": "bollard"},
        {"barrier": "bollard", "bollard": "removable", "bicycle": "yes"},
        {"barrier": "gate", "access": "private"},
        {"barrier": "gate", "locked": "yes"},
        {"barrier": "lift_gate", "motor_vehicle": "no"},
        {"barrier": "block"},
        {"barrier": "jersey_barrier"},
        {"barrier": "chain"},
        {"barrier": "bus_trap"},
        {"barrier": "bollard", "bus": "yes"},
        {"access": "no"},
        {"highway": "crossing", "vehicle": "no"},
    ],
)
def test_a_barrier_closes_a_street_to_what_drives_through_it(tmp_path: Path, tags: Any) -> None:
    graph, report = built(tmp_path, block(STREET, tags))
    assert eastwards_m(graph) == pytest.approx(ROUND_M, abs=0.1)
    assert report.closed_points == {tags.get("barrier", "access"): 1}
    # One may drive up to it from both sides.
    assert float(graph.length_m.sum()) == pytest.approx(2 * (ROUND_M + ALONG_M), abs=0.5)


@pytest.mark.parametrize(
    "tags",
    [
        {"barrier": "toll_booth"},
        {"barrier": "cattle_grid"},
        {"barrier": "gate"},
        {"barrier": "lift_gate"},
        {"barrier": "border_control"},
        {"barrier": "bollard", "bollard": "rising", "taxi": "yes"},
        {"barrier": "bollard", "psv": "yes"},
        {"barrier": "bollard", "motor_vehicle": "bus;taxi"},
        {"barrier": "gate", "access": "private", "taxi": "yes"},
        {"barrier": "gate", "locked": "yes", "motor_vehicle": "yes"},
        {"highway": "crossing", "bicycle": "no"},
    ],
)
def test_a_barrier_that_lets_taxis_pass_does_not_close_a_street(tmp_path: Path, tags: Any) -> None:
    graph, report = built(tmp_path, block(STREET, tags))
    assert eastwards_m(graph) == pytest.approx(ALONG_M, abs=0.1)
    assert report.closed_points == {}


def test_a_closed_crossing_is_closed_to_all_its_streets(tmp_path: Path) -> None:
    lines = [*block({**STREET, "oneway": "no"}, {"barrier": "bollard"}), way(20, (5, 4), STREET)]
    graph, _ = built(tmp_path, lines)
    assert eastwards_m(graph) == pytest.approx(ROUND_M, abs=0.1)


PSV_STREETS = [
    {"highway": "residential", "motor_vehicle": "no", "psv": "yes"},
    {"highway": "service", "access": "no", "psv": "designated"},
    {"highway": "residential", "oneway": "yes", "oneway:psv": "no"},
    {"highway": "busway", "psv": "yes"},
    {"highway": "residential", "motor_vehicle": "psv"},
    {"highway": "residential", "oneway": "yes", "psv:backward": "yes"},
]
TAXI_STREETS = [
    {"highway": "residential", "oneway": "yes", "oneway:taxi": "no"},
    {"highway": "residential", "motor_vehicle": "bus;taxi"},
    {"highway": "residential", "access": "no", "taxi": "yes ; designated"},
    {"highway": "busway", "taxi": "yes"},
    {"highway": "pedestrian", "motor_vehicle": "no", "taxi": "yes"},
    {"highway": "residential", "motor_vehicle:forward": "no"},
    {"highway": "residential", "psv": "no", "taxi": "yes"},
    {"highway": "residential", "oneway": "yes", "taxi:backward": "yes"},
]
CLOSED_STREETS = [
    {"highway": "residential", "motor_vehicle": "no", "bus": "yes"},
    {"highway": "busway"},
    {"highway": "busway", "bus": "yes", "access": "no"},
    {"highway": "pedestrian"},
    {"highway": "pedestrian", "access": "yes"},
    {"highway": "residential", "motor_vehicle:backward": "no"},
    {"highway": "residential", "motor_vehicle:backward": "delivery;forestry"},
    {"highway": "residential", "oneway": "yes"},
    {"highway": "residential", "motor_vehicle": "agricultural;forestry"},
]


@pytest.mark.parametrize("tags", PSV_STREETS)
def test_taxis_drive_where_public_service_vehicles_may_where_they_count_as_such(tmp_path: Path, tags: Any) -> None:
    graph, report = built(tmp_path, block(tags))
    assert eastwards_m(graph) == pytest.approx(ALONG_M, abs=0.1)
    assert report.taxis_are_psv is True
    graph, report = built(tmp_path, block(tags), taxis_are_psv=False)
    assert eastwards_m(graph) == pytest.approx(ROUND_M, abs=0.1)
    assert json.loads((tmp_path / "out" / REPORT_FILE).read_text())["taxis_are_psv"] is False


@pytest.mark.parametrize("taxis_are_psv", [True, False])
@pytest.mark.parametrize("tags", TAXI_STREETS)
def test_taxis_drive_where_a_tag_lets_taxis(tmp_path: Path, tags: Any, taxis_are_psv: bool) -> None:
    graph, _ = built(tmp_path, block(tags), taxis_are_psv=taxis_are_psv)
    assert eastwards_m(graph) == pytest.approx(ALONG_M, abs=0.1)


@pytest.mark.parametrize("tags", CLOSED_STREETS)
def test_taxis_do_not_drive_where_only_buses_or_nobody_may(tmp_path: Path, tags: Any) -> None:
    graph, _ = built(tmp_path, block(tags))
    assert eastwards_m(graph) == pytest.approx(ROUND_M, abs=0.1)


def test_a_gap_in_a_clipped_extract_is_not_bridged(tmp_path: Path) -> None:
    """The middle of the south side lies outside: its ends are streets of their own, nothing leads over the gap."""
    lines = [line for line in block(STREET, points=(2, 6, 5, 7, 1)) if 'id="5"' not in line or "way" in line]
    of_side = {6: (60.0, 25.005), 7: (60.0, 25.0004)}
    lines += [f'<node id="{number}" lat="{lat}" lon="{lng}"/>' for number, (lat, lng) in of_side.items()]
    graph, report = built(tmp_path, lines)
    assert eastwards_m(graph) == pytest.approx(ROUND_M, abs=0.1)
    assert report.dropped == {"points outside the extract": 1}
    assert float(graph.length_m.sum()) == pytest.approx(2 * (ROUND_M - ALONG_M + ALONG_M + 2 * 22.2), abs=0.5)


def test_the_order_of_a_file_and_the_sign_of_its_ids_do_not_matter(tmp_path: Path) -> None:
    usual, _ = built(tmp_path, block(STREET))
    ways_first, _ = built(tmp_path, block(STREET)[::-1])
    assert eastwards_m(usual) == pytest.approx(ALONG_M, abs=0.1)
    assert eastwards_m(ways_first) == pytest.approx(ALONG_M, abs=0.1)
    new = [node(-number, {"barrier": "bollard"} if number == 5 else None) for number in CORNERS]
    sides = (((2, 5, 1), STREET), *OTHERS)
    new += [way(-10 - at, [-point for point in points], tags) for at, (points, tags) in enumerate(sides)]
    drawn, report = built(tmp_path, new)
    assert eastwards_m(drawn) == pytest.approx(ROUND_M, abs=0.1)
    assert report.closed_points == {"bollard": 1}


@pytest.mark.parametrize("mark", ['action="delete"', "action='delete'", 'visible="false"'])
def test_what_an_editor_has_deleted_is_gone(tmp_path: Path, mark: str) -> None:
    lines = block(STREET)
    lines[len(CORNERS)] = way(10, (2, 5, 1), STREET, mark)
    graph, _ = built(tmp_path, lines)
    assert eastwards_m(graph) == pytest.approx(ROUND_M, abs=0.1)
    packed = tmp_path / "town.osm.gz"
    packed.write_bytes(gzip.compress((tmp_path / "town.osm").read_bytes()))
    build_city(OsmSource(packed), tmp_path / "out", lambda stage, done: None)
    assert eastwards_m(RoadGraph.load(tmp_path / "out")) == pytest.approx(ROUND_M, abs=0.1)


def test_a_town_in_two_parts_says_what_share_of_its_roads_it_lost(tmp_path: Path) -> None:
    """The two long sides of the block hang together no more; a third of the streets is a part of its own."""
    lines = block({**STREET, "access": "no"})
    lines[-2] = way(12, (3, 4), {**STREET, "motor_vehicle": "no"})
    lines += ['<node id="8" lat="60.018" lon="25.0"/>', way(30, (4, 8), STREET)]
    _, report = built(tmp_path, lines)
    assert report.lost_share == pytest.approx(1 / 3, abs=0.001)
    assert report.next_part_m == pytest.approx(2 * 1000.8, abs=1.0)
    assert report.next_part_deg is not None
    assert report.next_part_deg[1] == 25.0054


def test_speeds_that_no_road_has_are_replaced_and_counted(tmp_path: Path) -> None:
    graph, report = built(tmp_path, block({**STREET, "maxspeed": "600"}))
    assert report.bounded_speeds == 1
    assert (graph.length_m / graph.travel_time_s * 3.6).max() <= 40.0
    (tmp_path / "nodes.csv").write_text("node,lat,lng\na,0,0\nb,0,0.001\nc,0,0.002\n")
    edges = "a,b,100,1\nb,a,100,9\nb,c,100,0\nc,b,0,0\n"  # 360 km/h, 40 km/h, at once, and no way at all
    (tmp_path / "edges.csv").write_text("source,target,length_m,travel_time_s\n" + edges)
    source = CsvSource(tmp_path / "nodes.csv", tmp_path / "edges.csv")
    report = build_city(source, tmp_path / "csv", lambda stage, done: None)
    assert report.bounded_speeds == 2
    assert RoadGraph.load(tmp_path / "csv").travel_time_s.tolist() == [2.4, 9.0, 2.4, 0.0]
    assert json.loads((tmp_path / "csv" / REPORT_FILE).read_text())["bounded_speeds"] == 2
