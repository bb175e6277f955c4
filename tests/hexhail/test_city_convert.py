"""The conversion of the HIVE wheel, on a small made-up wheel with known results."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo.city import load_city
from geo.roads.rules import LIMIT_KMH_MAX
from hexhail.cities import convert as city_convert
from hexhail.cities.convert import SourceError, convert_hive, largest_strong_component, spread_within_minutes
from simulator.demand.requests import REQUESTS_FILE, load_requests

SHIPPED = Path(city_convert.__file__).parent / "manhattan"

NODES = [{"id": 10 * number, "y": 40.75 + 0.002 * number, "x": -73.98} for number in range(4)]
LINKS = [
    {"source": source, "target": target, "length": 222.386, "travel_time": travel_time_s}
    for source, target, travel_time_s in [
        (0, 10, 20.0), (0, 10, 18.5), (10, 0, 20.0), (10, 20, 3.0), (20, 10, 20.0), (20, 30, 20.0),
    ]
]  # fmt: skip
HEADER = "request_id,o_lat,o_lon,d_lat,d_lon,departure_time,passengers"
ROWS = [
    "0,40.75,-73.98,40.754,-73.98,2014-12-21 08:00:00,1",
    "1,40.752,-73.98,40.754,-73.98,2014-12-21 08:00:00,2",
    "2,40.7501,-73.98,40.7499,-73.98,2014-12-21 08:00:00,1",
    "3,40.75,-73.98,40.9,-73.98,2014-12-21 08:00:00,1",
    "4,40.754,-73.98,40.75,-73.98,2014-12-21 07:59:20,1",
]


def make_wheel(path: Path, *, leave_out: str = "", rows: list[str] = ROWS) -> Path:
    members = {
        city_convert.HIVE_LICENCE: "BSD 3-Clause License",
        city_convert.HIVE_NETWORK: json.dumps({"nodes": NODES, "links": LINKS}),
        city_convert.HIVE_REQUESTS: "\n".join([HEADER, *rows]),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            if name != leave_out:
                archive.writestr(name, text)
    return path


def test_counts_what_it_keeps_and_what_it_leaves_out(tmp_path: Path) -> None:
    report = convert_hive(make_wheel(tmp_path / "hive.whl"), tmp_path / "city", lambda _: None)
    assert (report.links, report.parallel_links, report.nodes_off_component) == (6, 1, 1)
    assert (report.nodes, report.edges, report.bounded_speeds) == (3, 4, 1)
    assert (report.rows, report.requests, report.spread_requests) == (5, 2 + 1, 2)
    assert report.unusable_rows == {"off_road": 1, "same_node": 1}


def test_keeps_the_quickest_of_parallel_links(tmp_path: Path) -> None:
    convert_hive(make_wheel(tmp_path / "hive.whl"), tmp_path / "city", lambda _: None)
    graph = load_city(tmp_path / "city").graph
    assert graph.travel_time_s[(graph.source == 0) & (graph.target == 1)].tolist() == [18.5]


def test_requests_are_sorted_and_spread_over_their_minute_in_utc(tmp_path: Path) -> None:
    convert_hive(make_wheel(tmp_path / "hive.whl"), tmp_path / "city", lambda _: None)
    requests = load_requests(tmp_path / "city")
    eight_s = 1_419_166_800.0  # 2014-12-21 08:00 in New York, 13:00 UTC
    assert requests.t_s.tolist() == [eight_s - 40.0, eight_s + 15.0, eight_s + 45.0]
    assert requests.party_size.tolist() == [1, 1, 2]
    np.testing.assert_allclose(requests.pickup_deg[:, 0], [40.754, 40.75, 40.752])


def test_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "hive.whl")
    for name in ("one", "two"):
        convert_hive(wheel, tmp_path / name, lambda _: None)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["LICENSE-nrel.hive", "README.md", "city.toml", "requests.npz", "roads.npz"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_missing_wheel_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*gone.whl; fetch it with `pip download"):
        convert_hive(tmp_path / "gone.whl", tmp_path / "city", lambda _: None)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hive.whl").write_bytes(b"not a zip")
    with pytest.raises(SourceError, match="cannot be read"):
        convert_hive(tmp_path / "hive.whl", tmp_path / "city", lambda _: None)


@pytest.mark.parametrize("member", [city_convert.HIVE_LICENCE, city_convert.HIVE_NETWORK, city_convert.HIVE_REQUESTS])
def test_another_version_of_the_wheel_is_refused_by_what_it_lacks(tmp_path: Path, member: Any) -> None:
    with pytest.raises(SourceError, match=r"is not nrel.hive 1.3.1"):
        convert_hive(make_wheel(tmp_path / "hive.whl", leave_out=member), tmp_path / "city", lambda _: None)


def test_rows_that_are_no_requests_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "hive.whl", rows=["0,north,-73.98,40.754,-73.98,2014-12-21 08:00:00,1"])
    with pytest.raises(SourceError, match="does not hold the data expected"):
        convert_hive(wheel, tmp_path / "city", lambda _: None)
    assert not (tmp_path / "city").exists()


def test_the_command_line_gives_one_line_of_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["city_convert", str(tmp_path / "gone.whl"), str(tmp_path / "city")])
    assert city_convert.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_largest_component_is_found_beside_smaller_ones_and_dead_ends() -> None:
    edges = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 2), (4, 5)]
    assert largest_strong_component(6, edges) == [2, 3, 4]
    assert largest_strong_component(2, []) == [0]


def test_times_with_seconds_of_their_own_stay() -> None:
    spread_s, was_spread = spread_within_minutes([60.0, 61.5, 60.0, 120.0])
    assert spread_s.tolist() == [75.0, 61.5, 105.0, 150.0]
    assert was_spread.tolist() == [True, False, True, True]


def test_the_shipped_city_is_whole_and_small() -> None:
    city, requests = load_city(SHIPPED), load_requests(SHIPPED)
    assert (city.graph.node_count, city.graph.edge_count, len(requests)) == (4_197, 7_529, 17_966)
    _, distance_m = city.graph.snap(requests.pickup_deg[:, 0], requests.pickup_deg[:, 1])
    assert (city.graph.length_m / city.graph.travel_time_s).max() <= LIMIT_KMH_MAX / 3.6 * 1.001  # lengths are rounded
    assert distance_m.max() <= city.region.off_road_m_max
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 700_000


def test_a_city_without_requests_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nobody who asks"):
        load_requests(tmp_path)


def test_a_broken_requests_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / REQUESTS_FILE).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="convert the city again"):
        load_requests(tmp_path)
