"""What the drives of one update ask for: by region, cell and edge, each the median over distinct drivers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo.arrays import FloatArray, IntArray
from traffic.model import LearnedTrafficParams
from traffic.rules.drives import RecentDrives
from traffic.rules.medians import driver_medians


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What drives ask for.

    Attributes:
        factor: (m,) what each edge should be.
        edge: (k,) those that drivers of their own have moved.
    """

    factor: FloatArray
    edge: IntArray


def expected_factor(in_force: FloatArray, base: FloatArray, age_s: float, half_life_s: float) -> FloatArray:
    """Return the factors (m,) to expect without any drives: those in force, on their way back to ``base``."""
    kept = 0.5 ** (max(age_s, 0.0) / half_life_s)
    factor: FloatArray = base * (in_force / base) ** kept
    return factor


def asked_factor(
    fresh: RecentDrives,
    waiting: RecentDrives,
    expected: FloatArray,
    cell_of_edge: IntArray,
    params: LearnedTrafficParams,
) -> Asked:
    """Return what drives ask for, given the factors (m,) expected without them.

    ``fresh`` are the steps of this update: they move the region and its cells. Edges are moved by the parts in
    ``waiting``, to which the fresh ones belong. What is found weighs by its number of drivers, what is expected by
    `prior_drivers`: empirical Bayes as in `geo.learning.shrinkage`, coarse levels before fine ones.
    """
    limits = 1.0 / params.faster_max, params.slower_max
    factor = _moved(fresh, expected, np.zeros(len(cell_of_edge), np.int64), 1, params.region_drivers_min, params)[0]
    factor, _ = _moved(fresh, factor, cell_of_edge, int(cell_of_edge.max(initial=0)) + 1, params.drivers_min, params)
    edges = np.arange(len(cell_of_edge))
    factor, moved = _moved(waiting, factor, edges, len(edges), params.drivers_min, params, waiting_only=True)
    return Asked(np.clip(factor, *limits), moved)


def _moved(
    drives: RecentDrives,
    factor: FloatArray,
    group_of_edge: IntArray,
    groups: int,
    drivers_min: int,
    params: LearnedTrafficParams,
    *,
    waiting_only: bool = False,
) -> tuple[FloatArray, IntArray]:
    """Return the factors (m,) moved by group of edges, and which groups were moved."""
    part = np.flatnonzero(drives.is_waiting) if waiting_only else np.arange(len(drives.step))
    step = drives.step[part]
    found, median, drivers = driver_medians(
        group_of_edge[drives.edge[part]], drives.driver[step], drives.slowness(factor)[step], drivers_min
    )
    change = np.zeros(groups)
    change[found] = median * drivers / (drivers + params.prior_drivers)
    return factor * np.exp(change)[group_of_edge], found


def limited(in_force: FloatArray, asked: FloatArray, length_m: FloatArray, params: LearnedTrafficParams) -> FloatArray:
    """Return the factors (m,) on the way from those in force to those asked for, as far as one update may go."""
    change = np.log(asked / in_force)
    edge_max = np.log(params.edge_change_max)
    change = np.clip(change, -edge_max, edge_max)
    mean = mean_by_length(np.abs(change), length_m)
    region_max = float(np.log(params.region_change_max))
    if mean > region_max:
        change *= region_max / mean
    factor: FloatArray = in_force * np.exp(change)
    return factor


def mean_by_length(value: FloatArray, length_m: FloatArray) -> float:
    """Return the mean of ``value (m,)`` over the metres of the edges; plain where all have length 0."""
    total_m = float(length_m.sum())
    return float((value * length_m).sum() / total_m) if total_m > 0.0 else float(value.mean())
