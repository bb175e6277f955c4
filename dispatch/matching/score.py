"""The score of every candidate pair at once, term by term, in seconds of pickup ETA.

The distance to the pickup is not a term: candidates come with road times, and riders wait in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatch.model import SupplySnapshot
from dispatch.weights import ScoreWeights
from geo.jit import kernel

Floats = NDArray[np.float64]

#: The terms in the order of the kernel's rows.
TERMS = ("pickup", "waited", "efficiency", "rating", "idle", "price", "position", "aboard", "car_time")
#: The greatest absolute value of a term: a year in seconds.
TERM_MAX = 3.2e7


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """The columns of the requests of a round that the score needs: arrays (m,)."""

    reach_s: Floats
    waited_s: Floats
    trip_s: Floats
    fare_cents: Floats


@dataclass(frozen=True, slots=True)
class Pairs:
    """The candidate pairs of a round: arrays (e,)."""

    request: NDArray[np.int64]
    driver: NDArray[np.int64]
    pickup_eta_s: Floats
    #: The driver's gain by where the trip ends, in seconds of earning; None without position values.
    move_gain_s: Floats | None = None


def score_terms(
    pairs: Pairs, requests: RequestColumns, supply: SupplySnapshot, weights: ScoreWeights
) -> dict[str, Floats]:
    """The terms of each pair's score by name, (e,) each, in seconds; their sum is the score.

    Only terms with a weight in this region are there. All are finite: NaN counts as 0, and a pair without a finite
    pickup ETA is not worth asking.
    """
    short = shortage(len(requests.reach_s), supply)
    gain = np.zeros(len(pairs.request)) if pairs.move_gain_s is None else pairs.move_gain_s
    rows = pair_terms(
        (pairs.request, pairs.driver, pairs.pickup_eta_s, gain),
        (requests.reach_s, requests.waited_s, requests.trip_s, requests.fare_cents),
        (stars_above_usual(supply, weights), idle_s(supply, weights), supply.free_in_s),
        (
            weights.waited * (1.0 - short),
            weights.efficiency_s,
            weights.rating_s_per_star,
            weights.idle,
            weights.price_s_per_cent,
            weights.position,
            weights.aboard,
            weights.car_time * short,
        ),
    )
    has_weight = _has_weight(weights, supply, short, has_gain=pairs.move_gain_s is not None)
    return {name: row for name, row in zip(TERMS, rows, strict=True) if has_weight[name]}


def _has_weight(weights: ScoreWeights, supply: SupplySnapshot, short: float, *, has_gain: bool) -> Mapping[str, bool]:
    return {
        "pickup": True,
        "waited": weights.waited > 0.0,
        "efficiency": weights.efficiency_s > 0.0,
        "rating": weights.rating_s_per_star > 0.0,
        "idle": weights.idle > 0.0,
        "price": weights.price_s_per_cent > 0.0,
        "position": weights.position > 0.0 and has_gain,
        "aboard": weights.aboard > 0.0 and bool(supply.free_in_s.any()),
        "car_time": weights.car_time > 0.0 and short > 0.0,
    }


def shortage(n_waiting: int, supply: SupplySnapshot) -> float:
    """The share of the waiting requests that must go without a car in this round: 0 while idle drivers are enough."""
    return max(0.0, 1.0 - supply.n_idle / n_waiting) if n_waiting else 0.0


def stars_above_usual(supply: SupplySnapshot, weights: ScoreWeights) -> Floats:
    """Each driver's mean rating against the usual one, (n,), shrunk toward it where ratings are few."""
    if supply.rating is None or supply.rating_count is None:
        return np.zeros(len(supply))
    count = np.maximum(supply.rating_count, 0)
    stars = np.where(count > 0, supply.rating - weights.rating_usual, 0.0)
    return np.asarray(stars * count / (count + weights.rating_usual_count))


def idle_s(supply: SupplySnapshot, weights: ScoreWeights) -> Floats:
    """How long each driver has been idle, (n,), at most `idle_s_max`; 0 where it is unknown."""
    if supply.idle_since_s is None:
        return np.zeros(len(supply))
    return np.clip(supply.now_s - supply.idle_since_s, 0.0, weights.idle_s_max)


@kernel
def pair_terms(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats],
    requests: tuple[Floats, Floats, Floats, Floats],
    drivers: tuple[Floats, Floats, Floats],
    weights: tuple[float, float, float, float, float, float, float, float],
) -> Floats:
    """The terms (9, e) of pairs (e,): request, driver, pickup ETA s, move gain s.

    `requests` (m,) are reach s, waited s, trip s, fare in minor units; `drivers` (n,) stars above the usual, idle s,
    s until free; `weights` those of the terms after the first, in the order of `TERMS`.
    """
    request, driver, pickup_eta_s, move_gain_s = pairs
    reach_s, waited_s, trip_s, fare_cents = requests
    stars, driver_idle_s, free_in_s = drivers
    waited, efficiency_s, rating, idle, price, position, aboard, car_time = weights
    terms = np.empty((9, len(request)))
    for e in range(len(request)):
        i, j, eta_s = request[e], driver[e], pickup_eta_s[e]
        terms[0, e] = _finite(reach_s[i] - eta_s) if np.isfinite(eta_s) else -TERM_MAX
        terms[1, e] = _finite(waited * waited_s[i])
        way_s = eta_s + trip_s[i]
        terms[2, e] = _finite(-efficiency_s * eta_s / way_s) if way_s > 0.0 else 0.0
        terms[3, e] = _finite(rating * stars[j])
        terms[4, e] = _finite(idle * driver_idle_s[j])
        terms[5, e] = _finite(price * fare_cents[i])
        terms[6, e] = _finite(position * move_gain_s[e])
        terms[7, e] = _finite(-aboard * free_in_s[j])
        # At most half of what the pickup saves: who is worth asking without it stays so, for a trip of any length.
        terms[8, e] = -min(_finite(car_time * way_s), max(terms[0, e], 0.0) / 2.0)
    return terms


@kernel
def _finite(value: float) -> float:
    """The value clipped to `TERM_MAX`; NaN is 0."""
    if np.isnan(value):
        return 0.0
    return min(max(value, -TERM_MAX), TERM_MAX)
