from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from geo.distances import great_circle_m
from geo.kernels.map_matching import match_tracks
from geo.learning.map_matching import REACH_FACTOR, REACH_M, Drives, MatchParams, match_pings, spaced_pings
from geo.roads.graph import RoadGraph
from geo.roads.snap import EdgeIndex
from geo.roads.travel_times import path


def drive(
    graph: Any, rng: np.random.Generator, origin: Any, destination: Any, every_s: Any = 30.0, stray_deg: Any = 5e-5
) -> Any:
    """Pings of a car on its quickest way: (t_s, lat, lng), and the edges it drove."""
    way = path(graph, origin, destination)
    t_s = np.arange(0.0, way.arrival_s[-1], every_s)
    lat = np.interp(t_s, way.arrival_s, graph.lat_deg[way.node]) + rng.normal(0, stray_deg, t_s.size)
    lng = np.interp(t_s, way.arrival_s, graph.lng_deg[way.node]) + rng.normal(0, stray_deg, t_s.size)
    return t_s, lat, lng, way.edge


def test_a_driven_way_is_found_again(one_way_city: Any) -> None:
    rng = np.random.default_rng(8)
    index, found_share = EdgeIndex.of(one_way_city), []
    for origin, destination in rng.integers(0, one_way_city.node_count, (20, 2)):
        t_s, lat, lng, driven = drive(one_way_city, rng, int(origin), int(destination))
        if t_s.size < 4:
            continue
        drives = match_pings(one_way_city, index, np.zeros(t_s.size, int), t_s, lat, lng)
        found_share.append(np.isin(drives.edge, driven).mean())
        explained = drives.free_flow_s.sum() / drives.elapsed_s.sum()
        assert 0.8 < explained < 1.2
    assert len(found_share) > 10
    assert np.mean(found_share) > 0.9


def every_chain(graph: Any, candidates: Any, straight_m: Any, params: Any) -> Any:
    """The cheapest of all combinations of candidates, by scipy's Dijkstra: the slow twin of the matcher."""
    edge, share, distance_m = candidates
    shape = (graph.node_count, graph.node_count)
    metres = dijkstra(csr_matrix((graph.length_m, (graph.source, graph.target)), shape=shape))

    def step(at: Any, before: Any, now: Any) -> Any:
        here, there, along, on = edge[at - 1, before], edge[at, now], share[at - 1, before], share[at, now]
        if here == there and on >= along:
            way_m = (on - along) * graph.length_m[here]
        else:
            between_m = metres[graph.target[here], graph.source[there]]
            if between_m > REACH_FACTOR * straight_m[at] + REACH_M:
                return np.inf
            way_m = (1 - along) * graph.length_m[here] + between_m + on * graph.length_m[there]
        return abs(way_m - straight_m[at]) / params.detour_m

    def cost(chain: Any) -> Any:
        own = sum(0.5 * (distance_m[at, one] / params.stray_m) ** 2 for at, one in enumerate(chain))
        return own + sum(step(at, chain[at - 1], chain[at]) for at in range(1, len(chain)))

    return min(product(range(edge.shape[1]), repeat=edge.shape[0]), key=cost)


@pytest.mark.parametrize("seed", range(4))
def test_the_matcher_finds_the_cheapest_of_all_chains(one_way_city: Any, seed: int) -> None:
    rng, params = np.random.default_rng(seed), MatchParams(candidates=3)
    t_s, lat, lng, _ = drive(one_way_city, rng, int(rng.integers(0, 200)), int(rng.integers(600, 900)), 40.0, 1e-4)
    lat, lng = lat[:5], lng[:5]
    near = EdgeIndex.of(one_way_city).nearest(lat, lng, count=3)
    straight_m = np.append(0.0, great_circle_m(lat[:-1], lng[:-1], lat[1:], lng[1:]))
    rows = one_way_city.leaving
    chosen = match_tracks(
        (rows.offset, rows.neighbour, one_way_city.length_m[rows.edge]),
        (one_way_city.source, one_way_city.target, one_way_city.length_m),
        (near.edge, near.share, near.distance_m),
        straight_m,
        np.array([False, True, True, True, True]),
        (params.stray_m, params.detour_m, REACH_FACTOR, REACH_M),
    )
    expected = every_chain(one_way_city, (near.edge, near.share, near.distance_m), straight_m, params)
    assert tuple(chosen) == expected
    assert t_s.size >= 5


def test_gaps_other_vehicles_and_places_off_the_road_break_a_track(one_way_city: Any) -> None:
    index = EdgeIndex.of(one_way_city)
    lat, lng = one_way_city.lat_deg[[0, 1, 2, 3]], one_way_city.lng_deg[[0, 1, 2, 3]]

    def steps(vehicle: Any = (0, 0, 0, 0), t_s: Any = (0, 30, 60, 90), lat: Any = lat) -> Any:
        return match_pings(one_way_city, index, vehicle, t_s, lat, lng).elapsed_s.size

    assert steps() == 3
    assert steps(vehicle=(0, 0, 1, 1)) == 2
    assert steps(t_s=(0, 30, 400, 430)) == 2
    assert steps(t_s=(0, 30, 30, 60)) == 2
    assert steps(lat=np.array([lat[0], lat[1], 50.0, lat[3]])) == 1
    assert steps(t_s=(0, 1, 2, 3)) == 0


def test_a_parked_car_teaches_nothing(one_way_city: Any) -> None:
    here = np.full(5, one_way_city.lat_deg[0]), np.full(5, one_way_city.lng_deg[0])
    drives = match_pings(one_way_city, EdgeIndex.of(one_way_city), np.zeros(5, int), np.arange(5) * 60.0, *here)
    assert drives.edge.size == drives.elapsed_s.size == 0


def test_pings_are_spaced_by_the_way_driven_and_a_stop_is_bridged(one_way_city: RoadGraph) -> None:
    lat = 47.0 + np.array([0, 10, 60, 130, 131, 131, 180, 260]) / 111_195.0
    t_s = np.arange(8) * 20.0
    kept = spaced_pings(np.zeros(8, int), t_s, lat, np.full(8, 8.0))
    assert np.flatnonzero(kept).tolist() == [0, 3, 7]
    of_two = spaced_pings([0, 0, 0, 0, 1, 1, 1, 1], t_s, lat, np.full(8, 8.0))
    assert np.flatnonzero(of_two).tolist() == [0, 3, 4, 7]
    after_a_silence = spaced_pings(np.zeros(8, int), t_s + np.where(np.arange(8) > 1, 200.0, 0.0), lat, np.full(8, 8.0))
    assert np.flatnonzero(after_a_silence).tolist() == [0, 2, 6]


def test_a_stop_at_a_light_is_slow_driving_and_a_longer_one_is_parking(one_way_city: RoadGraph) -> None:
    way = path(one_way_city, 0, 899)
    lat, lng = (column[way.node[:9:2]] for column in (one_way_city.lat_deg, one_way_city.lng_deg))

    def elapsed_s(wait_s: float) -> float:
        t_s = way.arrival_s[:9:2] + np.where(np.arange(5) > 2, wait_s, 0.0)
        kept = spaced_pings(np.zeros(5, int), t_s, lat, lng)
        assert kept.all()
        return match_pings(one_way_city, EdgeIndex.of(one_way_city), np.zeros(5, int), t_s, lat, lng).elapsed_s.sum()

    assert elapsed_s(60.0) == pytest.approx(way.arrival_s[8] + 60.0)
    assert elapsed_s(300.0) < way.arrival_s[8]


def test_a_way_over_a_closed_road_is_not_believed(one_way_city: RoadGraph) -> None:
    rng = np.random.default_rng(8)
    t_s, lat, lng, driven = drive(one_way_city, rng, 0, 899)
    index = EdgeIndex.of(one_way_city)
    closed = one_way_city.travel_time_s.copy()
    closed[driven[len(driven) // 2]] = np.inf
    vehicle = np.zeros(t_s.size, int)
    before = match_pings(one_way_city, index, vehicle, t_s, lat, lng)
    after = match_pings(one_way_city.with_travel_times(closed), index, vehicle, t_s, lat, lng)
    assert np.isfinite(after.free_flow_s).all()
    assert 0 < after.elapsed_s.size < before.elapsed_s.size


def test_drives_that_were_matched_apart_are_the_same_as_those_matched_together(one_way_city: RoadGraph) -> None:
    rng, index, tracks = np.random.default_rng(3), EdgeIndex.of(one_way_city), []
    for origin, destination in ((0, 899), (29, 870), (400, 12)):
        tracks.append(drive(one_way_city, rng, origin, destination)[:3])
    vehicle = np.repeat(np.arange(3), [track[0].size for track in tracks])
    columns = [np.concatenate(column) for column in zip(*tracks, strict=True)]
    together = match_pings(one_way_city, index, vehicle, *columns)
    parts = []
    for number in range(3):
        rows = np.flatnonzero(vehicle == number)
        parts.append(
            match_pings(one_way_city, index, vehicle[rows], *(column[rows] for column in columns)).of_pings(rows)
        )
    apart = Drives.joined(parts)
    for name in ("ping", "started_s", "elapsed_s", "step", "edge", "free_flow_s"):
        assert np.array_equal(getattr(together, name), getattr(apart, name)), name
    assert Drives.joined([]).elapsed_s.size == 0


def test_invalid_input_is_refused(one_way_city: Any) -> None:
    with pytest.raises(ValueError, match="stray_m"):
        MatchParams(stray_m=0.0)
    with pytest.raises(ValueError, match="2 vehicles, 1 times"):
        match_pings(one_way_city, EdgeIndex.of(one_way_city), [1, 1], [0.0], [1.0], [1.0])
