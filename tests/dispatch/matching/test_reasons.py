"""The trace: every driver who was not chosen has exactly one reason, and it is the right one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dispatch.engine import DispatchEngine
from dispatch.matching.candidates import reach_s
from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.reasons import CHOSEN, WORDS, Reason, RoundTrace
from dispatch.matching.registry import make_policy
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from geo.roads.travel_times import between
from kernel.points import Place
from tests.dispatch.people import THERE, grid_city

CITY = grid_city(5, 5)
PARAMS = DispatchParams(pickup_eta_s_max=45.0, candidates_per_request=3)
#: Of rounds in which few are idle.
CAPPED = replace(PARAMS, pickup_eta_s_max=25.0)
NOW_S = 100.0
REASONS = tuple(Reason)


def ride(ride_id: str, node: Any, seats: Any = 1, refused_by: Any = (), requested_s: Any = NOW_S) -> Any:
    place = Place(float(CITY.lat_deg[node]), float(CITY.lng_deg[node]), node)
    return Ride(
        ride_id, "r", "alice", ride_id, place, THERE, seats, 1, "USD", requested_s, refused_by=tuple(refused_by)
    )


def random_round(rng: np.random.Generator, policy: Any, params: Any = PARAMS) -> Any:
    m, n = rng.integers(1, 9, 2)
    supply = SupplySnapshot(
        NOW_S, tuple(f"d{i}" for i in range(n)), rng.integers(0, CITY.node_count, n), rng.integers(1, 7, n)
    )
    waiting = [
        ride(
            f"r{i}",
            int(rng.integers(CITY.node_count)),
            int(rng.integers(1, 6)),
            [f"d{j}" for j in range(n) if rng.random() < 0.15],
            NOW_S + float(rng.integers(-30, 30)),  # a clock that went back makes scores that are not worth it
        )
        for i in range(m)
    ]
    engine = DispatchEngine(PARAMS, waiting, make_policy(policy, CITY))
    return engine.waiting(), supply, engine.decide_round(supply, NOW_S, params.pickup_eta_s_max)


def is_right(
    reason: Any, one: Any, column: Any, eta_s: Any, supply: Any, n_waiting: int, matches: Any, params: Any
) -> Any:
    """Whether a reason can be true, judged from the round alone."""
    match reason:
        case Reason.TOO_FEW_SEATS:
            return supply.seats[column] < one.seats
        case Reason.REFUSED_BEFORE:
            return supply.driver_id[column] in one.refused_by
        case Reason.OUT_OF_REACH:
            return params is PARAMS and eta_s > reach_s(one, params)
        case Reason.TOO_FAR_WHILE_FEW_ARE_IDLE:
            return params is CAPPED and eta_s > reach_s(one, params)
        case Reason.NOT_WORTH_ASKING:
            saved_s, short = reach_s(one, params) - eta_s, max(0.0, 1.0 - len(supply) / n_waiting)
            # The trips of this city are so long that their time costs half of what a pickup saves, if cars are short.
            return saved_s / (2.0 if short else 1.0) + (1.0 - short) * (NOW_S - one.requested_s) <= 0
        case Reason.BETTER_USED_ELSEWHERE:
            return supply.driver_id[column] in {match.driver_id for match in matches if match.ride_id != one.ride_id}
        case Reason.ANOTHER_SUITED_BETTER:
            return one.ride_id in {match.ride_id for match in matches}
        case Reason.LEFT_OUT_BY_POLICY:
            return one.ride_id not in {match.ride_id for match in matches}
        case Reason.ENOUGH_WERE_NEARER:
            return True
    return False


@pytest.mark.parametrize("policy", ["optimal", "greedy", "nearest"])
def test_every_candidate_of_a_thousand_rounds_has_exactly_one_reason_and_it_is_true(policy: Any) -> None:
    seen: Any = Counter()
    for seed in range(1000):
        params = CAPPED if seed % 4 == 0 else PARAMS
        waiting, supply, decision = random_round(np.random.default_rng(seed), policy, params)
        trace = RoundTrace(waiting, supply, decision, is_capped=params is CAPPED)
        pickup_node = [one.pickup.node for one in waiting]
        pairs = np.repeat(supply.node, len(waiting)), np.tile(pickup_node, len(supply))
        eta_s = between(CITY, *pairs).reshape(len(supply), len(waiting))
        for row, one in enumerate(waiting):
            codes = trace.codes(row)
            assert codes.shape == (len(supply),)
            chosen = [supply.driver_id[column] for column in np.flatnonzero(codes == CHOSEN)]
            assert chosen == [match.driver_id for match in decision.matches if match.ride_id == one.ride_id]
            for column in np.flatnonzero(codes != CHOSEN):
                reason = REASONS[codes[column]]
                assert is_right(
                    reason, one, column, eta_s[column, row], supply, len(waiting), decision.matches, params
                ), (
                    seed,
                    reason,
                )
                seen[reason] += 1
            told = trace.of(row)
            assert sum(told.not_chosen.values()) + (told.asked is not None) == told.n_drivers == len(supply)
    after_the_round = {Reason.BUSY_OR_OFF_SHIFT, Reason.STALE_POSITION, Reason.LEASE_HELD, Reason.OFFER_REFUSED}
    if policy == "optimal":  # two who are free and worth it are never left
        assert set(seen) == set(REASONS) - after_the_round - {Reason.LEFT_OUT_BY_POLICY}


def test_the_terms_add_up_to_the_score_of_each_candidate() -> None:
    for seed in range(50):
        waiting, supply, decision = random_round(np.random.default_rng(seed), "optimal")
        trace = RoundTrace(waiting, supply, decision)
        for row in range(len(waiting)):
            for candidate in trace.of(row).candidates:
                assert sum(candidate.terms.values()) == pytest.approx(candidate.score, abs=0.002)


def one_round(waiting: Any, supply: Any, not_offered: Any = None) -> Any:
    decision = DispatchEngine(PARAMS, waiting, OptimalPolicy(CITY)).decide_round(supply, NOW_S)
    return RoundTrace(waiting, supply, decision, not_offered=not_offered)


def test_a_match_that_led_to_no_offer_says_why() -> None:
    supply = SupplySnapshot(NOW_S, ("dora",), np.array([1]), np.array([4]))
    assert one_round([ride("ride", 0)], supply).of(0).asked == "dora"
    told = one_round([ride("ride", 0)], supply, {"ride": Reason.LEASE_HELD}).of(0)
    assert told.asked is None
    assert told.not_chosen == {"lease_held": 1}
    assert [candidate.reason for candidate in told.candidates] == [Reason.LEASE_HELD]


def test_drivers_outside_the_snapshot_are_counted_by_reason() -> None:
    nobody = SupplySnapshot(NOW_S, (), np.zeros(0, np.int64), np.zeros(0, np.int64))
    waiting = [ride("ride", 0)]
    decision = DispatchEngine(PARAMS, waiting, OptimalPolicy(CITY)).decide_round(nobody, NOW_S)
    unseen = {Reason.BUSY_OR_OFF_SHIFT: 7, Reason.STALE_POSITION: 2}
    told = RoundTrace(waiting, nobody, decision, unseen).of(0)
    assert told.n_drivers == 9
    assert told.not_chosen == {"busy_or_off_shift": 7, "stale_position": 2}


def test_every_reason_has_words_for_an_operator() -> None:
    assert WORDS.keys() == set(Reason)
