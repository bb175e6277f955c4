"""Properties that hold for any input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.cells import latlng_to_cells, parents, resolution_of
from geo.distances import great_circle_m
from geo.nearest import PointsByCell
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import UnreachableError, between, nearest_by_road, path

# A coarse grid of places, so that many coincide, lie on poles or on the antimeridian.
places = st.lists(
    st.tuples(
        st.sampled_from([-90.0, -45.0, 0.0, 1e-7, 89.99, 90.0]), st.sampled_from([-180.0, -1e-7, 0.0, 179.9999, 180.0])
    ),
    max_size=12,
)
edges = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from([0.0, 1.0, 1.0, 2.5, np.inf])), max_size=25
)


def graph_of(rows: Any) -> Any:
    source, target, time_s = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.empty(0),) * 3
    at = np.arange(8.0)
    return RoadGraph.from_arrays(at, at, source.astype(int), target.astype(int), np.ones(len(rows)), time_s)


@settings(deadline=None, max_examples=60)
@given(places, places, st.integers(1, 14), st.integers(0, 15))
def test_distances_are_sorted_and_no_point_left_out_is_nearer(
    points: Any, queries: Any, k: Any, resolution: Any
) -> None:
    lat, lng = (np.array(column) for column in zip(*points, strict=True)) if points else (np.empty(0), np.empty(0))
    at, on = (np.array(column) for column in zip(*queries, strict=True)) if queries else (np.empty(0), np.empty(0))
    nearest = PointsByCell.of(lat, lng, resolution).nearest(at, on, k)
    index, distance_m = nearest.index, nearest.distance_m
    for row in range(len(queries)):
        found = index[row][index[row] >= 0]
        assert len(set(found)) == found.size == min(k, len(points))
        assert (np.diff(distance_m[row][: found.size]) >= 0).all()
        left_out = np.setdiff1d(np.arange(len(points)), found)
        if left_out.size:
            others_m = great_circle_m(
                np.full(left_out.size, at[row]), np.full(left_out.size, on[row]), lat[left_out], lng[left_out]
            )
            assert others_m.min() >= distance_m[row, found.size - 1] - 0.1


@settings(deadline=None, max_examples=100)
@given(edges)
def test_times_obey_the_triangle_and_paths_take_what_they_promise(rows: Any) -> None:
    graph = graph_of(rows)
    every_s = between(graph, np.repeat(np.arange(8), 8), np.tile(np.arange(8), 8)).reshape(8, 8)
    assert (np.diag(every_s) == 0.0).all()
    for middle in range(8):
        assert (every_s <= every_s[:, [middle]] + every_s[[middle]] + 1e-9).all()
    for destination in range(8):
        if np.isinf(every_s[0, destination]):
            with pytest.raises(UnreachableError):
                path(graph, 0, destination)
        else:
            way = path(graph, 0, destination)
            assert way.arrival_s[-1] == pytest.approx(every_s[0, destination])


@settings(deadline=None, max_examples=100)
@given(edges, st.lists(st.integers(0, 7), max_size=9), st.integers(1, 5))
def test_more_drivers_never_make_a_pickup_later(rows: Any, drivers: Any, k: Any) -> None:
    graph, pickups = graph_of(rows), np.arange(8)
    few = nearest_by_road(graph, np.array(drivers, int), pickups, k, np.inf)[1]
    more = nearest_by_road(graph, np.array([*drivers, 3, 0], int), pickups, k, np.inf)[1]
    assert (more <= few).all()
    assert np.array_equal(nearest_by_road(graph, np.array(drivers[::-1], int), pickups, k, np.inf)[1], few)


@settings(deadline=None, max_examples=60)
@given(places.filter(bool), st.integers(0, 15), st.integers(0, 15))
def test_parents_have_the_resolution_asked_for(points: Any, fine: Any, coarse: Any) -> None:
    lat, lng = zip(*points, strict=True)
    cells = latlng_to_cells(lat, lng, max(fine, coarse))
    assert {resolution_of(int(cell)) for cell in parents(cells, min(fine, coarse))} == {min(fine, coarse)}
