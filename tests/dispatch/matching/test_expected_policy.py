"""The policy `expected`: likely refusals lower the score, and the trace shows by how much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.matching.acceptance import AcceptanceParams
from dispatch.matching.expected import ExpectedPolicy, losses
from dispatch.matching.policy import LearningPolicy
from dispatch.matching.reasons import RoundTrace
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.weights import ScoreWeights
from kernel.points import Place
from tests.dispatch.people import grid_city

# 0 - 1 - 2 - 3: the rider is at 1, moody Max at 0, steady Sam at 3, ten seconds farther.
STREET = grid_city(1, 4)
PLACES = [Place(40.0, -74.0 + 0.001 * node, node) for node in range(4)]
SUPPLY = SupplySnapshot(1000.0, ("max", "sam"), np.array([0, 3]), np.array([4, 4]))
RIDE = Ride("ride", "r", "alice", "q", PLACES[1], PLACES[3], 1, 900, "USD", 1000.0)
PARAMS = DispatchParams()


def hear_answers(policy: Any, driver_id: str, kind: Any, count: int) -> None:
    common = {"region_id": "r", "rider_id": "alice"}
    for number in range(count):
        offer = {"ride_id": f"{driver_id}{number}", "offer_id": f"{driver_id}-{number}", "driver_id": driver_id}
        policy.observe(
            ev.OfferSent(
                **offer, **common, sequence=2, at_s=900.0, token=number, expires_s=915.0, pickup_eta_s=10.0,
                pickup=PLACES[1], dropoff=PLACES[3], seats=1, fare_cents=900, currency="USD",
            )
        )  # fmt: skip
        extra = {"token": number, "pickup_eta_s": 10.0} if kind is ev.OfferAccepted else {"reason": None}
        policy.observe(kind(**offer, **common, sequence=3, at_s=905.0, **extra))


def asked(policy: Any) -> Any:
    engine = DispatchEngine(PARAMS, [RIDE], policy)
    return engine.decide_round(SUPPLY, 1000.0)


def test_a_driver_who_always_refuses_loses_to_one_a_little_farther() -> None:
    policy = ExpectedPolicy(STREET)
    assert isinstance(policy, LearningPolicy)
    assert asked(policy).matches[0].driver_id == "max"
    hear_answers(policy, "max", ev.OfferDeclined, 10)
    hear_answers(policy, "sam", ev.OfferAccepted, 10)
    assert asked(policy).matches[0].driver_id == "sam"


def test_the_trace_says_what_refusals_and_cancellations_cost() -> None:
    decision = asked(ExpectedPolicy(STREET))
    told = RoundTrace([RIDE], SUPPLY, decision).of(0)
    near = told.candidates[0]
    share = AcceptanceParams().prior_share
    assert near.acceptance == pytest.approx(share)
    worth = PARAMS.pickup_eta_s_max - 10.0
    assert near.terms["refusal"] == pytest.approx(-(1 - share) * PARAMS.score.refusal_s, abs=0.001)
    assert near.terms["cancellation"] == pytest.approx(-share * 10.0 * 2e-4 * worth, rel=0.01)
    assert sum(near.terms.values()) == pytest.approx(near.score, abs=0.002)


def test_scores_and_losses_add_up_to_the_expected_value() -> None:
    rng = np.random.default_rng(1)
    worth, share, eta_s = rng.normal(500, 300, 50), rng.random(50), rng.uniform(0, 900, 50)
    weights = ScoreWeights(refusal_s=20.0, cancellations_per_s=1e-3)
    plain = [
        p * np.exp(-1e-3 * t) * v + (1 - p) * (v - 20.0)
        for v, p, t in zip(worth.tolist(), share.tolist(), eta_s.tolist(), strict=True)
    ]
    np.testing.assert_allclose(worth + sum(losses(worth, share, eta_s, weights).values()), plain)
