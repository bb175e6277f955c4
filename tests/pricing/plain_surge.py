"""Reference surge controller in plain Python: dictionaries, all pairs and dense matrices instead of index sweeps."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from pricing.model.surge import SurgeParams
from pricing.rules.grid import SurgeGrid


def shrunk_ratio(grid: SurgeGrid, demand: np.ndarray, supply: np.ndarray, prior: float) -> list[float]:
    def ratio_of(members: list[int], levels: int) -> float:
        above = 1.0
        if levels:
            row = grid.ancestor[levels - 1]
            above = ratio_of([cell for cell in range(len(grid)) if row[cell] == row[members[0]]], levels - 1)
        wanted, offered = (sum(values[cell] for cell in members) for values in (demand, supply))
        return (wanted + prior * above) / (offered + prior)

    return [ratio_of([cell], len(grid.ancestor)) for cell in range(len(grid))]


def evidence(grid: SurgeGrid, requests: np.ndarray) -> list[float]:
    found = []
    for cell in range(len(grid)):
        total, family, weight = requests[cell], {cell}, 1.0
        for row in reversed(grid.ancestor):
            weight /= 7.0
            wider = {other for other in range(len(grid)) if row[other] == row[cell]}
            total += weight * sum(requests[other] for other in wider - family)
            family = wider
        found.append(total)
    return found


def steps_between(grid: SurgeGrid) -> np.ndarray:
    steps = np.full((len(grid), len(grid)), math.inf)
    for start in range(len(grid)):
        steps[start, start] = 0.0
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            for other in grid.neighbour[cell]:
                if other >= 0 and steps[start, other] == math.inf:
                    steps[start, other] = steps[start, cell] + 1.0
                    queue.append(other)
    return steps


def smoothed(grid: SurgeGrid, value: np.ndarray, kappa: float, sweeps: int) -> np.ndarray:
    adjacent = (steps_between(grid) == 1.0).astype(float)
    diagonal = 1.0 + kappa * adjacent.sum(axis=1)
    sweep = kappa * adjacent / diagonal[:, None]
    result = value
    for _ in range(sweeps):
        result = value / diagonal + sweep @ result
    return result


def near_neighbours(grid: SurgeGrid, value: np.ndarray, params: SurgeParams) -> np.ndarray:
    away = math.log(params.neighbour_ratio_max) * steps_between(grid)
    return ((value + away).min(axis=1) + (value - away).max(axis=1)) / 2.0


def walked(current: float, low: float, high: float, params: SurgeParams) -> float:
    """One cell's step towards a band that need not move."""
    goal = low if current < low else high if current > high else current
    step = math.log1p(params.surge_step_max)
    return goal if abs(goal - current) <= step else current + math.copysign(step, goal - current)


def band(wanted: float, params: SurgeParams) -> tuple[float, float]:
    """A share of the price to both sides, less near the base, within floor and cap."""
    width = min(0.5 * abs(wanted), math.log1p(params.surge_hysteresis))
    return max(wanted - width, math.log(params.surge_floor)), min(wanted + width, math.log(params.surge_cap))


def next_log_multiplier(
    grid: SurgeGrid, current: np.ndarray, requests: np.ndarray, quotes: np.ndarray, supply: np.ndarray, p: SurgeParams
) -> list[float]:
    ratio = shrunk_ratio(
        grid,
        requests + p.quote_weight * quotes,
        supply * p.requests_per_driver,
        p.prior_drivers * p.requests_per_driver,
    )
    target = []
    for q, known in zip(ratio, evidence(grid, requests), strict=True):
        clearing = math.log(q) / (p.demand_elasticity + p.supply_elasticity)
        share = min(max(known / p.minimum_requests - 1.0, 0.0), 1.0) if clearing > 0.0 else 1.0
        target.append(min(max(share * clearing, math.log(p.surge_floor)), math.log(p.surge_cap)))
    wanted = smoothed(grid, np.array(target), p.smoothing, 5)
    edges = (near_neighbours(grid, np.array(edge), p) for edge in zip(*(band(w, p) for w in wanted), strict=True))
    return [walked(x, low, high, p) for x, low, high in zip(current, *edges, strict=True)]
