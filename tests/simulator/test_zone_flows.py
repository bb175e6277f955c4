"""Flows between zones: they match the totals and keep the observed pair structure where possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.demand.stylised import stylised_flows, stylised_volumes
from simulator.demand.zone_flows import ZoneVolumes, balanced, distances_m, gravity, seed_of


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_balanced_flows_have_the_totals_that_were_asked_for(zones: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    origins, destinations = rng.uniform(0.0, 50.0, (2, zones))
    flows = balanced(rng.uniform(0.1, 3.0, (zones, zones)), origins, destinations)
    assert flows.sum(axis=1) == pytest.approx(origins)
    assert flows.sum(axis=0) == pytest.approx(destinations * origins.sum() / destinations.sum(), rel=1e-4)


def test_balancing_keeps_the_cross_ratios_of_the_seed() -> None:
    # Proportional fitting multiplies rows and columns, and nothing else: f_ab f_cd / (f_ad f_cb) cannot change.
    seed = np.array([[1.0, 4.0], [3.0, 2.0]])
    flows = balanced(seed, np.array([30.0, 10.0]), np.array([15.0, 25.0]))
    assert flows[0, 0] * flows[1, 1] / (flows[0, 1] * flows[1, 0]) == pytest.approx(2.0 / 12.0)


def test_flows_that_agree_already_are_left_alone() -> None:
    flows = np.array([[0.0, 4.0], [3.0, 0.0]])
    assert balanced(flows, np.array([4.0, 3.0]), np.array([3.0, 4.0])) == pytest.approx(flows)


def test_a_pair_that_the_seed_rules_out_stays_empty() -> None:
    flows = balanced(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([5.0, 5.0]), np.array([4.0, 6.0]))
    assert flows[0, 0] == 0.0
    assert flows.sum(axis=1) == pytest.approx([5.0, 5.0])


def test_gravity_travels_as_far_on_average_as_what_was_seen() -> None:
    rng = np.random.default_rng(3)
    distance_m = distances_m(37.75 + rng.uniform(-0.05, 0.05, 30), -122.4 + rng.uniform(-0.05, 0.05, 30))
    seen = rng.poisson(20.0 * np.exp(-distance_m / 2_500.0)) * ~np.eye(30, dtype=bool)
    model = gravity(distance_m, seen.astype(float))
    mean_m = (seen * distance_m).sum() / seen.sum()
    assert (model * distance_m).sum() / model.sum() == pytest.approx(mean_m, rel=1e-3)
    assert model.sum() == pytest.approx(seen.sum())
    assert not model.diagonal().any()


def test_pairs_that_nobody_travelled_are_still_possible() -> None:
    distance_m = distances_m(np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.01, 0.02]))
    seen = np.array([[7.0, 5.0, 0.0], [2.0, 0.0, 3.0], [1.0, 0.0, 0.0]])
    seed = seed_of(distance_m, seen)
    assert seed[0, 2] > 0.0
    assert not seed.diagonal().any()


def test_trips_that_all_stay_in_their_zone_say_nothing() -> None:
    with pytest.raises(ValueError, match="no observed trip leads from one zone to another"):
        seed_of(np.ones((2, 2)), np.diag([3.0, 4.0]))


@pytest.mark.parametrize(
    ("hour", "pickups", "message"),
    [
        ([0, 0], [[1.0], [1.0]], "hour must ascend"),
        ([-1, 0], [[1.0], [1.0]], "hour must ascend"),
        ([0], [[1.0], [1.0]], "shape"),
        ([0], [[-1.0]], "numbers from 0"),
        ([0], [[np.nan]], "numbers from 0"),
        ([0], [[0.0]], "not all 0"),
    ],
)
def test_volumes_that_make_no_sense_are_refused(hour: Any, pickups: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZoneVolumes(np.array(hour), np.array(pickups), np.ones((len(hour), 1)))


def test_a_sketched_day_has_its_trips_and_its_peaks() -> None:
    rng = np.random.default_rng(4)
    distance_m = distances_m(rng.uniform(-0.05, 0.05, 25), rng.uniform(-0.05, 0.05, 25))
    volumes = stylised_volumes(rng.integers(1, 40, 25), distance_m, 12_000.0)
    hourly = volumes.pickups.sum(axis=1)
    assert hourly.sum() == pytest.approx(12_000.0)
    assert hourly.argmax() == 18
    assert hourly.argmin() == 4
    flows = stylised_flows(distance_m, volumes)
    assert flows.sum(axis=1) == pytest.approx(volumes.pickups.sum(axis=0))
