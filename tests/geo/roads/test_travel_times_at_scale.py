"""Every pair that scipy's Dijkstra can answer in a second, on real and drawn graphs, before and after a jam."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from geo.roads.graph import RoadGraph
from geo.roads.travel_times import between, nearest_by_road

PAIRS_AT_LEAST = 200_000


def bay_area(shared: Any) -> Any:
    from pyarrow import parquet

    nodes, edges = (parquet.read_table(shared(f"sf/bayarea_{name}.parquet")) for name in ("nodes", "edges"))
    ids = nodes["osmid"].to_numpy()
    order = np.argsort(ids)
    source, target = (order[np.searchsorted(ids[order], edges[end].to_numpy())] for end in ("u", "v"))
    length_m = edges["length_m"].to_numpy()
    time_s = length_m / edges["speed_mph"].to_numpy() / 0.44704
    return RoadGraph.from_arrays(nodes["lat"].to_numpy(), nodes["lon"].to_numpy(), source, target, length_m, time_s)


def manhattan(shared: Any) -> Any:
    with shared("manhattan_hour/nodes.csv").open() as file:
        nodes = list(csv.DictReader(file))
    with shared("manhattan_hour/edges.csv").open() as file:
        edges = list(csv.DictReader(file))
    number = {row["node"]: place for place, row in enumerate(nodes)}
    lat, lng = ([float(row[name]) for row in nodes] for name in ("lat", "lng"))
    source, target = ([number[row[name]] for row in edges] for name in ("source", "target"))
    length_m, time_s = ([float(row[name]) for row in edges] for name in ("length_m", "travel_time_s"))
    return RoadGraph.from_arrays(lat, lng, source, target, length_m, time_s)


def drawn(shared: Any) -> Any:
    """Random edges on random places, parallel ones, closed ones and loops among them; not connected."""
    rng = np.random.default_rng(12)
    lat, lng = rng.uniform(0, 1, (2, 5_000))
    source, target = rng.integers(0, 5_000, (2, 16_000))
    time_s = np.where(rng.random(16_000) < 0.02, np.inf, rng.integers(1, 60, 16_000))
    return RoadGraph.from_arrays(lat, lng, source, target, np.ones(16_000), time_s)


def scipy_times(graph: Any, origins: Any, *, is_reversed: Any = False) -> Any:
    """Times from (or, reversed, to) the nodes; of parallel edges the quickest, for scipy would add them up."""
    row, column = (graph.target, graph.source) if is_reversed else (graph.source, graph.target)
    order = np.lexsort((graph.travel_time_s, column, row))
    order = order[np.isfinite(graph.travel_time_s[order])]
    _, first = np.unique(np.column_stack([row, column])[order], axis=0, return_index=True)
    kept = order[first]
    entries = (graph.travel_time_s[kept], (row[kept], column[kept]))
    return dijkstra(csr_matrix(entries, shape=(graph.node_count,) * 2), indices=origins)


@pytest.mark.parametrize("graph_of", [bay_area, manhattan, drawn], ids=lambda graph_of: graph_of.__name__)
def test_times_equal_those_of_scipy_with_and_without_traffic(shared: Any, graph_of: Any) -> None:
    free, rng = graph_of(shared), np.random.default_rng(13)
    jammed = free.with_travel_times(free.travel_time_s * rng.uniform(1, 5, free.edge_count))
    for graph in (free, jammed):
        origins = rng.choice(graph.node_count, PAIRS_AT_LEAST // 2 // graph.node_count + 1, replace=False)
        everywhere = np.arange(graph.node_count)
        expected_s = scipy_times(graph, origins)
        origin, destination = (part.ravel() for part in np.meshgrid(origins, everywhere, indexing="ij"))
        assert np.allclose(between(graph, origin, destination), expected_s.ravel())
        few = rng.integers(0, origin.size, 30)
        assert np.allclose(between(graph, origin[few], destination[few]), expected_s.ravel()[few])


@pytest.mark.parametrize("graph_of", [bay_area, manhattan, drawn], ids=lambda graph_of: graph_of.__name__)
def test_the_nearest_drivers_are_those_of_scipy(shared: Any, graph_of: Any) -> None:
    free, rng = graph_of(shared), np.random.default_rng(14)
    jammed = free.with_travel_times(free.travel_time_s * rng.uniform(1, 5, free.edge_count))
    for graph in (free, jammed):
        drivers, pickups = rng.integers(0, graph.node_count, 1_200), rng.integers(0, graph.node_count, 90)
        index, travel_time_s = nearest_by_road(graph, drivers, pickups, 20, 400.0)
        every_s = scipy_times(graph, pickups, is_reversed=True)[:, drivers]
        every_s[every_s > 400.0] = np.inf
        assert np.allclose(travel_time_s, np.sort(every_s, axis=1)[:, :20])
        found = index >= 0
        assert np.array_equal(found, np.isfinite(travel_time_s))
        rows = np.nonzero(found)[0]
        assert np.allclose(every_s[rows, index[found]], travel_time_s[found])
        assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in index.tolist() for row in [np.array(row)])
