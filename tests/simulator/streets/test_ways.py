"""Batched way searches against single path searches, and lazy drives against full ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.common.inputs import lattice
from geo.roads import travel_times
from geo.roads.graph import RoadGraph
from simulator.streets.motion import Drive
from simulator.streets.network import KnownStreets, Streets
from simulator.streets.ways import Ways


@pytest.fixture(scope="module")
def graph() -> Any:
    return lattice(12, seed=3)


def test_every_way_is_as_long_as_its_path(graph: Any) -> None:
    rng = np.random.default_rng(1)
    origin, destination = rng.integers(0, graph.node_count, (2, 200))
    duration_s, length_m = Ways(graph).learn(origin, destination)
    np.testing.assert_allclose(duration_s, travel_times.between(graph, origin, destination))
    for row in np.flatnonzero(np.isfinite(duration_s)):
        path = travel_times.path(graph, origin[row], destination[row])
        assert length_m[row] == pytest.approx(path.length_m[-1])


def test_where_there_is_no_way_it_is_infinite() -> None:
    islands = RoadGraph.from_arrays([0.0, 0.0, 1.0], [0.0, 0.1, 0.0], [0], [1], [100.0], [10.0])
    assert Ways(islands).between(1, 0) == (np.inf, np.inf)
    assert Ways(islands).between(0, 1) == (10.0, 100.0)


def test_nodes_that_do_not_exist_are_refused(graph: Any) -> None:
    with pytest.raises(ValueError, match="origin"):
        Ways(graph).learn([-1], [0])
    with pytest.raises(ValueError, match="2 origins but 1"):
        Ways(graph).learn([0, 1], [0])


def test_a_lazy_drive_is_everywhere_where_the_full_one_is(town: Any) -> None:
    full, lazy = Streets(town), KnownStreets(town, Ways(town))
    first = [streets.drive(streets.stand(0, 0.0), 24, 0.0, 1.5) for streets in (full, lazy)]
    turned = [streets.drive(way, 3, 33.0, 1.5) for streets, way in zip((full, lazy), first, strict=True)]
    for exact, found in (first, turned):
        assert isinstance(found, Drive)
        assert found.arrival_s == pytest.approx(exact.arrival_s)
        assert found.end_stop == exact.end_stop
        for now_s in np.linspace(33.0, exact.arrival_s + 5.0, 23):
            assert found.at(now_s) == pytest.approx(exact.at(now_s), nan_ok=True)
            assert found.next_corner(now_s) == pytest.approx(exact.next_corner(now_s))


def test_metres_grow_with_time_to_the_whole_length(town: Any) -> None:
    drive = KnownStreets(town, Ways(town)).drive(Streets(town).stand(0, 5.0), 4, 5.0, 1.0)
    assert [drive.driven_m(now_s) for now_s in (0.0, 5.0, 25.0, 45.0, 99.0)] == [0.0, 0.0, 200.0, 400.0, 400.0]
