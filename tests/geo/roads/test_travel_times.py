from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from geo.jit import IS_COMPILED
from geo.roads.travel_times import UnreachableError, between, nearest_by_road, path


def scipy_times(graph: Any, origins: Any) -> Any:
    matrix = csr_matrix((graph.travel_time_s, (graph.source, graph.target)), shape=(graph.node_count,) * 2)
    return dijkstra(matrix, indices=origins)


def test_between_agrees_with_scipy_on_every_pair(one_way_city: Any) -> None:
    nodes = np.arange(one_way_city.node_count)
    origin, destination = (part.ravel() for part in np.meshgrid(nodes[:60], nodes, indexing="ij"))
    expected = scipy_times(one_way_city, nodes[:60])
    assert np.allclose(between(one_way_city, origin, destination), expected.ravel())
    assert np.allclose(between(one_way_city, destination, origin), scipy_times(one_way_city, nodes)[:, :60].T.ravel())


def test_nearest_by_road_agrees_with_scipy_and_sorts_ties_by_index(one_way_city: Any) -> None:
    rng = np.random.default_rng(1)
    drivers, pickups = rng.integers(0, 900, 400), rng.integers(0, 900, 150)
    index, travel_time_s = nearest_by_road(one_way_city, drivers, pickups, 12, 60.0)
    every = scipy_times(one_way_city, np.arange(900))[drivers][:, pickups].T
    for row in range(150):
        allowed = np.flatnonzero(every[row] <= 60.0)
        best = allowed[np.lexsort((allowed, np.round(every[row][allowed], 9)))][:12]
        assert index[row, : best.size].tolist() == best.tolist()
        assert np.allclose(travel_time_s[row, : best.size], every[row][best])
        assert (index[row, best.size :] == -1).all()
        assert np.isinf(travel_time_s[row, best.size :]).all()


def test_drivers_who_set_out_later_are_found_by_when_they_arrive(one_way_city: Any) -> None:
    rng = np.random.default_rng(2)
    drivers, pickups = rng.integers(0, 900, 400), rng.integers(0, 900, 150)
    delay_s = np.where(rng.random(400) < 0.5, 0.0, rng.integers(0, 90, 400).astype(float))
    index, time_s = nearest_by_road(one_way_city, drivers, pickups, 12, 75.0, delay_s)
    every = scipy_times(one_way_city, np.arange(900))[drivers][:, pickups].T + delay_s
    for row in range(150):
        allowed = np.flatnonzero(every[row] <= 75.0)
        best = allowed[np.lexsort((allowed, np.round(every[row][allowed], 9)))][:12]
        assert index[row, : best.size].tolist() == best.tolist()
        assert np.allclose(time_s[row, : best.size], every[row][best])
        assert (index[row, best.size :] == -1).all()


@pytest.mark.parametrize("limit_s", [75.0, np.inf])
def test_searches_from_drivers_and_from_pickups_agree(one_way_city: Any, limit_s: Any) -> None:
    rng = np.random.default_rng(4)
    pickups, drivers = rng.integers(0, 900, 150), rng.integers(0, 900, 25)
    delay_s = rng.integers(0, 40, 25).astype(float)
    index, time_s = nearest_by_road(one_way_city, drivers, pickups, 5, limit_s, delay_s)
    for row, pickup in enumerate(pickups):  # one pickup at a time is always searched from its own side
        alone, alone_s = nearest_by_road(one_way_city, drivers, [pickup], 5, limit_s, delay_s)
        assert index[row].tolist() == alone[0].tolist()
        assert np.allclose(time_s[row], alone_s[0])


def test_a_search_with_a_limit_finds_what_lies_within_it_and_nothing_else(one_way_city: Any) -> None:
    rng = np.random.default_rng(3)
    origin, destination = rng.integers(0, 900, (2, 2_000 if IS_COMPILED else 200))
    every_s = between(one_way_city, origin, destination)
    for limit_s in (0.0, 45.0, np.inf):
        within = np.where(every_s <= limit_s, every_s, np.inf)
        assert np.array_equal(between(one_way_city, origin, destination, limit_s), within)


@pytest.mark.parametrize("delay_s", [[1.0], [1.0, -1.0], [0.0, np.nan]])
def test_invalid_delays_are_refused(city_with_two_islands: Any, delay_s: Any) -> None:
    with pytest.raises(ValueError, match="delay_s"):
        nearest_by_road(city_with_two_islands, [0, 1], [0], 1, 9.0, delay_s)


def test_rows_are_filled_up_where_there_are_fewer_drivers_than_k(city_with_two_islands: Any) -> None:
    index, travel_time_s = nearest_by_road(city_with_two_islands, [1, 0, 2, 1], [0, 3], 5, np.inf)
    assert index.tolist() == [[1, 0, 3, -1, -1], [2, -1, -1, -1, -1]]
    assert travel_time_s[0, :3].tolist() == [0.0, 20.0, 20.0]
    assert nearest_by_road(city_with_two_islands, np.empty(0, int), [0], 2, 9.0)[0].tolist() == [[-1, -1]]


def test_a_driver_exactly_at_the_limit_is_near_enough(city_with_two_islands: Any) -> None:
    assert nearest_by_road(city_with_two_islands, [1], [0], 1, 20.0)[0].tolist() == [[0]]
    assert nearest_by_road(city_with_two_islands, [1], [0], 1, 19.9)[0].tolist() == [[-1]]


def test_there_is_no_way_between_islands(city_with_two_islands: Any) -> None:
    assert between(city_with_two_islands, [0, 2, 3], [2, 3, 2]).tolist() == [np.inf, 30.0, np.inf]
    with pytest.raises(UnreachableError, match="from node 3 to node 2"):
        path(city_with_two_islands, 3, 2)


def test_a_closed_road_is_not_taken(city_with_two_islands: Any) -> None:
    closed = city_with_two_islands.with_travel_times([10.0, np.inf, 30.0])
    assert between(closed, [0, 1], [1, 0]).tolist() == [10.0, np.inf]


def test_a_path_is_connected_and_takes_the_time_that_between_says(one_way_city: Any) -> None:
    for destination in (17, 450, 899):
        way = path(one_way_city, 0, destination)
        assert way.node[0] == 0
        assert way.node[-1] == destination
        assert np.array_equal(one_way_city.source[way.edge], way.node[:-1])
        assert np.array_equal(one_way_city.target[way.edge], way.node[1:])
        assert way.arrival_s[-1] == pytest.approx(between(one_way_city, [0], [destination])[0])
        assert way.length_m[-1] == pytest.approx(one_way_city.length_m[way.edge].sum())


def test_a_path_to_where_one_stands_has_one_node(one_way_city: Any) -> None:
    way = path(one_way_city, 5, 5)
    assert (way.node.tolist(), way.edge.size, way.arrival_s.tolist()) == ([5], 0, [0.0])


@pytest.mark.parametrize(("k", "limit_s"), [(0, 1.0), (1, -1.0), (1, np.nan)])
def test_invalid_input_is_refused(city_with_two_islands: Any, k: Any, limit_s: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        nearest_by_road(city_with_two_islands, [0], [0], k, limit_s)
    with pytest.raises(ValueError, match="2 origins but 1"):
        between(city_with_two_islands, [0, 1], [0])
