"""The surge multipliers of a region, in log space: a target from demand and supply, and a careful walk towards it.

At price m demand falls as m^(-e_d) and supply rises as m^(e_s); they clear where D m^(-e_d) = S m^(e_s), so at
m = (D / S)^(1 / (e_d + e_s)). In log space a rise and a fall of the same factor are steps of the same length.

Every operation is a monotone map that moves all values along when all inputs move by the same amount, and their order
is such that none undoes the bound of another: clip, smooth, widen to a band, bring neighbours together, and only then
step, which keeps the bound between neighbours because both ends of a step keep it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from pricing.model.surge import BASE_MULTIPLIER, SurgeParams
from pricing.rules.grid import SurgeGrid
from pricing.rules.kernels import lowered, shrunk_ratio, smoothed

FloatArray = npt.NDArray[np.float64]

#: Raised when the same inputs would give other prices.
RULES_VERSION = 3
#: An H3 cell has seven children: a request in a sibling is a seventh of the evidence that one in the cell is.
CHILDREN = 7
#: With the default smoothing each sweep leaves 3/8 of the error: five leave less than a hundredth of it.
SWEEPS = 5


class Bound(IntFlag):
    """What kept a price from its clearing value."""

    EVIDENCE = 1
    FLOOR = 2
    CAP = 4
    NEIGHBOURS = 8
    DEAD_BAND = 16
    STEP = 32
    #: No bound of the rules: nobody set prices for a while, and it faded meanwhile.
    FADED = 64


@dataclass(frozen=True, eq=False)
class Signals:
    """What prices are made of, one number per cell (c,): decayed counts, and drivers within reach."""

    requests: FloatArray
    quotes: FloatArray
    supply: FloatArray


@dataclass(frozen=True, eq=False)
class Move:
    """One tick: logs of multipliers (c,), and which bounds acted."""

    log_multiplier: FloatArray
    #: What would clear the cell, within floor, cap and evidence.
    target: FloatArray
    #: The target once smoothed and brought near its neighbours: what is walked to.
    wanted: FloatArray
    bounds: npt.NDArray[np.uint8]


def version_of(params: SurgeParams) -> str:
    """Name the rules and the parameters that a price was made by; the same name, the same prices."""
    return f"{RULES_VERSION}-{hashlib.sha256(repr(params).encode()).hexdigest()[:8]}"


def decay_factor(age_s: float, half_life_s: float) -> float:
    """Return what is left of 1 after ``age_s``: one half per half-life; 1 for a negative age."""
    return float(0.5 ** (max(age_s, 0.0) / half_life_s))


def evidence(grid: SurgeGrid, requests: FloatArray) -> FloatArray:
    """Return how many requests speak for each cell (c,): its own, and the less of others the farther they are related.

    Never more than there are in the region, so that fewer than the minimum there move no price anywhere.
    """
    total, known, weight = requests.copy(), requests, 1.0
    for group in grid.ancestor[::-1]:
        weight /= CHILDREN
        wider = np.bincount(group, requests)[group]
        total += weight * np.maximum(wider - known, 0.0)
        known = wider
    return total


def target_log_multiplier(grid: SurgeGrid, signals: Signals, params: SurgeParams) -> tuple[FloatArray, FloatArray]:
    """Return the log of the clearing multiplier (c,), within floor and cap and as far as evidence goes, and unbounded.

    A price above the base needs evidence: up to `minimum_requests` the answer is 0, from twice as many on it is the
    full one; the share in between keeps prices from flickering at the threshold. Quotes are no evidence, as asking
    costs nothing. Below the base idle drivers are evidence enough.
    Never falls with requests or quotes, never rises with supply.
    """
    demand = signals.requests + params.quote_weight * signals.quotes
    supply = signals.supply * params.requests_per_driver
    ratio = shrunk_ratio(grid.ancestor, demand, supply, params.prior_drivers * params.requests_per_driver)
    clearing = np.log(ratio) / (params.demand_elasticity + params.supply_elasticity)
    confidence = np.clip(evidence(grid, signals.requests) / params.minimum_requests - 1.0, 0.0, 1.0)
    believed = np.where(clearing > 0.0, confidence * clearing, clearing)
    return np.clip(believed, math.log(params.surge_floor), math.log(params.surge_cap)), clearing


def near_neighbours(grid: SurgeGrid, value: FloatArray, params: SurgeParams) -> FloatArray:
    """Return values (c,) that differ by at most `neighbour_ratio_max` next door.

    Half-way between the greatest such values below ``value`` and the least above it: a lone peak comes down as much as
    its surroundings go up.
    """
    difference = math.log(params.neighbour_ratio_max)
    below = lowered(grid.neighbour, value, difference)
    above = -lowered(grid.neighbour, -value, difference)
    return np.asarray(0.5 * (below + above))


def next_log_multiplier(grid: SurgeGrid, current: FloatArray, signals: Signals, params: SurgeParams) -> Move:
    """Take one step (c,) towards what clears the cells.

    ``current`` must be within floor, cap and the bound between neighbours; the answer is, then.
    """
    target, clearing = target_log_multiplier(grid, signals, params)
    smooth = smoothed(grid.neighbour, target, params.smoothing, SWEEPS)
    wanted = near_neighbours(grid, smooth, params)
    # Once the band is known: near the base its edges are steeper than its middle, and would break the bound.
    low, high = (near_neighbours(grid, edge, params) for edge in dead_band(smooth, params))
    held = np.clip(current, low, high)
    step_max = math.log1p(params.surge_step_max)
    after = current + np.clip(held - current, -step_max, step_max)
    # x + (y - x) may miss y by the last bit.
    after = np.where(np.abs(held - current) <= step_max, held, after)
    return Move(after, target, wanted, _bounds(current, target, clearing, wanted, held, after, params))


def dead_band(wanted: FloatArray, params: SurgeParams) -> tuple[FloatArray, FloatArray]:
    """Return the least and greatest log multiplier (c,) that need not move: those near the wanted one.

    At most half as far as the base is, so that every price leaves it that should and walks home to exactly 1, and never
    beyond floor and cap.
    """
    width = np.minimum(0.5 * np.abs(wanted), math.log1p(params.surge_hysteresis))
    low, high = math.log(params.surge_floor), math.log(params.surge_cap)
    return np.maximum(wanted - width, low), np.minimum(wanted + width, high)


def _bounds(
    current: FloatArray,
    target: FloatArray,
    clearing: FloatArray,
    wanted: FloatArray,
    held: FloatArray,
    after: FloatArray,
    params: SurgeParams,
) -> npt.NDArray[np.uint8]:
    """Which bounds made a difference of more than a ten-thousandth, as flags of `Bound` (c,)."""
    least = 1e-4
    low, high = math.log(params.surge_floor), math.log(params.surge_cap)
    acted = {
        Bound.EVIDENCE: (clearing > 0.0) & (target < np.minimum(clearing, high) - least),
        Bound.FLOOR: clearing < low - least,
        Bound.CAP: (clearing > high + least) & (target > high - least),
        Bound.NEIGHBOURS: np.abs(wanted - target) > least,
        Bound.DEAD_BAND: np.abs(held - wanted) > least,
        Bound.STEP: np.abs(after - held) > least,
    }
    flags = np.zeros(current.shape[0], np.uint8)
    for bound, where in acted.items():
        flags[where] |= np.uint8(bound)
    return flags


def adopted_log_multiplier(grid: SurgeGrid, multiplier: FloatArray, params: SurgeParams) -> FloatArray:
    """Return multipliers (c,) that stand, as logs within every bound of these parameters, lowered where need be."""
    bounded = np.log(np.clip(multiplier, params.surge_floor, params.surge_cap))
    return lowered(grid.neighbour, bounded, math.log(params.neighbour_ratio_max))


def multipliers(log_multiplier: FloatArray, params: SurgeParams) -> FloatArray:
    """Return the multipliers (c,): clipped again, since the exponential of a log may be off by the last bit."""
    return np.asarray(np.clip(np.exp(log_multiplier), params.surge_floor, params.surge_cap))


def aged_multiplier(multiplier: float, age_s: float, params: SurgeParams) -> float:
    """Return what a stored multiplier counts for ``age_s`` after its last renewal.

    All of it for half its life, so that late ticks do no harm; then it fades, evenly in log space, to 1.0.
    A price from the future (another host's clock) is a fresh one. The answer is within floor and cap.
    """
    life_left = (params.price_life_s - age_s) / (params.price_life_s / 2)
    share = min(max(life_left, 0.0), 1.0)
    bounded = min(max(multiplier, params.surge_floor), params.surge_cap)
    # A fresh price counts to the last bit: the next pricer goes on from it.
    faded = bounded if share == 1.0 else math.exp(math.log(bounded) * share)
    return min(max(faded, params.surge_floor), params.surge_cap) if share > 0.0 else BASE_MULTIPLIER
