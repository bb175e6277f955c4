from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph, Shapes
from geo.roads.snap import EdgeIndex


def walk_every_edge(graph: Any, lat: Any, lng: Any, step: Any = 400) -> Any:
    """The distance to each edge by walking along it in small steps: another formulation of the nearest edge."""
    least = []
    for edge in range(graph.edge_count):
        points = graph.edge_points(edge)
        inner = np.linspace(0, len(points) - 1, step)
        at = np.column_stack([np.interp(inner, np.arange(len(points)), points[:, axis]) for axis in (0, 1)])
        least.append(great_circle_m(lat, lng, at[:, 0], at[:, 1]).min())
    return np.array(least)


@pytest.fixture(scope="module")
def bent_streets() -> Any:
    """A long avenue with a bend, both ways; a side street; a loop of bends back to its own start."""
    shapes = Shapes.from_arrays([0, 1, 2, 2, 5], [0.01, 0.01, 0.02, 0.02, 0.021], [0.012, 0.012, 0.0, 0.001, 0.001])
    return RoadGraph.from_arrays(
        [0.0, 0.0, 0.019], [0.0, 0.03, 0.0], [0, 1, 0, 2], [1, 0, 2, 2], np.ones(4), np.ones(4), shapes
    )


def test_the_nearest_edge_is_the_nearest_of_all(bent_streets: Any, one_way_city: Any) -> None:
    rng = np.random.default_rng(2)
    for graph, box in ((bent_streets, (-0.01, 0.03, -0.01, 0.04)), (one_way_city, (46.995, 47.035, 7.995, 8.045))):
        index = EdgeIndex.of(graph)
        count = 10 if graph is one_way_city else 200
        lat, lng = rng.uniform(box[0], box[1], count), rng.uniform(box[2], box[3], count)
        found = index.nearest(lat, lng, count=3)
        for at in range(count):
            every_m = walk_every_edge(graph, lat[at], lng[at], step=60 if graph is one_way_city else 4000)
            best = np.sort(every_m)[:3]
            assert np.allclose(found.distance_m[at], best, atol=2.0)
            assert np.allclose(every_m[found.edge[at]], found.distance_m[at], atol=2.0)


def test_the_share_is_the_position_along_the_edge(bent_streets: Any) -> None:
    index = EdgeIndex.of(bent_streets)
    found = index.nearest([0.0, 0.0, 0.01], [0.0, 0.03, 0.012], count=2)
    assert found.edge.tolist()[1:] == [[0, 1], [0, 1]]
    assert found.share[1].tolist() == pytest.approx([1.0, 0.0])
    assert found.share[2, 0] == pytest.approx(1 - found.share[2, 1])
    assert 0.4 < found.share[2, 0] < 0.5


def test_points_beyond_the_limit_find_no_edge(bent_streets: Any) -> None:
    index = EdgeIndex.of(bent_streets)
    found = index.nearest([-0.001, -0.01], [0.0, 0.0], limit_m=150.0)
    assert found.edge.tolist() == [[0], [-1]]
    assert found.distance_m[0, 0] == pytest.approx(111.2, abs=0.1)
    assert np.isinf(found.distance_m[1, 0])


def test_invalid_input_is_refused(bent_streets: Any) -> None:
    with pytest.raises(ValueError, match="limit_m"):
        EdgeIndex.of(bent_streets).nearest(0.0, 0.0, limit_m=-1.0)
    with pytest.raises(ValueError, match="nothing to snap to"):
        EdgeIndex.of(RoadGraph.from_arrays([0.0], [0.0], np.empty(0, int), np.empty(0, int), [], []))
    with pytest.raises(ValueError, match="offsets must rise"):
        Shapes.from_arrays([0, 1, 0], [0.0], [0.0])
    with pytest.raises(ValueError, match="1 shapes for 4 edges"):
        RoadGraph.from_arrays([0.0], [0.0], [0, 0, 0, 0], [0, 0, 0, 0], np.ones(4), np.ones(4), Shapes.straight(1))
