"""Weighted means by key that decay, and that are shrunk toward coarser ones where data are thin. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray

Keys = npt.NDArray[np.uint64]


class KeyedSums:
    """Weighted means by key, each shrunk toward what its parent says as if that had been seen ``prior_weight`` times.

    Source: empirical Bayes, Efron and Morris 1975, doi:10.2307/2285814.
    """

    def __init__(self, prior_weight: float) -> None:
        if not prior_weight > 0.0:
            raise ValueError(f"prior_weight must be positive, not {prior_weight}")
        self._prior_weight = prior_weight
        self._key: Keys = np.empty(0, np.uint64)
        self._total: FloatArray = np.empty(0)
        self._weight: FloatArray = np.empty(0)

    @property
    def columns(self) -> tuple[Keys, FloatArray, FloatArray]:
        """Keys (k,) ascending, with the weighted sum and the weight (k,) of each."""
        return self._key, self._total, self._weight

    @classmethod
    def of(cls, prior_weight: float, columns: tuple[Keys, FloatArray, FloatArray]) -> "KeyedSums":
        """Return the sums that had these ``columns``. Raises ValueError for columns that no sums ever had."""
        sums = cls(prior_weight)
        key, total, weight = columns
        if not key.shape == total.shape == weight.shape or (key[1:] <= key[:-1]).any():
            raise ValueError("keys must ascend, and have one sum and one weight each")
        if not (np.isfinite(total).all() and (weight >= 0.0).all() and np.isfinite(weight).all()):
            raise ValueError("sums and weights must be finite, and weights not negative")
        sums._key, sums._total, sums._weight = key.astype(np.uint64), total.astype(float), weight.astype(float)
        return sums

    def add(self, key: Keys, value: FloatArray, weight: FloatArray) -> None:
        """Take in observations (n,): values, and how much each weighs."""
        merged, row = np.unique(np.concatenate([self._key, key]), return_inverse=True)
        totals, weights = np.zeros(merged.shape[0]), np.zeros(merged.shape[0])
        np.add.at(totals, row, np.concatenate([self._total, value * weight]))
        np.add.at(weights, row, np.concatenate([self._weight, weight]))
        self._key, self._total, self._weight = merged, totals, weights

    def forget(self, kept_share: float) -> None:
        """Let everything seen so far count for only ``kept_share`` of itself; raises ValueError outside 0 to 1."""
        if not 0.0 <= kept_share <= 1.0:
            raise ValueError(f"kept_share must be 0 to 1, not {kept_share}")
        self._total *= kept_share
        self._weight *= kept_share

    def toward(self, key: Keys, parent: FloatArray) -> FloatArray:
        """Return the means (n,), shrunk toward ``parent`` (n,); the parent itself for keys never seen."""
        if self._key.shape[0] == 0:
            return parent
        place = np.minimum(np.searchsorted(self._key, key), self._key.shape[0] - 1)
        prior = self._prior_weight
        shrunk = (self._total[place] + prior * parent) / (self._weight[place] + prior)
        return np.where(self._key[place] == key, shrunk, parent)


class Chain:
    """Levels from coarse to fine, each shrunk toward the one before it, the first toward ``neutral``.

    All levels hold the same observations, so what is learned later about one key never changes what is known about
    another that has data of its own. An observation counts as no farther than ``reach`` from what its parent says.
    """

    def __init__(self, prior_weights: Sequence[float], neutral: float, reach: float = np.inf) -> None:
        self.levels = [KeyedSums(weight) for weight in prior_weights]
        self._neutral, self._reach = neutral, reach

    def learn(self, keys: Sequence[Keys], value: FloatArray, weight: FloatArray, kept_share: float) -> FloatArray:
        """Take in observations (n,), one vector of keys for each level; return the estimates (n,) that follow."""
        estimate = np.full(value.shape[0], self._neutral)
        for sums, key in zip(self.levels, keys, strict=True):
            sums.forget(kept_share)
            sums.add(key, np.clip(value, estimate - self._reach, estimate + self._reach), weight)
            estimate = sums.toward(key, estimate)
        return estimate

    def estimate(self, keys: Sequence[Keys]) -> FloatArray:
        """Return the estimates (n,) for one vector of keys for each level."""
        estimate = np.full(keys[0].shape[0], self._neutral)
        for sums, key in zip(self.levels, keys, strict=True):
            estimate = sums.toward(key, estimate)
        return estimate


def joint_key(*parts: npt.ArrayLike) -> Keys:
    """Return one key (n,) for a combination of integers (n,) each, among them cells.

    A 64-bit mixture (splitmix64, doi:10.1145/2714064.2660195): among a million combinations, two share a key with a
    chance of 1 in 40 million, and then only blur one mean.
    """
    key: Keys = np.zeros(1, np.uint64)
    for part in parts:
        mixed = (key ^ np.asarray(part).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key = mixed ^ (mixed >> np.uint64(31))
    return key
