"""Policies by name, custom policies, and faulty ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dispatch.engine import DispatchEngine
from dispatch.events import MatchFound
from dispatch.matching.guard import decide_safely
from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.position_value import PositionValue, ValueParams
from dispatch.matching.registry import make_policy
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.weights import ScoreWeights
from kernel.points import Place
from kernel.section_reader import ParamsRefused, read_params
from tests.dispatch.people import THERE, grid_city

#: A street: 0 - 1 - 2 - 3 - 4 - 5, 10 s from crossing to crossing.
STREET = grid_city(1, 6)
PARAMS = DispatchParams(pickup_eta_s_max=100.0)

#: An average driver earns a quarter of a cent a second.
STREET_VALUES = PositionValue(
    ValueParams(bin_s=86_400.0),
    cell=np.zeros(2, np.uint64),
    cell_of_node=np.array([0, 0, 0, 1, 1, 1]),
    value_cents=np.array([[1001.5], [998.5]]),
    visits=np.ones((2, 1)),
    city="",
)

OWN_POLICY = '''
"""The driver with the most seats first."""
from dispatch.events import MatchFound


class LargestCar:
    def __init__(self, graph):
        self.graph = graph

    def match(self, waiting, supply, params, now_s):
        cars = sorted(zip(-supply.seats, supply.driver_id))
        return [
            MatchFound(ride.ride_id, driver_id, pickup_eta_s=60.0, score=1.0)
            for ride, (_, driver_id) in zip(waiting, cars)
            if driver_id not in ride.refused_by
        ]
'''


def ride(ride_id: str = "ride", node: Any = 0, seats: Any = 1, refused_by: Any = (), requested_s: Any = 0.0) -> Any:
    place = Place(float(STREET.lat_deg[node]), float(STREET.lng_deg[node]), node)
    return Ride(
        ride_id, "r", "alice", ride_id, place, THERE, seats, 1, "USD", requested_s, refused_by=tuple(refused_by)
    )


def supply(**node_and_seats: Any) -> Any:
    nodes, seats = np.array(list(node_and_seats.values()), np.int64).reshape(-1, 2).T
    return SupplySnapshot(10.0, tuple(node_and_seats), nodes.copy(), seats.copy())


def pairs(name: str, waiting: Any, drivers: Any) -> Any:
    matches = make_policy(name, STREET).match(waiting, drivers, PARAMS, 10.0)
    return {match.ride_id: match.driver_id for match in matches}


# a=0 is asked for by a ride at 2 and one at 0; b=5 could serve the one at 2 as well.
WAITING = [ride("two", 2), ride("zero", 1, requested_s=1.0)]
DRIVERS = supply(a=(1, 4), b=(5, 4))


def test_nearest_serves_the_oldest_request_first_even_if_the_total_is_worse() -> None:
    assert pairs("nearest", WAITING, DRIVERS) == {"two": "a", "zero": "b"}


def test_greedy_takes_the_shortest_pickup_of_the_round_first() -> None:
    assert pairs("greedy", WAITING, DRIVERS) == {"two": "b", "zero": "a"}


def test_the_optimum_forgoes_a_short_pickup_for_a_better_total() -> None:
    # Greedy takes 10 s for the middle and is left with 50 s for the other; 20 + 20 is better.
    waiting, drivers = [ride("left", 0), ride("middle", 3)], supply(a=(2, 4), b=(5, 4))
    assert pairs("greedy", waiting, drivers) == {"left": "b", "middle": "a"}
    assert pairs("optimal", waiting, drivers) == {"left": "a", "middle": "b"}


@pytest.mark.parametrize("name", ["nearest", "greedy", "optimal", "expected"])
def test_no_built_in_policy_breaks_a_rule(name: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        drivers = supply(**{f"d{n}": (int(rng.integers(6)), int(rng.integers(1, 7))) for n in range(6)})
        waiting = [
            ride(f"r{n}", int(rng.integers(6)), int(rng.integers(1, 7)), [f"d{rng.integers(6)}"]) for n in range(6)
        ]
        decision = decide_safely(make_policy(name, STREET), waiting, drivers, PARAMS, 10.0)
        assert decision.faults == ()
        assert decision.policy == name


@pytest.mark.parametrize("from_file", [True, False])
def test_a_custom_policy_is_a_class_in_a_file_or_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_file: Any
) -> None:
    (tmp_path / "own_policy.py").write_text(OWN_POLICY)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"{tmp_path}/own_policy.py:LargestCar" if from_file else "own_policy:LargestCar"
    assert pairs(name, [ride()], supply(a=(0, 4), b=(5, 6))) == {"ride": "b"}
    sys.modules.pop("own_policy", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fastest", "choose expected, greedy, nearest, optimal, module:Class"),
        ("no.such.module:Class", "cannot be loaded: ModuleNotFoundError: No module"),
        ("no/such/file.py:Class", "cannot be loaded"),
        ("dispatch.model:Nothing", "cannot be loaded"),
        ("kernel.points:Place", "cannot be made of a road graph: TypeError"),
        ("builtins:repr", "has no method match"),
    ],
)
def test_an_unusable_policy_name_is_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make_policy(name, STREET)


class Misbehaving:
    """Returns the given matches."""

    def __init__(self, *matches: Any) -> None:
        self.matches = matches

    def match(self, waiting: Any, supply: Any, params: Any, now_s: float) -> Any:
        return self.matches


GOOD = MatchFound("two", "a", 10.0, 90.0)


@pytest.mark.parametrize(
    ("bad", "wrong"),
    [
        (MatchFound("zero", "a", 10.0, 1.0), "the driver has a ride already"),
        (MatchFound("two", "b", 10.0, 1.0), "the ride has a driver already"),
        (MatchFound("ghost", "b", 10.0, 1.0), "the ride does not wait"),
        (MatchFound("zero", "ghost", 10.0, 1.0), "the driver is not free"),
        (MatchFound("zero", "b", 101.0, 1.0), "a pickup in 101.0 s"),
        (MatchFound("zero", "b", float("nan"), 1.0), "is no offer"),
        (MatchFound("zero", "b", 10.0, float("inf")), "is no offer"),
        (MatchFound("group", "b", 10.0, 1.0), "4 seats, 6 are needed"),
        (MatchFound("refused", "b", 10.0, 1.0), "refused it before"),
    ],
)
def test_faulty_matches_are_reported_and_dropped_and_the_others_stay(bad: Any, wrong: Any) -> None:
    waiting = [*WAITING, ride("group", seats=6), ride("refused", refused_by=["b"])]
    engine = DispatchEngine(PARAMS, waiting, Misbehaving(GOOD, bad))
    decision = engine.decide_round(DRIVERS, 10.0)
    assert decision.matches == [GOOD]
    (fault,) = decision.faults
    assert fault.startswith("policy Misbehaving: ")
    assert wrong in fault
    assert engine.run_round(DRIVERS, 10.0) == [GOOD]


@pytest.mark.parametrize("nonsense", [None, 7, ("two", "a")])
def test_a_policy_that_raises_or_returns_nonsense_matches_nobody_and_is_reported(nonsense: Any) -> None:
    decision = decide_safely(Misbehaving(nonsense), WAITING, DRIVERS, PARAMS, 10.0)
    assert decision.matches == []
    assert decision.faults[0].startswith("policy Misbehaving: raised AttributeError")


def test_values_go_to_policies_that_use_them_and_to_no_other() -> None:
    assert pairs("optimal", [ride("ride", 2)], supply(a=(0, 4), b=(4, 4))) == {"ride": "a"}
    valued = make_policy("optimal", STREET, STREET_VALUES)
    (match,) = valued.match([ride("ride", 2)], supply(a=(0, 4), b=(4, 4)), PARAMS, 10.0)
    assert match.driver_id == "b"
    for name in ("greedy", "nearest", "tests.dispatch.matching.test_policies:Silent"):
        with pytest.raises(ValueError, match="has no use for position values"):
            make_policy(name, STREET, STREET_VALUES)


def test_the_driver_at_the_less_valuable_place_goes_if_the_gain_exceeds_the_longer_way() -> None:
    # By the values a place at 3 to 5 is worth twelve seconds of earning less than one at 0 to 2.
    policy = OptimalPolicy(STREET, position_value=STREET_VALUES)
    assert STREET_VALUES.move_gain_s([0, 3], [2, 2], [30.0, 30.0], 10.0) == pytest.approx([0.0, 12.0])
    for seconds, weight, expected in ((20.0, 1.0, "poor"), (20.0, 0.5, "rich"), (20.0, 0.0, "rich")):
        params = replace(PARAMS, score=ScoreWeights(position=weight))
        drivers = supply(poor=(4, 4), rich=(1, 4))  # twenty and ten seconds away
        assert policy.match([ride("ride", 2)], drivers, params, seconds)[0].driver_id == expected


def test_a_city_chooses_its_parameters_and_policy() -> None:
    params = read_params(
        {"dispatch": {"policy": "greedy", "batch_window_s": 1, "candidates_per_request": 5}}, DispatchParams
    )
    assert params == replace(DispatchParams(), policy="greedy", batch_window_s=1, candidates_per_request=5)
    assert read_params({}, DispatchParams) == DispatchParams()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"batch_windows": 1}, "not a key of this section; expected batch_window_s, perhaps"),
        ({"batch_window_s": "2"}, "batch_window_s is '2'; expected float"),
        ({"policy": 3}, "policy is 3; expected str"),
        ({"candidates_per_request": 2.5}, "candidates_per_request is 2.5; expected int"),
        ({"stale_after_s": True}, "stale_after_s is True; expected float"),
        ({"offer_ttl_s": -1.0}, "positive"),
    ],
)
def test_an_invalid_section_is_refused(section: Any, message: str) -> None:
    with pytest.raises(ParamsRefused, match=message):
        read_params({"dispatch": section}, DispatchParams)
