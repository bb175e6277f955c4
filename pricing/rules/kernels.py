"""The controller's loops over dense cell indices. Each is a monotone map: where its inputs rise, no output falls.

That is what makes the whole monotone in demand and antitone in supply; the checks stand in the wrappers beside.
"""

from __future__ import annotations

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.jit import kernel


@kernel
def spread(offset: IntArray, origin: IntArray, share: FloatArray, idle: FloatArray) -> FloatArray:
    """Return what reaches each cell (c,): the idle drivers (c,) of other cells, each times its share."""
    supply = np.empty(idle.shape[0])
    for cell in range(idle.shape[0]):
        total = 0.0
        for at in range(offset[cell], offset[cell + 1]):
            total += share[at] * idle[origin[at]]
        supply[cell] = total
    return supply


@kernel
def shrunk_ratio(ancestor: IntArray, demand: FloatArray, supply: FloatArray, prior: float) -> FloatArray:
    """Return demand over supply (c,), each level shrunk toward the one above it, the region toward 1.

    ``ancestor (a, c)`` are dense numbers of the groups that hold a cell, the coarsest level first. What a parent says
    weighs as ``prior`` units of supply. Source: empirical Bayes, Efron and Morris 1975, doi:10.2307/2285814.
    """
    count = demand.shape[0]
    ratio = np.ones(count)
    for level in range(ancestor.shape[0]):
        group = ancestor[level]
        groups = 0
        for cell in range(count):
            groups = max(groups, group[cell] + 1)
        wanted, offered = np.zeros(groups), np.zeros(groups)
        for cell in range(count):
            wanted[group[cell]] += demand[cell]
            offered[group[cell]] += supply[cell]
        for cell in range(count):
            at = group[cell]
            ratio[cell] = (wanted[at] + prior * ratio[cell]) / (offered[at] + prior)
    for cell in range(count):
        ratio[cell] = (demand[cell] + prior * ratio[cell]) / (supply[cell] + prior)
    return ratio


@kernel
def smoothed(neighbour: IntArray, value: FloatArray, kappa: float, sweeps: int) -> FloatArray:
    """Return (I + kappa L)^-1 value (c,) on the graph of neighbours, by ``sweeps`` sweeps of Jacobi from ``value``.

    ``neighbour (c, d)`` are dense indices, -1 for none. Each sweep is a mean with positive weights, so any number of
    them keeps the range and the order of values; the error shrinks by kappa d / (1 + kappa d) in each.
    """
    before = value.copy()
    after = np.empty_like(value)
    for _ in range(sweeps):
        for cell in range(value.shape[0]):
            total, degree = 0.0, 0
            for side in range(neighbour.shape[1]):
                other = neighbour[cell, side]
                if other >= 0:
                    total += before[other]
                    degree += 1
            after[cell] = (value[cell] + kappa * total) / (1.0 + kappa * degree)
        before, after = after, before
    return before


@kernel
def lowered(neighbour: IntArray, value: FloatArray, difference: float) -> FloatArray:
    """Return the greatest values (c,) that are nowhere above ``value`` and differ by at most ``difference`` next door.

    Sweeps there and back until nothing changes: as often as a value has to travel round a bend, a few times in a city.
    """
    result = value.copy()
    count = value.shape[0]
    is_settled = False
    while not is_settled:
        is_settled = True
        for step in range(2 * count):
            cell = step if step < count else 2 * count - 1 - step
            for side in range(neighbour.shape[1]):
                other = neighbour[cell, side]
                if other >= 0 and result[other] + difference < result[cell]:
                    result[cell] = result[other] + difference
                    is_settled = False
    return result
