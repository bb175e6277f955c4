from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from h3.api import basic_int as h3

from geo import cells
from geo.distances import chord_to_m, great_circle_m, unit_vectors
from geo.jit import IS_COMPILED
from geo.kernels.ring_search import chord_beyond_ring
from geo.nearest import PointsByCell, face_centres

QUERIES_EACH = 3_200 if IS_COMPILED else 24


def brute_force(points: Any, queries: Any, k: Any) -> Any:
    """Every distance, sorted by (distance, position): another formulation, nothing shared but the unit vectors."""
    at, to = unit_vectors(*points), unit_vectors(*queries)
    squared = sum((at[None, :, axis] - to[:, None, axis]) ** 2 for axis in range(3))
    index = np.argsort(squared, axis=1, kind="stable")[:, :k]
    chord = np.sqrt(np.take_along_axis(squared, index, axis=1))
    gaps = ((0, 0), (0, k - index.shape[1]))
    return np.pad(index, gaps, constant_values=-1), chord_to_m(np.pad(chord, gaps, constant_values=np.inf))


def ring_round(cell: Any, k: Any) -> Any:
    """The cells at exactly k steps: a difference of disks, so right at pentagons too."""
    return sorted({*h3.grid_disk(cell, k)} - {*h3.grid_disk(cell, k - 1)})


def on_the_globe(rng: np.random.Generator, count: int) -> Any:
    return np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(-180, 180, count)


def round_a_place(rng: np.random.Generator, count: int, lat: Any, lng: Any, spread_deg: Any) -> Any:
    to_lat = np.clip(lat + rng.normal(0, spread_deg, count), -90, 90)
    stretch = np.maximum(np.cos(np.radians(to_lat)), 0.02)
    return to_lat, lng + rng.normal(0, spread_deg, count) / stretch


def all_over_the_globe(rng: np.random.Generator) -> Any:
    return on_the_globe(rng, 400), on_the_globe(rng, QUERIES_EACH), 1


def in_a_city(rng: np.random.Generator) -> Any:
    return round_a_place(rng, 900, 37.7, -122.4, 0.1), round_a_place(rng, QUERIES_EACH, 37.7, -122.4, 0.12), 8


def in_a_few_clusters(rng: np.random.Generator) -> Any:
    parts = [round_a_place(rng, 80, 40 + step, -74 + 2 * step, 0.004) for step in range(5)]
    points = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return points, round_a_place(rng, QUERIES_EACH, 41, -72, 2.0), 6


def in_one_cell(rng: np.random.Generator) -> Any:
    return round_a_place(rng, 200, 48.2, 16.4, 1e-5), round_a_place(rng, QUERIES_EACH, 48.2, 16.4, 0.01), 9


def at_the_pentagons(rng: np.random.Generator) -> Any:
    centre = np.column_stack(cells.cell_to_latlng(cells.pentagons(7)))
    points = [round_a_place(rng, 60, lat, lng, 0.05) for lat, lng in centre]
    queries = [round_a_place(rng, QUERIES_EACH // 12 + 1, lat, lng, 0.03) for lat, lng in centre]
    return *(tuple(np.concatenate(column) for column in zip(*parts, strict=True)) for parts in (points, queries)), 7


def across_the_antimeridian(rng: np.random.Generator) -> Any:
    return round_a_place(rng, 500, -17.0, 180.0, 0.1), round_a_place(rng, QUERIES_EACH, -17.0, -180.0, 0.1), 7


def at_the_poles(rng: np.random.Generator) -> Any:
    lng = rng.uniform(-180, 180, (2, QUERIES_EACH))
    lat = np.sign(rng.uniform(-1, 1, (2, QUERIES_EACH))) * (90 - rng.exponential(0.2, (2, QUERIES_EACH)))
    return (lat[0, :500], lng[0, :500]), (lat[1], lng[1]), 6


def on_a_grid_with_many_ties(rng: np.random.Generator) -> Any:
    lat, lng = rng.integers(-20, 20, (2, 600)) / 1000
    return (lat, lng), tuple(rng.integers(-20, 20, (2, QUERIES_EACH)) / 1000), 8


PLACES = [
    all_over_the_globe, in_a_city, in_a_few_clusters, in_one_cell,
    at_the_pentagons, across_the_antimeridian, at_the_poles, on_a_grid_with_many_ties,
]  # fmt: skip


@pytest.mark.parametrize("places", PLACES, ids=lambda places: places.__name__)
def test_nearest_equals_an_exhaustive_search(places: Any) -> None:
    points, queries, resolution = places(np.random.default_rng(5))
    for part, k in enumerate((1, 3, 20, points[0].size + 7)):
        some = tuple(column[part :: 8 if k > 20 else 4] for column in queries)
        found = PointsByCell.of(*points, resolution).nearest(*some, k)
        expected_index, expected_m = brute_force(points, some, k)
        assert np.array_equal(found.index, expected_index)
        assert np.array_equal(found.distance_m, expected_m)
        assert found.is_certified.all()


@pytest.mark.parametrize("resolution", [0, 3, 12, 15])
def test_the_resolution_never_changes_the_answer(resolution: Any) -> None:
    points, queries, _ = in_a_city(np.random.default_rng(6))
    some = tuple(column[:100] for column in queries)
    found = PointsByCell.of(*points, resolution).nearest(*some, 5)
    assert np.array_equal(found.index, brute_force(points, some, 5)[0])


@pytest.mark.parametrize("resolution", [0, 1, 2, 5, 9])
def test_no_corner_beyond_a_ring_is_nearer_than_the_bound(resolution: Any) -> None:
    rng = np.random.default_rng(resolution)
    pentagon_cells = cells.pentagons(resolution)[:4]
    near_pentagons = np.unique(cells.disks(pentagon_cells, 2)[0])[1:]
    anywhere = cells.latlng_to_cells(*on_the_globe(rng, 25), resolution)
    for cell in {*near_pentagons.tolist(), *anywhere.tolist()}:
        corners = unit_vectors(*cells.cell_boundary(cell).T)
        weight = rng.dirichlet(np.full(len(corners), 0.3), 20)
        inside = np.vstack([corners, weight @ corners])
        inside /= np.linalg.norm(inside, axis=1, keepdims=True)
        cos_to_face = (inside @ face_centres().T).max(axis=1)
        for ring in range(1, 3 if resolution == 0 else 5):
            beyond = [h3.cell_to_boundary(other) for other in ring_round(cell, ring + 1)]
            if not beyond:
                continue
            outside = unit_vectors(*np.array([corner for outline in beyond for corner in outline]).T)
            least = np.linalg.norm(inside[:, None] - outside[None], axis=2).min(axis=1)
            bound = np.array([chord_beyond_ring(ring, resolution, cos) for cos in cos_to_face])
            assert (bound <= least).all()


def test_the_bound_is_not_so_low_as_to_be_useless() -> None:
    ring_m = float(chord_to_m(chord_beyond_ring(4, 9, 1.0)))
    cell = int(cells.latlng_to_cells(*cells.cell_to_latlng(cells.pentagons(0)), 9)[0])
    lat, lng = cells.cell_to_latlng(ring_round(cell, 5))
    assert ring_m > 0.5 * great_circle_m(*cells.cell_to_latlng(cell), lat, lng).min()


def test_the_faces_are_those_of_an_icosahedron() -> None:
    faces = face_centres()
    assert faces.shape == (20, 3)
    angle = np.degrees(np.arccos(np.clip((faces @ faces.T), -1, 1)))
    assert np.allclose(np.sort(angle, axis=1)[:, 1:4], 41.8103149)


def test_a_search_that_ends_at_rings_max_is_not_certified() -> None:
    points, queries, _ = in_a_city(np.random.default_rng(7))
    by_cell = PointsByCell.of(*points, 9)
    short = by_cell.nearest(*queries, 20, rings_max=2)
    assert not short.is_certified.all()
    whole = by_cell.nearest(*queries, 20)
    assert whole.is_certified.all()
    same = (short.index == whole.index).all(axis=1)
    assert same[short.is_certified].all()
    assert not same.all()


def test_no_points_give_empty_rows() -> None:
    found = PointsByCell.of([], [], 9).nearest([0.0, 90.0], [0.0, 0.0], 3)
    assert (found.index == -1).all()
    assert np.isinf(found.distance_m).all()
    assert PointsByCell.of([1.0], [1.0], 9).nearest([], [], 3).index.shape == (0, 3)


def test_invalid_input_is_refused() -> None:
    with pytest.raises(ValueError, match="k must"):
        PointsByCell.of([0.0], [0.0], 9).nearest(0.0, 0.0, 0)
    with pytest.raises(ValueError, match="not a place"):
        PointsByCell.of([0.0], [0.0], 9).nearest(99.0, 0.0, 1)
    with pytest.raises(ValueError, match="rings_max"):
        PointsByCell.of([0.0], [0.0], 9).nearest(0.0, 0.0, 1, rings_max=51)
