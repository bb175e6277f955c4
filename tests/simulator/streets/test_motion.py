"""Movements: drivers follow the streets and arrive at the computed time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from simulator.model import Position
from simulator.streets.network import Streets

nodes = st.integers(0, 24)
starts_s = st.floats(0.0, 1e9)
paces = st.floats(0.2, 5.0)
shares = st.floats(0.0, 1.0)


def at_rest(streets: Any, node: Any) -> Any:
    point = streets.point_of(node)
    return Position(point.lat_deg, point.lng_deg, None, 0.0)


def polyline_m(points: list[Position]) -> float:
    lat, lng = np.array([point.lat_deg for point in points]), np.array([point.lng_deg for point in points])
    return float(great_circle_m(lat[:-1], lng[:-1], lat[1:], lng[1:]).sum()) if len(points) > 1 else 0.0


@given(nodes, nodes, starts_s, paces, st.lists(shares, max_size=8))
def test_moves_along_the_way_and_never_back(
    streets: Streets, start: Any, end: Any, start_s: Any, pace: Any, when: Any
) -> None:
    motion = streets.drive(streets.stand(start, start_s), end, start_s, pace)
    span_s = motion.arrival_s - start_s
    times_s = sorted([*motion.reach_s, *(start_s + share * span_s for share in when)])
    corners_m = polyline_m([Position(*at, None, 0.0) for at in zip(motion.lat_deg, motion.lng_deg, strict=True)])
    assert polyline_m([motion.at(time_s) for time_s in times_s]) == pytest.approx(corners_m, abs=1e-3)


@given(nodes, nodes, starts_s, paces)
def test_arrives_exactly_when_it_says_and_rests_there(
    streets: Streets, start: Any, end: Any, start_s: Any, pace: Any
) -> None:
    motion = streets.drive(streets.stand(start, start_s), end, start_s, pace)
    blocks = sum(abs(a - b) for a, b in zip(divmod(start, 5), divmod(end, 5), strict=True))
    assert motion.arrival_s == pytest.approx(start_s + blocks * 10.0 * pace)
    at_end = at_rest(streets, end)
    assert motion.at(motion.arrival_s) == at_end == motion.at(motion.arrival_s + 1e6)
    assert motion.at(start_s - 1.0) == at_rest(streets, start)


@given(nodes, nodes, nodes, shares)
def test_turning_off_does_not_jump_and_loses_no_time(
    streets: Streets, start: Any, end: Any, other: Any, share: Any
) -> None:
    first = streets.drive(streets.stand(start, 0.0), end, 0.0, 1.0)
    now_s = share * first.arrival_s
    corner, corner_s = first.next_corner(now_s)
    second = streets.drive(first, other, now_s, 1.0)
    assert corner_s >= now_s
    assert polyline_m([first.at(now_s), second.at(now_s)]) < 1e-3
    if corner_s > now_s:
        assert second.at(now_s).heading_deg == first.at(now_s).heading_deg
    onward = streets.drive(streets.stand(corner, corner_s), other, corner_s, 1.0)
    assert second.arrival_s == pytest.approx(onward.arrival_s)


def test_heading_and_speed_are_those_of_the_street(streets: Streets) -> None:
    north = streets.drive(streets.stand(0, 0.0), 20, 0.0, 1.0).at(5.0)
    east = streets.drive(streets.stand(0, 0.0), 4, 0.0, 2.0).at(5.0)
    assert (north.heading_deg, north.speed_mps) == (0.0, pytest.approx(10.0))
    assert (east.heading_deg, east.speed_mps) == (90.0, pytest.approx(5.0))


def test_a_driver_at_rest_can_turn_off_at_once_even_if_the_clock_steps_back(streets: Streets) -> None:
    assert streets.stand(7, 100.0).next_corner(90.0) == (7, 90.0)


def test_a_street_that_takes_no_time_is_no_division_by_zero() -> None:
    graph = RoadGraph.from_arrays([0.0, 0.001, 0.002], [0.0, 0.0, 0.0], [0, 1], [1, 2], [100.0, 100.0], [0.0, 10.0])
    streets = Streets(graph)
    motion = streets.drive(streets.stand(0, 0.0), 2, 0.0, 1.0)
    assert motion.at(0.0).lat_deg == 0.001
    assert motion.at(5.0).lat_deg == pytest.approx(0.0015)


@given(nodes, st.floats(50.0, 500.0), st.integers(0, 2**32))
def test_draws_a_node_within_the_radius(streets: Streets, node: Any, radius_m: Any, seed: int) -> None:
    drawn = streets.node_near(node, radius_m, np.random.default_rng(seed))
    assert polyline_m([at_rest(streets, end) for end in (node, drawn)]) <= radius_m * 1.001
