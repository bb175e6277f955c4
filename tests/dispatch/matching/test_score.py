"""The score: every term by hand, in seconds, and finite for any input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.score import TERM_MAX, TERMS, Pairs, RequestColumns, pair_terms, score_terms, shortage
from dispatch.matching.trips import TripTimes
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.weights import ScoreWeights
from geo.roads.graph import RoadGraph
from kernel.points import Place
from kernel.section_reader import ParamsRefused, read_params
from tests.dispatch.people import grid_city

ALL = ScoreWeights(
    waited=1.0,
    efficiency_s=100.0,
    rating_s_per_star=30.0,
    idle=0.1,
    price_s_per_cent=0.05,
    position=0.2,
    aboard=0.5,
    car_time=0.1,
)


def plain_terms(pairs: Any, requests: Any, supply: Any, weights: Any) -> Any:
    """The plain reference: one pair after the other, term by term."""
    told = []
    n_idle = sum(seconds == 0.0 for seconds in supply.free_in_s.tolist())
    short = max(0.0, (len(requests.reach_s) - n_idle) / len(requests.reach_s))
    for e, (i, j) in enumerate(zip(pairs.request.tolist(), pairs.driver.tolist(), strict=True)):
        eta_s, trip_s = float(pairs.pickup_eta_s[e]), float(requests.trip_s[i])
        count = int(supply.rating_count[j])
        stars = (supply.rating[j] * count + weights.rating_usual * weights.rating_usual_count) / (
            count + weights.rating_usual_count
        )
        idle_s = min(max(supply.now_s - supply.idle_since_s[j], 0.0), weights.idle_s_max)
        told.append(
            {
                "pickup": requests.reach_s[i] - eta_s,
                "waited": weights.waited * (1.0 - short) * requests.waited_s[i],
                "efficiency": weights.efficiency_s * (trip_s / (eta_s + trip_s) - 1.0) if eta_s + trip_s else 0.0,
                "rating": weights.rating_s_per_star * (stars - weights.rating_usual),
                "idle": weights.idle * idle_s,
                "price": weights.price_s_per_cent * requests.fare_cents[i],
                "position": weights.position * pairs.move_gain_s[e],
                "aboard": -weights.aboard * supply.free_in_s[j],
                "car_time": -min(
                    weights.car_time * short * (eta_s + trip_s), max(requests.reach_s[i] - eta_s, 0.0) / 2.0
                ),
            }
        )
    return told


def drawn(rng: np.random.Generator, m: Any = 5, n: Any = 7, e: Any = 20, n_idle: int = 3, now_s: float = 1000.0) -> Any:
    supply = SupplySnapshot(
        now_s,
        tuple(f"d{j}" for j in range(n)),
        np.zeros(n, np.int64),
        np.full(n, 4),
        idle_since_s=now_s - rng.uniform(-100, 4000, n),
        rating=rng.uniform(1, 5, n),
        rating_count=rng.integers(0, 200, n),
        free_in_s=100.0 * (rng.permutation(n) >= n_idle),
    )
    requests = RequestColumns(
        rng.uniform(0, 900, m), rng.uniform(0, 600, m), rng.choice([0.0, 60.0, 900.0], m), rng.uniform(0, 9000, m)
    )
    pairs = Pairs(
        rng.integers(0, m, e), rng.integers(0, n, e), rng.choice([0.0, 30.0, 500.0], e), rng.normal(0, 500, e)
    )
    return pairs, requests, supply


def test_the_kernel_equals_the_plain_reference() -> None:
    for seed in range(20):
        pairs, requests, supply = drawn(np.random.default_rng(seed))
        terms = score_terms(pairs, requests, supply, ALL)
        assert tuple(terms) == TERMS
        for e, plain in enumerate(plain_terms(pairs, requests, supply, ALL)):
            assert {name: term[e] for name, term in terms.items()} == pytest.approx(plain, abs=1e-9)


odd = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 0.0, -1.0, 60.0])


@settings(max_examples=200, deadline=None)
@given(
    columns=st.tuples(odd, odd, odd, odd),
    drivers=st.tuples(odd, odd, odd),
    eta_s=odd,
    gain=odd,
    weights=st.tuples(*[st.sampled_from([0.0, 1.0, 1e300])] * 8),
)
def test_the_kernel_returns_finite_terms_for_any_input(
    columns: Any, drivers: Any, eta_s: Any, gain: Any, weights: Any
) -> None:
    one = np.zeros(1, np.int64)
    terms = pair_terms(
        (one, one, np.array([eta_s]), np.array([gain])),
        tuple(np.array([value]) for value in columns),
        tuple(np.array([value]) for value in drivers),
        weights,
    )
    assert np.isfinite(terms).all()
    assert (np.abs(terms) <= TERM_MAX).all()
    if not math.isfinite(eta_s):
        assert terms[0, 0] == -TERM_MAX


def test_by_default_the_score_holds_pickup_eta_waiting_time_and_position_value() -> None:
    pairs, requests, supply = drawn(np.random.default_rng(1), n_idle=5)
    unlearned = replace(pairs, move_gain_s=None)
    assert set(score_terms(unlearned, requests, supply, ScoreWeights())) == {"pickup", "waited", "aboard"}
    assert set(score_terms(pairs, requests, supply, ScoreWeights())) == {"pickup", "waited", "position", "aboard"}


@pytest.mark.parametrize(("n_idle", "short"), [(7, 0.0), (5, 0.0), (4, 0.2), (0, 1.0)])
def test_what_waiting_is_worth_goes_to_the_time_of_cars_as_requests_go_without_one(n_idle: int, short: float) -> None:
    pairs, requests, supply = drawn(np.random.default_rng(2), n_idle=n_idle)
    assert shortage(len(requests.reach_s), supply) == pytest.approx(short)
    terms = score_terms(pairs, requests, supply, ScoreWeights())
    assert terms["waited"] == pytest.approx((1.0 - short) * requests.waited_s[pairs.request])
    assert ("car_time" in terms) == (short > 0.0)


# 0 - 1 - 2 - 3 - 4: the rider is at 2, "near" at 1, "far" at 4.
STREET = grid_city(1, 5)
NEAR, FAR = 0, 1


def chosen(weights: Any, policy: Any = None, **columns: Any) -> Any:
    supply = SupplySnapshot(1000.0, ("near", "far"), np.array([1, 4]), np.full(2, 4), **columns)
    place = [Place(40.0, -74.0 + 0.001 * node, node) for node in range(5)]
    ride = Ride("ride", "r", "alice", "q", place[2], place[0], 1, 800, "USD", 1000.0)
    params = DispatchParams(score=weights)
    (match,) = (policy or OptimalPolicy(STREET)).match([ride], supply, params, 1000.0)
    return match.driver_id


@pytest.mark.parametrize(
    ("weights", "columns"),
    [
        (ScoreWeights(idle=0.1), {"idle_since_s": np.array([990.0, 0.0])}),
        (ScoreWeights(rating_s_per_star=30.0), {"rating": np.array([3.0, 5.0]), "rating_count": np.array([90, 90])}),
    ],
)
def test_what_weighs_more_than_ten_seconds_beats_a_pickup_ten_seconds_shorter(weights: Any, columns: Any) -> None:
    assert chosen(ScoreWeights(), **columns) == "near"
    assert chosen(weights, **columns) == "far"


def test_a_single_bad_rating_weighs_little() -> None:
    columns = {"rating": np.array([1.0, 4.8]), "rating_count": np.array([1, 500])}
    assert chosen(ScoreWeights(rating_s_per_star=30.0), **columns) == "near"


class BetterFromFar:
    """A position value by which drivers from node 4 gain."""

    def move_gain_s(self, node: Any, next_node: Any, duration_s: Any, now_s: float) -> Any:
        assert (np.asarray(next_node) == 0).all()
        assert (np.asarray(duration_s) > 10.0).all()
        return np.where(np.asarray(node) == 4, 200.0, 0.0)


def test_the_position_value_brings_the_driver_who_gains_most_by_the_trip() -> None:
    policy = OptimalPolicy(STREET, position_value=BetterFromFar())
    assert chosen(ScoreWeights(position=0.0), policy) == "near"
    assert chosen(ScoreWeights(position=0.2), policy) == "far"


def test_an_idle_time_beyond_the_limit_counts_as_the_limit() -> None:
    pairs, requests, supply = drawn(np.random.default_rng(1))
    since_ever = replace(supply, idle_since_s=np.full(len(supply), -1e9))
    assert score_terms(pairs, requests, since_ever, ALL)["idle"] == pytest.approx(0.1 * 1800.0)


def test_an_unknown_idle_time_counts_as_zero() -> None:
    pairs, requests, supply = drawn(np.random.default_rng(1))
    unknown = replace(supply, idle_since_s=np.full(len(supply), math.nan))
    assert (score_terms(pairs, requests, unknown, ALL)["idle"] == 0.0).all()


def test_trip_times_follow_the_distance_and_the_mean_speed() -> None:
    ends = [Place(40.0, -74.0, 0), Place(40.02, -74.0, 0)]
    (there, nowhere) = TripTimes(STREET).of([ends[0], ends[0]], [ends[1], ends[0]]).tolist()
    assert there == pytest.approx(2224 * 1.3 * 10 / 100, rel=0.001)  # 10 s for 100 m
    assert nowhere == 0.0


def test_trip_times_are_finite_where_all_roads_are_closed() -> None:
    closed = RoadGraph.from_arrays([0.0, 0.0], [0.0, 0.01], [0], [1], [100.0], [np.inf])
    assert TripTimes(closed).of([Place(0.0, 0.0, 0)], [Place(0.0, 0.01, 1)]).tolist() == [0.0]


def test_a_city_sets_the_weights() -> None:
    params = read_params({"dispatch": {"score": {"idle": 0.05, "waited": 2}}}, DispatchParams)
    assert params.score == ScoreWeights(idle=0.05, waited=2)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"score": {"idel": 1.0}}, r"\[dispatch.score\] idel is not a key of this section; expected idle, perhaps"),
        ({"score": {"idle": "1"}}, r"\[dispatch.score\] idle is '1'; expected float"),
        ({"score": {"idle": True}}, "idle is True; expected float"),
        ({"score": {"idle": -1.0}}, r"\[dispatch.score\] idle must be a finite number from 0, not -1.0"),
        ({"score": {"waited": math.nan}}, "waited must be a finite number from 0"),
        ({"score": {"rating_usual_count": 0}}, "rating_usual_count must be above 0"),
        ({"score": 3}, r"\[dispatch\] score is 3; expected a section"),
    ],
)
def test_invalid_weights_are_refused_by_name(section: Any, message: str) -> None:
    with pytest.raises(ParamsRefused, match=message):
        read_params({"dispatch": section}, DispatchParams)
