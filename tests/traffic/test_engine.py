"""What drives make of the weights in force, and what lies do not."""

from __future__ import annotations

import numpy as np
import pytest

from geo.learning.map_matching import Drives
from geo.roads.graph import RoadGraph
from tests.traffic.town import Fleet, Town, row_of
from traffic.engine import base_factors, in_force_at
from traffic.model import LearnedTrafficParams, Refusal, Weights
from traffic.rules.drives import RecentDrives

WALKING = 7.0
BUSY_ROW = 3


def slowed(graph: RoadGraph, factor: float, row: int = BUSY_ROW) -> np.ndarray:
    factors = np.ones(graph.edge_count)
    factors[row_of(graph, row)] = factor
    return factors


def test_driving_at_free_flow_changes_nothing(graph: RoadGraph, town: Town, free: np.ndarray) -> None:
    fleet = Fleet(graph, 30)
    for _ in range(4):
        assert town.live((fleet, free)) is None
    assert np.median(town.in_force) == pytest.approx(1.0, abs=0.02)
    assert np.abs(np.log(town.in_force)).max() < 0.1


def test_a_slowed_street_is_slow_after_three_updates_and_free_again_after_three_more(
    graph: RoadGraph, town: Town, free: np.ndarray
) -> None:
    town_fleet, street_fleet = Fleet(graph, 30), Fleet(graph, 12, seed=2, along=BUSY_ROW)
    street, rest = row_of(graph, BUSY_ROW), np.setdiff1d(np.arange(graph.edge_count), row_of(graph, BUSY_ROW))
    for _ in range(3):
        town.live((town_fleet, slowed(graph, 3.0)), (street_fleet, slowed(graph, 3.0)))
    assert np.median(town.in_force[street]) > 2.0
    assert np.median(town.in_force[rest]) == pytest.approx(1.0, abs=0.05)
    for _ in range(3):
        town.live((town_fleet, free), (street_fleet, free))
    assert np.median(town.in_force[street]) < 1.25


def test_a_street_that_is_slow_one_way_stays_free_the_other_way(graph: RoadGraph, town: Town) -> None:
    fleet = Fleet(graph, 16, along=BUSY_ROW)
    street = row_of(graph, BUSY_ROW)
    east = street[graph.target[street] > graph.source[street]]
    factor = np.ones(graph.edge_count)
    factor[east] = 3.0
    for _ in range(4):
        town.live((fleet, factor), (Fleet(graph, 30, seed=5), factor))
    west = np.setdiff1d(street, east)
    assert np.median(town.in_force[east]) > 1.6 * np.median(town.in_force[west])


def test_streets_that_nobody_drives_any_more_return_to_the_usual_traffic(graph: RoadGraph, town: Town) -> None:
    town.in_force = slowed(graph, 4.0)
    town.base = slowed(graph, 1.5)
    fleet = Fleet(graph, 30, along=0)
    street = row_of(graph, BUSY_ROW)
    for _ in range(12):  # two half-lives
        town.live((fleet, np.ones(graph.edge_count)))
    half_way = 1.5 * (4.0 / 1.5) ** 0.25
    assert np.median(town.in_force[street]) == pytest.approx(half_way, rel=0.1)


def test_a_few_liars_who_pretend_to_walk_everywhere_change_nothing(graph: RoadGraph, free: np.ndarray) -> None:
    honest, fooled = Town(graph), Town(graph)
    for town, liars in ((honest, 0), (fooled, 2)):
        fleet, lying = Fleet(graph, 40), Fleet(graph, liars, seed=9)
        for _ in range(3):
            town.live((fleet, free), *([(lying, free * WALKING)] if liars else []))
    difference = np.abs(np.log(fooled.in_force / honest.in_force))
    assert np.median(difference) < 0.02
    assert difference.max() < np.log(fooled.params.edge_change_max) / 2


def test_pings_that_pretend_200_km_h_are_no_drives(graph: RoadGraph, town: Town, free: np.ndarray) -> None:
    lying = Fleet(graph, 40, seed=9)
    assert town.live((lying, free * 10.0 / 55.0)) is Refusal.COVERAGE
    assert town.candidate is not None
    assert town.candidate.evidence.steps == 0


def test_a_town_that_walks_is_not_believed(graph: RoadGraph, town: Town, free: np.ndarray) -> None:
    assert town.live((Fleet(graph, 40, seed=9), free * WALKING)) is Refusal.REGION_PACE
    assert (town.in_force == 1.0).all()


def test_the_same_update_passes_where_nobody_checks(graph: RoadGraph, free: np.ndarray) -> None:
    unchecked = Town(graph, judge=lambda candidate, length_m, params: None)
    assert unchecked.live((Fleet(graph, 40, seed=9), free * WALKING)) is None
    assert np.median(unchecked.in_force) > 1.15


def test_a_refused_update_leaves_no_trace(graph: RoadGraph, free: np.ndarray) -> None:
    spared, poisoned = Town(graph), Town(graph)
    for town, lies in ((spared, []), (poisoned, [(Fleet(graph, 60, seed=9), free * WALKING)])):
        assert town.live((Fleet(graph, 40), free * 1.3)) is None
        assert town.live(*lies) is (Refusal.REGION_PACE if lies else Refusal.COVERAGE)
        assert town.live((Fleet(graph, 40, seed=3), free * 1.3)) is None
    assert np.array_equal(spared.in_force, poisoned.in_force)


def test_drives_of_too_few_drivers_wait_for_others(graph: RoadGraph, town: Town, free: np.ndarray) -> None:
    first, second = Fleet(graph, 8, seed=1), Fleet(graph, 8, seed=2)
    assert town.live((first, free * 1.4)) is Refusal.COVERAGE
    assert town.live((second, free * 1.4)) is None
    assert np.median(town.in_force) > 1.15


def test_what_waited_too_long_counts_no_more(graph: RoadGraph, town: Town, free: np.ndarray) -> None:
    assert town.live((Fleet(graph, 8, seed=1), free * 1.4)) is Refusal.COVERAGE
    town.now_s += town.params.window_s
    assert town.live((Fleet(graph, 8, seed=2), free * 1.4)) is Refusal.COVERAGE


def test_a_driver_who_circles_one_street_counts_once(graph: RoadGraph) -> None:
    town = Town(graph, LearnedTrafficParams(region_drivers_min=3))
    fleet = Fleet(graph, 2, along=BUSY_ROW)
    for _ in range(6):
        town.live((fleet, slowed(graph, 5.0)), (Fleet(graph, 20, seed=7, along=0), np.ones(graph.edge_count)))
    assert np.median(town.in_force[row_of(graph, BUSY_ROW)]) < 1.1


def test_weights_count_until_they_are_too_old(free: np.ndarray) -> None:
    params = LearnedTrafficParams()
    made = Weights(7, 1, 1_000.0, free * 2.0)
    assert in_force_at(made, free, 1_000.0 + params.keep_s, params) is made
    late = in_force_at(made, free, 1_001.0 + params.keep_s, params)
    assert late.version == 0
    assert np.array_equal(late.factor, free)
    assert np.array_equal(in_force_at(None, free, 0.0, params).factor, free)


def test_the_usual_traffic_stays_within_bounds_too(graph: RoadGraph, free: np.ndarray) -> None:
    params = LearnedTrafficParams(slower_max=3.0)
    assert base_factors(graph, free * 6.0, params).max() == 3.0
    assert np.array_equal(base_factors(graph, None, params), free)


def test_a_neighbourhood_slows_down_before_each_of_its_streets_has_drivers_enough(
    graph: RoadGraph, town: Town, free: np.ndarray
) -> None:
    west = graph.lng_deg[graph.source] < np.median(graph.lng_deg)
    assert town.live((Fleet(graph, 30), np.where(west, 2.0, 1.0))) is None
    assert town.candidate is not None
    assert town.candidate.evidence.edges < graph.edge_count / 3
    assert np.median(town.in_force[west]) > 1.15 * np.median(town.in_force[~west])


def test_other_drivers_judge_each_update(graph: RoadGraph, town: Town, free: np.ndarray) -> None:
    fleet, judges = Fleet(graph, 20), []
    for _ in range(3):
        town.engine.take(*fleet.drive(free, town.now_s, town.now_s + 300.0))
        town.now_s += 300.0
        driven = town.engine._matched()
        judges.append(set(driven.driver[town.engine._held_back(driven)].tolist()))
        town.engine._updates += 1
    assert all(len(some) == 4 for some in judges)
    assert not judges[0] & judges[1]
    assert not judges[1] & judges[2]


def test_a_corner_that_was_cut_says_nothing_about_its_street(graph: RoadGraph) -> None:
    drives = Drives(
        ping=np.array([0]),
        started_s=np.zeros(1),
        elapsed_s=np.array([60.0]),
        step=np.array([0, 0]),
        edge=np.array([4, 5]),
        free_flow_s=np.array([2.0, 18.0]),
    )
    assert RecentDrives.of(drives, np.array([3]), graph.travel_time_s).is_waiting.tolist() == [False, True]
