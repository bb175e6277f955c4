from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from geo.learning.shrinkage import Chain, KeyedSums, joint_key


def test_means_are_those_of_a_dictionary_kept_by_hand() -> None:
    rng = np.random.default_rng(0)
    sums = KeyedSums(3.0)
    by_hand: defaultdict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for kept_share in (1.0, 0.5, 0.9):
        key, value, weight = rng.integers(0, 40, 200).astype(np.uint64), rng.normal(0, 1, 200), rng.uniform(0, 2, 200)
        sums.forget(kept_share)
        for pair in by_hand.values():
            pair[0], pair[1] = pair[0] * kept_share, pair[1] * kept_share
        sums.add(key, value, weight)
        for one, amount, weighs in zip(key.tolist(), value, weight, strict=True):
            by_hand[one][0] += amount * weighs
            by_hand[one][1] += weighs
    asked = np.arange(60, dtype=np.uint64)
    parent = rng.normal(0, 1, 60)
    expected = [(by_hand[one][0] + 3.0 * parent[one]) / (by_hand[one][1] + 3.0) for one in range(60)]
    assert np.allclose(sums.toward(asked, parent), expected)


def test_thin_data_is_hardly_believed_and_much_data_is() -> None:
    sums = KeyedSums(10.0)
    sums.add(np.array([1, 2], np.uint64), np.array([5.0, 5.0]), np.array([1.0, 1000.0]))
    thin, thick, unseen = sums.toward(np.array([1, 2, 3], np.uint64), np.full(3, 1.0))
    assert thin == pytest.approx(15 / 11)
    assert thick == pytest.approx(5.0, rel=0.02)
    assert unseen == 1.0


def test_a_chain_gives_every_key_the_detail_its_data_can_bear() -> None:
    chain = Chain([1.0, 5.0], neutral=0.0)
    coarse, fine = np.zeros(101, np.uint64), np.append(np.zeros(100), 1).astype(np.uint64)
    value = np.append(np.full(100, 2.0), 10.0)
    chain.learn([coarse, fine], value, np.ones(101), 1.0)
    much, little, none = chain.estimate([np.array([0, 0, 7], np.uint64), np.array([0, 1, 9], np.uint64)])
    assert much == pytest.approx(2.0, abs=0.05)
    assert 2.0 < little < 4.0
    assert none == 0.0


def test_a_wild_observation_counts_no_farther_than_its_reach() -> None:
    chain, key = Chain([1.0], neutral=0.0, reach=0.5), np.zeros(1, np.uint64)
    assert chain.learn([key], np.array([1000.0]), np.ones(1), 1.0) == 0.25


def test_combinations_have_keys_of_their_own() -> None:
    first, second = (part.ravel() for part in np.meshgrid(np.arange(1000), np.arange(300)))
    assert np.unique(joint_key(first, second)).size == 300_000
    assert (joint_key([1], [2]) != joint_key([2], [1])).all()


def test_invalid_input_is_refused() -> None:
    with pytest.raises(ValueError, match="prior_weight"):
        KeyedSums(0.0)
    with pytest.raises(ValueError, match="kept_share"):
        KeyedSums(1.0).forget(1.5)
