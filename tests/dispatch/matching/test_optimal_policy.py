"""The default policy obeys the rules in every round and finds the best total score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dispatch.matching.candidates import reach_s
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.weights import ScoreWeights
from geo.roads.travel_times import between
from kernel.points import Place
from tests.dispatch.people import THERE, grid_city

CITY = grid_city(4, 4)
NOW_S = 500.0
PARAMS = DispatchParams(pickup_eta_s_max=45.0, score=ScoreWeights(car_time=0.0))


def ride(ride_id: str = "ride", node: Any = 0, seats: Any = 1, refused_by: Any = (), requested_s: Any = NOW_S) -> Any:
    return Ride(
        ride_id=ride_id,
        region_id="r",
        rider_id="alice",
        quote_id=ride_id,
        pickup=Place(float(CITY.lat_deg[node]), float(CITY.lng_deg[node]), node),
        dropoff=THERE,
        seats=seats,
        fare_cents=1,
        currency="USD",
        requested_s=requested_s,
        refused_by=tuple(refused_by),
    )


def supply(*drivers: Any) -> Any:
    """(node, seats) of driver0, driver1, …"""
    names = tuple(f"driver{n}" for n in range(len(drivers)))
    nodes, seats = np.array(drivers, np.int64).reshape(-1, 2).T
    return SupplySnapshot(NOW_S, names, nodes.copy(), seats.copy())


def match(waiting: Any, snapshot: Any, params: Any = PARAMS) -> Any:
    return {m.ride_id: m for m in OptimalPolicy(CITY).match(waiting, snapshot, params, NOW_S)}


nodes = st.integers(0, CITY.node_count - 1)
drivers = st.lists(st.tuples(nodes, st.integers(1, 6)), min_size=1, max_size=7)
requests = st.lists(
    st.tuples(
        nodes, st.integers(1, 6), st.sets(st.sampled_from([f"driver{n}" for n in range(7)])), st.integers(0, 300)
    ),
    min_size=1,
    max_size=7,
)


@given(requests, drivers)
@settings(max_examples=150, deadline=None)
def test_every_round_obeys_the_rules_and_no_other_choice_scores_more(wanted: Any, free: Any) -> None:
    waiting = [
        ride(f"ride{n}", node, seats, refused, NOW_S - age) for n, (node, seats, refused, age) in enumerate(wanted)
    ]
    snapshot = supply(*free)
    matches = match(waiting, snapshot)
    eta_s = between(CITY, np.repeat(snapshot.node, len(waiting)), np.tile([r.pickup.node for r in waiting], len(free)))
    eta_s = eta_s.reshape(len(free), len(waiting)).T
    reach = np.array([[reach_s(r, PARAMS)] for r in waiting])
    idle_share = min(1.0, len(free) / len(waiting))
    score = reach - eta_s + PARAMS.score.waited * idle_share * np.array([[NOW_S - r.requested_s] for r in waiting])
    lawful = eta_s <= reach
    for row, one in enumerate(waiting):
        lawful[row] &= snapshot.seats >= one.seats
        lawful[row] &= ~np.isin(snapshot.driver_id, one.refused_by)
    total = 0.0
    for ride_id, found in matches.items():
        pair = int(ride_id.removeprefix("ride")), snapshot.driver_id.index(found.driver_id)
        assert lawful[pair]
        assert found.pickup_eta_s == pytest.approx(eta_s[pair])
        assert found.score == pytest.approx(score[pair])
        total += found.score
    assert len({found.driver_id for found in matches.values()}) == len(matches)
    worth = np.where(lawful, score, 0.0)
    assert total == pytest.approx(worth[linear_sum_assignment(worth, maximize=True)].sum())


def test_a_large_group_finds_the_one_large_car_behind_many_small_ones() -> None:
    params = replace(PARAMS, candidates_per_request=3)
    assert match([ride(seats=6)], supply(*[(0, 4)] * 30, (3, 6)), params)["ride"].driver_id == "driver30"


def test_drivers_who_refused_do_not_count_as_candidates() -> None:
    params = replace(PARAMS, candidates_per_request=2)
    refused = [f"driver{n}" for n in range(20)]
    assert match([ride(refused_by=refused)], supply(*[(0, 4)] * 20, (3, 4)), params)["ride"].driver_id == "driver20"


def test_no_driver_with_enough_seats_means_no_match() -> None:
    assert match([ride(seats=5), ride("small", seats=4)], supply((0, 4))).keys() == {"small"}


def test_the_longer_wait_wins_when_one_driver_is_idle() -> None:
    patient = ride("patient", node=2, requested_s=NOW_S - 100)
    assert match([patient, ride("new")], supply((0, 4))).keys() == {"patient"}


def test_a_driver_who_is_too_far_is_not_asked() -> None:
    assert match([ride(node=0)], supply((15, 4))) == {}


def test_the_reach_grows_with_each_refusal_up_to_twice_as_wide() -> None:
    # 60 s away: beyond 45 s, within 63 s after two refusals.
    assert match([ride(node=0, refused_by=["x"])], supply((15, 4))) == {}
    assert match([ride(node=0, refused_by=["x", "y"])], supply((15, 4)))["ride"].driver_id == "driver0"
    assert [reach_s(ride(refused_by=["x"] * n), PARAMS) for n in (0, 1, 5, 9)] == [45.0, 54.0, 90.0, 90.0]
