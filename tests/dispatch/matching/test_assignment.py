"""The assignment compared with every permutation for small inputs, and with scipy for large ones."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dispatch.matching import assign

INFEASIBLE = -1e9


def _total(request: pytest.FixtureRequest, driver: Any, score: Any, chosen: Any) -> Any:
    best: dict[Any, Any] = {}
    for r, d, s in zip(request, driver, score, strict=True):
        best[int(r), int(d)] = max(best.get((int(r), int(d)), -np.inf), float(s))
    pairs = [(row, int(column)) for row, column in enumerate(chosen) if column >= 0]
    assert all(pair in best for pair in pairs), "an infeasible pair came back"
    columns = [column for _, column in pairs]
    assert len(set(columns)) == len(columns), "a driver was given twice"
    return sum(best[pair] for pair in pairs)


def _dense(request: pytest.FixtureRequest, driver: Any, score: Any, n_requests: Any, n_drivers: Any) -> Any:
    matrix = np.full((n_requests, n_drivers), INFEASIBLE)
    np.maximum.at(matrix, (request, driver), score)
    return matrix


def _best_by_permutation(
    request: pytest.FixtureRequest, driver: Any, score: Any, n_requests: Any, n_drivers: Any
) -> Any:
    worth = np.maximum(_dense(request, driver, score, n_requests, n_drivers), 0.0)
    if n_requests > n_drivers:
        worth = worth.T
    rows = range(worth.shape[0])
    return max(sum(worth[row, p[row]] for row in rows) for p in permutations(range(worth.shape[1]), worth.shape[0]))


def _best_by_scipy(request: pytest.FixtureRequest, driver: Any, score: Any, n_requests: Any, n_drivers: Any) -> Any:
    worth = np.maximum(_dense(request, driver, score, n_requests, n_drivers), 0.0)
    return worth[linear_sum_assignment(worth, maximize=True)].sum()


@st.composite
def _small_instances(draw: Any) -> Any:
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
@settings(max_examples=200, deadline=None)
def test_no_permutation_scores_more(instance: Any) -> None:
    chosen = assign(*instance)
    assert _total(*instance[:3], chosen) == pytest.approx(_best_by_permutation(*instance), rel=1e-9, abs=1e-9)


@given(_small_instances(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_edges_changes_nothing(instance: Any, random: Any) -> None:
    request, driver, score, n_requests, n_drivers = instance
    order = list(range(len(request)))
    random.shuffle(order)
    shuffled = assign(request[order], driver[order], score[order], n_requests, n_drivers)
    assert shuffled.tolist() == assign(*instance).tolist()


def _pairs(rng: np.random.Generator, n_requests: Any, n_drivers: Any, k: Any) -> Any:
    request = np.repeat(np.arange(n_requests), k)
    return request, rng.integers(0, n_drivers, len(request))


def _random(rng: np.random.Generator) -> Any:
    m, n = rng.integers(5, 60, 2)
    request, driver = _pairs(rng, m, n, int(rng.integers(1, 12)))
    return request, driver, rng.normal(300, 200, len(request)), m, n


def _tied(rng: np.random.Generator) -> Any:
    request, driver, _, m, n = _random(rng)
    return request, driver, rng.integers(-2, 4, len(request)).astype(float), m, n


def _clustered(rng: np.random.Generator) -> Any:
    request, _, score, m, n = _random(rng)
    driver = (rng.integers(0, n, m)[request] + rng.integers(0, 8, len(request))) % n
    return request, driver, score, m, n


def _crowded(rng: np.random.Generator) -> Any:
    n = int(rng.integers(2, 20))
    request, driver = _pairs(rng, 90, n, 6)
    return request, driver, rng.normal(300, 100, len(request)), 90, n


def _stations(rng: np.random.Generator) -> Any:
    """Riders at a few stations: the same drivers at the same times, with waits of their own."""
    station, n = rng.integers(0, 4, 50), 30
    eta_s = rng.integers(10, 600, (4, n)) / 8
    request = np.repeat(np.arange(50), n)
    driver = np.tile(np.arange(n), 50)
    score = 60 - eta_s[station[request], driver] + rng.choice([0.0, 2.5], 50)[request]
    return request, driver, score, 50, n


def _degenerate(rng: np.random.Generator) -> Any:
    """Empty rows and columns, doubled edges, zeros and losses."""
    request, driver, score, m, n = _random(rng)
    some = rng.integers(0, len(request), len(request))
    return request[some] * 2, driver[some] * 3, np.round(score[some] - 300), 2 * m, 3 * n


def _chained(rng: np.random.Generator) -> Any:
    """Each request wants its neighbour's driver a little more than its own: one new row moves all the others."""
    m = int(rng.integers(5, 60))
    own = np.arange(m)
    request, driver = np.concatenate([own, own[1:]]), np.concatenate([own, own[1:] - 1])
    order = rng.permutation(m)
    return order[request], driver, np.concatenate([np.full(m, 100.0), 100.0 + rng.random(m - 1)]), m, m


def _wide(rng: np.random.Generator) -> Any:
    """Scores over twelve orders of magnitude."""
    request, driver, _, m, n = _random(rng)
    return request, driver, 10.0 ** rng.uniform(-6, 6, len(request)), m, n


def _machol_wien(rng: np.random.Generator) -> Any:
    """The costs i * j, which are hard for methods of this kind (Machol, Wien 1976, doi:10.1287/opre.24.1.190)."""
    m = int(rng.integers(3, 30))
    request, driver = np.divmod(np.arange(m * m), m)
    return request, driver, (m * m - (request + 1) * (driver + 1)).astype(float) + 1, m, m


KINDS = [_random, _tied, _clustered, _crowded, _stations, _degenerate, _chained, _wide, _machol_wien]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_scipy_on_hundreds_of_larger_instances(kind: Any) -> None:
    for seed in range(250):
        request, driver, score, m, n = kind(np.random.default_rng(seed))
        instance = request, driver, score, int(m), int(n)
        got, wanted = _total(request, driver, score, assign(*instance)), _best_by_scipy(*instance)
        assert got == pytest.approx(wanted, rel=1e-9), seed


def test_a_request_stays_unmatched_rather_than_lower_the_total() -> None:
    assert assign([0, 1], [0, 0], [-1.0, 0.0], 2, 1).tolist() == [-1, -1]


def test_a_later_request_takes_the_driver_whom_it_needs_more() -> None:
    assert assign([0, 0, 1], [0, 1, 0], [10.0, 9.0, 10.0], 2, 2).tolist() == [1, 0]


def test_empty_input_gives_an_empty_assignment() -> None:
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
def test_invalid_arguments_are_refused(edges: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assign(*edges, 2, 2)
