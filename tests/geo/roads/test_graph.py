from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo.distances import great_circle_m
from geo.roads.graph import GRAPH_FILE, RoadGraph


def test_a_saved_graph_loads_identically(one_way_city: Any, tmp_path: Path) -> None:
    one_way_city.save(tmp_path / "city")
    again = RoadGraph.load(tmp_path / "city")
    for name in ("lat_deg", "lng_deg", "source", "target", "length_m", "travel_time_s", "leaving_s", "arriving_s"):
        assert np.array_equal(getattr(one_way_city, name), getattr(again, name)), name
        assert getattr(one_way_city, name).dtype == getattr(again, name).dtype
    assert [path.name for path in (tmp_path / "city").iterdir()] == [GRAPH_FILE]


def test_loading_says_what_to_do_when_there_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="city build"):
        RoadGraph.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip at all", b"PK\x03\x04half"])
def test_loading_refuses_a_broken_file(tmp_path: Path, content: Any) -> None:
    (tmp_path / GRAPH_FILE).write_bytes(content)
    with pytest.raises(ValueError, match="not a road graph"):
        RoadGraph.load(tmp_path)


def test_snapping_finds_the_nearest_node_of_all(one_way_city: Any) -> None:
    rng = np.random.default_rng(0)
    lat, lng = rng.uniform(46.98, 47.05, 500), rng.uniform(7.98, 8.06, 500)
    node, distance_m = one_way_city.snap(lat, lng)
    for at in range(500):
        every_m = great_circle_m(lat[at], lng[at], one_way_city.lat_deg, one_way_city.lng_deg)
        assert distance_m[at] == pytest.approx(every_m.min(), abs=1e-4)
        assert every_m[node[at]] == pytest.approx(every_m.min(), abs=1e-4)


def test_snapping_crosses_the_antimeridian_and_prefers_the_smaller_of_equal_nodes() -> None:
    graph = RoadGraph.from_arrays([0.0, 0.0, 0.0], [179.999, -179.999, -179.999], [0], [1], [1.0], [1.0])
    node, distance_m = graph.snap(0.0, 180.0 - 1e-9 + 0.0005)
    assert node[0] == 1
    assert distance_m[0] < 60.0


def test_many_nodes_in_one_place_can_be_indexed() -> None:
    places = np.full(1_000, 5.0)
    graph = RoadGraph.from_arrays(places, places, [0], [1], [1.0], [1.0])
    assert graph.snap(5.0, 5.0)[0][0] == 0


def test_other_travel_times_leave_the_roads_unchanged(one_way_city: Any) -> None:
    slower = one_way_city.with_travel_times(one_way_city.travel_time_s * 2)
    assert slower.leaving is one_way_city.leaving
    assert np.array_equal(slower.arriving_s, one_way_city.arriving_s * 2)
    assert not np.array_equal(slower.leaving_s, one_way_city.leaving_s)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lat_deg": [], "lng_deg": []}, "at least one node"),
        ({"lat_deg": [95.0, 0.0]}, "not a place at position 0"),
        ({"lng_deg": [0.0]}, "one length"),
        ({"source": [2]}, r"source\[0\] is 2, outside 0 to 1"),
        ({"target": [-1]}, r"target\[0\] is -1"),
        ({"source": [0.0]}, "integers"),
        ({"target": [1, 0]}, "target has 2"),
        ({"length_m": [np.inf]}, "finite"),
        ({"length_m": [-1.0]}, r"length_m\[0\]"),
        ({"travel_time_s": [np.nan]}, r"travel_time_s\[0\]"),
        ({"travel_time_s": [1.0, 2.0]}, "2 values for 1 edges"),
    ],
)
def test_invalid_parameters_are_refused_on_construction(change: Any, message: str) -> None:
    good = {
        "lat_deg": [0.0, 0.0],
        "lng_deg": [0.0, 1.0],
        "source": [0],
        "target": [1],
        "length_m": [5.0],
        "travel_time_s": [1.0],
    }
    with pytest.raises(ValueError, match=message):
        RoadGraph.from_arrays(**(good | change))
