"""The assignment against two oracles: every permutation where that is possible, scipy where it is not."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dispatch.matching import assign

INFEASIBLE = -1e9


def _total(request, driver, score, chosen):
    best = {}
    for r, d, s in zip(request, driver, score, strict=True):
        best[int(r), int(d)] = max(best.get((int(r), int(d)), -np.inf), float(s))
    pairs = [(row, int(column)) for row, column in enumerate(chosen) if column >= 0]
    assert all(pair in best for pair in pairs), "an infeasible pair came back"
    columns = [column for _, column in pairs]
    assert len(set(columns)) == len(columns), "a driver was given twice"
    return sum(best[pair] for pair in pairs)


def _dense(request, driver, score, n_requests, n_drivers):
    matrix = np.full((n_requests, n_drivers), INFEASIBLE)
    np.maximum.at(matrix, (request, driver), score)
    return matrix


def _best_by_permutation(request, driver, score, n_requests, n_drivers):
    worth = np.maximum(_dense(request, driver, score, n_requests, n_drivers), 0.0)
    if n_requests > n_drivers:
        worth = worth.T
    rows = range(worth.shape[0])
    return max(sum(worth[row, p[row]] for row in rows) for p in permutations(range(worth.shape[1]), worth.shape[0]))


def _best_by_scipy(request, driver, score, n_requests, n_drivers):
    worth = np.maximum(_dense(request, driver, score, n_requests, n_drivers), 0.0)
    return worth[linear_sum_assignment(worth, maximize=True)].sum()


@st.composite
def _small_instances(draw):
    n_requests, n_drivers = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    edges = draw(
        st.lists(
            st.tuples(
                st.integers(0, n_requests - 1),
                st.integers(0, n_drivers - 1),
                st.one_of(st.integers(-3, 5).map(float), st.floats(-10, 100, width=32)),
            ),
            max_size=25,
        )
    )
    request, driver, score = (np.array(part) for part in zip(*edges, strict=True)) if edges else ([], [], [])
    return np.array(request, np.int64), np.array(driver, np.int64), np.array(score, float), n_requests, n_drivers


@given(_small_instances())
@settings(max_examples=400, deadline=None)
def test_no_permutation_is_worth_more(instance):
    chosen = assign(*instance)
    assert _total(*instance[:3], chosen) == pytest.approx(_best_by_permutation(*instance), rel=1e-9, abs=1e-9)


@given(_small_instances(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_edges_changes_nothing(instance, random):
    request, driver, score, n_requests, n_drivers = instance
    order = list(range(len(request)))
    random.shuffle(order)
    shuffled = assign(request[order], driver[order], score[order], n_requests, n_drivers)
    assert shuffled.tolist() == assign(*instance).tolist()


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", ["random", "tied", "clustered", "crowded"])
def test_equals_scipy_on_larger_instances(seed, kind):
    rng = np.random.default_rng(seed)
    n_requests, n_drivers = rng.integers(20, 120, 2)
    if kind == "crowded":
        n_requests *= 3
    k = int(rng.integers(1, min(12, n_drivers)))
    request = np.repeat(np.arange(n_requests), k)
    centre = rng.integers(0, n_drivers, n_requests)[request] if kind == "clustered" else 0
    driver = (centre + rng.integers(0, 15 if kind == "clustered" else n_drivers, len(request))) % n_drivers
    score = rng.integers(-2, 4, len(request)).astype(float) if kind == "tied" else rng.normal(300, 200, len(request))
    instance = (request, driver, score, int(n_requests), int(n_drivers))
    assert _total(*instance[:3], assign(*instance)) == pytest.approx(_best_by_scipy(*instance), rel=1e-9, abs=1e-9)


def test_leaves_a_request_alone_rather_than_lose_by_it():
    assert assign([0, 1], [0, 0], [-1.0, 0.0], 2, 1).tolist() == [-1, -1]


def test_a_later_request_takes_the_driver_whom_it_needs_more():
    assert assign([0, 0, 1], [0, 1, 0], [10.0, 9.0, 10.0], 2, 2).tolist() == [1, 0]


def test_nothing_to_match_is_an_answer():
    assert assign([], [], [], 3, 0).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (([0], [0, 1], [1.0]), "one length"),
        (([2], [0], [1.0]), "request indices must lie in 0..1"),
        (([0], [-1], [1.0]), "driver indices"),
        (([0], [0], [np.inf]), "finite"),
    ],
)
def test_refuses_what_makes_no_sense(edges, message):
    with pytest.raises(ValueError, match=message):
        assign(*edges, 2, 2)
