from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo.learning.map_matching import Drives
from geo.learning.traffic import FACTOR_MAX, EdgeSpeeds, part_of_week
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import between
from kernel.local_time import HOURS_PER_WEEK


def drives_over(graph: Any, edges: Any, factor: Any) -> Any:
    """Every edge driven once from end to end, taking ``factor`` times its free flow."""
    free_s = graph.travel_time_s[edges]
    steps = np.arange(edges.size)
    return Drives(steps, np.zeros(edges.size), free_s * factor, steps, edges, free_s)


def test_nothing_learned_is_free_flow(one_way_city: Any) -> None:
    assert np.array_equal(EdgeSpeeds(one_way_city).travel_times(0), one_way_city.travel_time_s)


def test_slow_driving_is_learned_for_its_hour_and_shared_with_edges_nobody_drove(one_way_city: Any) -> None:
    speeds, edges = EdgeSpeeds(one_way_city), np.tile(np.arange(0, one_way_city.edge_count, 2), 20)
    speeds.learn(drives_over(one_way_city, edges, 3.0), np.full(edges.size, 8))
    speeds.learn(drives_over(one_way_city, edges, 1.0), np.full(edges.size, 3))
    slow, quick = (
        speeds.travel_times(8) / one_way_city.travel_time_s,
        speeds.travel_times(3) / one_way_city.travel_time_s,
    )
    assert np.median(slow[::2]) == pytest.approx(3.0, rel=0.1)
    assert np.median(slow[1::2]) > 2.0
    assert np.median(quick[::2]) == pytest.approx(1.0, rel=0.15)
    weekend = speeds.travel_times(130) / one_way_city.travel_time_s
    assert 1.0 < np.median(weekend) < 3.0


def test_a_slow_edge_stays_slow_among_quick_ones(one_way_city: Any) -> None:
    speeds = EdgeSpeeds(one_way_city)
    edges = np.tile(np.arange(one_way_city.edge_count), 40)
    factor = np.where(edges == 7, 4.0, 1.5)
    speeds.learn(drives_over(one_way_city, edges, factor), np.full(edges.size, 12))
    slowness = speeds.travel_times(12) / one_way_city.travel_time_s
    assert slowness[7] > 2.0
    assert np.median(np.delete(slowness, 7)) == pytest.approx(1.5, rel=0.05)


def test_new_traffic_replaces_what_is_forgotten(one_way_city: Any) -> None:
    edges = np.tile(np.arange(one_way_city.edge_count), 5)
    hour = np.full(edges.size, 17)
    forgetful, faithful = EdgeSpeeds(one_way_city), EdgeSpeeds(one_way_city)
    for speeds, kept_share in ((forgetful, 0.0), (faithful, 1.0)):
        speeds.learn(drives_over(one_way_city, edges, 3.0), hour)
        speeds.learn(drives_over(one_way_city, edges, 1.0), hour, kept_share=kept_share)
    late, early = (np.median(speeds.travel_times(17) / one_way_city.travel_time_s) for speeds in (forgetful, faithful))
    assert late == pytest.approx(1.0, rel=0.1)
    assert early > 1.3


def test_learned_times_swap_into_the_graph(one_way_city: Any) -> None:
    speeds, edges = EdgeSpeeds(one_way_city), np.arange(one_way_city.edge_count)
    speeds.learn(drives_over(one_way_city, np.tile(edges, 30), 2.0), np.full(edges.size * 30, 8))
    now = one_way_city.with_travel_times(speeds.travel_times(8))
    ratio = between(now, [0, 10], [899, 700]) / between(one_way_city, [0, 10], [899, 700])
    assert ratio == pytest.approx([2.0, 2.0], rel=0.1)


def test_one_wild_ping_does_not_stop_a_street(one_way_city: Any) -> None:
    speeds = EdgeSpeeds(one_way_city)
    speeds.learn(drives_over(one_way_city, np.array([3]), 1e6), [8])
    assert (speeds.travel_times(8) <= FACTOR_MAX * one_way_city.travel_time_s).all()


def test_parts_of_the_week() -> None:
    hours = np.array([0, 6, 9, 10, 15, 19, 23, 119, 120, 126, 167])
    assert part_of_week(hours).tolist() == [0, 1, 1, 2, 3, 4, 4, 4, 5, 6, 9]


def test_invalid_input_is_refused(one_way_city: Any) -> None:
    speeds = EdgeSpeeds(one_way_city)
    with pytest.raises(ValueError, match="outside 0 to 167"):
        speeds.travel_times(HOURS_PER_WEEK)
    with pytest.raises(ValueError, match="2 hours for 1 steps"):
        speeds.learn(drives_over(one_way_city, np.array([0]), 1.0), [1, 2])


def test_what_was_learned_comes_back_from_its_file_and_goes_on_learning(
    one_way_city: RoadGraph, tmp_path: Path
) -> None:
    speeds, edges = EdgeSpeeds(one_way_city), np.arange(0, one_way_city.edge_count, 3)
    speeds.learn(drives_over(one_way_city, edges, 2.5), np.full(edges.size, 8))
    speeds.save(tmp_path / "traffic.npz")
    back = EdgeSpeeds.load(tmp_path / "traffic.npz", one_way_city)
    assert back.edges_driven == edges.size
    for one in (speeds, back):
        one.learn(drives_over(one_way_city, edges, 1.5), np.full(edges.size, 8))
    for hour in (8, 9, 130):
        assert np.array_equal(back.factors(hour), speeds.factors(hour))
    assert [file.name for file in tmp_path.iterdir()] == ["traffic.npz"]


def test_files_that_hold_no_traffic_of_these_roads_are_refused(
    one_way_city: RoadGraph, city_with_two_islands: RoadGraph, tmp_path: Path
) -> None:
    path = tmp_path / "traffic.npz"
    with pytest.raises(FileNotFoundError, match="learn-traffic"):
        EdgeSpeeds.load(path, one_way_city)
    speeds = EdgeSpeeds(one_way_city)
    speeds.learn(drives_over(one_way_city, np.array([3, 4]), 2.0), [8, 8])
    speeds.save(path)
    with pytest.raises(ValueError, match="other roads"):
        EdgeSpeeds.load(path, city_with_two_islands)
    with np.load(path) as stored:
        content = dict(stored)
    for change, said in (
        ({"version": 99}, "format version 99"),
        ({"2_0_weight": np.array([1.0, np.nan])}, "holds no learned traffic"),
        ({"2_0_key": content["2_0_key"][::-1]}, "holds no learned traffic"),
    ):
        np.savez(path, **(content | change))
        with pytest.raises(ValueError, match=said):
            EdgeSpeeds.load(path, one_way_city)
    path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="holds no learned traffic"):
        EdgeSpeeds.load(path, one_way_city)
