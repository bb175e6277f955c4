"""The surge multiplier of a cell, in log space: a target from demand and supply, and a careful walk towards it.

At price m demand falls as m^(-e_d) and supply rises as m^(e_s); they clear where D m^(-e_d) = S m^(e_s), so at
m = (D / S)^(1 / (e_d + e_s)). In log space a rise and a fall of the same factor are steps of the same length.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pricing.model import BASE_MULTIPLIER, SurgeParams

FloatArray = npt.NDArray[np.float64]

# An empty cell counts as half a driver: demand over nothing would ask for an infinite price.
SUPPLY_LEAST = 0.5


def decay_factor(age_s: float, half_life_s: float) -> float:
    """Return what is left of 1 after ``age_s``: one half per half-life; 1 for a negative age."""
    return float(0.5 ** (max(age_s, 0.0) / half_life_s))


def target_log_multiplier(requests: FloatArray, idle_drivers: FloatArray, params: SurgeParams) -> FloatArray:
    """Return the log of the clearing multiplier (c,), within floor and cap.

    ``requests (c,)`` are decayed counts. Up to `minimum_requests` the answer is 0 (no evidence, base price), from
    twice as many on it is the full one; the share in between keeps prices from flickering at the threshold.
    Never rises with supply. Never falls with demand, as long as it is above 0.
    """
    confidence = np.clip(requests / params.minimum_requests - 1.0, 0.0, 1.0)
    supply = np.maximum(idle_drivers, SUPPLY_LEAST) * params.requests_per_driver
    demand = np.maximum(requests, params.minimum_requests)  # below it, confidence is 0 and the value without meaning
    clearing = np.log(demand / supply) / (params.demand_elasticity + params.supply_elasticity)
    return np.asarray(np.clip(confidence * clearing, math.log(params.surge_floor), math.log(params.surge_cap)))


def next_log_multiplier(current: FloatArray, target: FloatArray, params: SurgeParams) -> FloatArray:
    """Return the log multipliers (c,) one tick on: towards the target by a bounded step.

    A gap within the hysteresis is left alone, except on the way home to the base price, which is walked to its end.
    """
    gap = target - current
    is_worth_it = (np.abs(gap) > math.log1p(params.surge_hysteresis)) | (target == 0.0)
    step_max = math.log1p(params.surge_step_max)
    stepped = np.where(np.abs(gap) <= step_max, target, current + np.clip(gap, -step_max, step_max))
    return np.where(is_worth_it, stepped, current)


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
    faded = math.exp(math.log(min(max(multiplier, params.surge_floor), params.surge_cap)) * share)
    return min(max(faded, params.surge_floor), params.surge_cap) if share > 0.0 else BASE_MULTIPLIER
