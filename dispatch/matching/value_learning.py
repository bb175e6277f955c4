"""Learns position values by TD(0) over the transitions of drivers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dispatch.matching.position_value import PositionValue, ValueParams, cells_of_nodes, fingerprint_of
from geo.arrays import FloatArray, IntArray
from geo.cells import parents
from geo.roads.graph import RoadGraph

#: A bin so many steps away in the day counts for a cell, and beyond that not at all; one step away for a half, two for
#: a quarter: an hour either way, in which a city's mood changes, at the default width.
NEIGHBOUR_BINS = 6
#: Sweeps end when no value moves by more than this, a hundredth of the smallest coin; it takes some hundred.
TOLERANCE_CENTS = 0.01
SWEEPS_MAX = 20_000


@dataclass(frozen=True)
class Transitions:
    """What drivers did, one row for each trip or wait, arrays (n,).

    Attributes:
        node, at_s: where and when a driver was free.
        next_node, next_s: where and when the driver was next free; later than `at_s`.
        fare_cents: the fare of the trip; 0 for waiting.
    """

    node: IntArray
    at_s: FloatArray
    next_node: IntArray
    next_s: FloatArray
    fare_cents: FloatArray

    def __post_init__(self) -> None:
        count = self.node.shape[0]
        for name in ("at_s", "next_node", "next_s", "fare_cents"):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"{name} must have shape ({count},), not {getattr(self, name).shape}")
        if not (self.next_s > self.at_s).all():
            raise ValueError("next_s must be later than at_s")

    def __len__(self) -> int:
        return int(self.node.shape[0])

    @classmethod
    def joined(cls, parts: Sequence[Transitions]) -> Transitions:
        """The rows of several together; there must be at least one."""
        names = ("node", "at_s", "next_node", "next_s", "fare_cents")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def spread_fares(fare_cents: FloatArray, duration_s: FloatArray, params: ValueParams) -> FloatArray:
    """The discounted value of fares (n,) at the start of trips of `duration_s` (n,), paid evenly over their steps.

    R' = (R / T) · (1 - g^T) / (1 - g) for T steps, at least one, as in Xu et al. 2018.
    """
    steps = np.maximum(duration_s / params.step_s, 1.0)
    worth: FloatArray = fare_cents / steps * (1.0 - params.discount**steps) / (1.0 - params.discount)
    return worth


def learn_values(transitions: Transitions, graph: RoadGraph, params: ValueParams | None = None) -> PositionValue:
    """Learn V so that V(s) = mean of [R' + g^Δt V(s')] over the transitions that begin in s.

    The rows are swept in a batch, each sweep being the mean of all TD(0) steps from the values before, until nothing
    moves: the limit of TD(0) with a falling learning rate over the same rows repeated for ever (Sutton and Barto 2018,
    section 6.3). A cell and bin of few transitions is shrunk toward its parent cell's mean, that toward the city's,
    and bins lend to their neighbours. Each estimate is a mean with weights from 0 to 1, so sweeps contract.
    Raises ValueError for no transition, or nodes that do not exist.
    """
    params = params or ValueParams()
    if not len(transitions):
        raise ValueError("there is nothing to learn from: no driver was seen to drive a rider")
    if min(transitions.node.min(), transitions.next_node.min()) < 0 or (
        max(transitions.node.max(), transitions.next_node.max()) >= graph.node_count
    ):
        raise ValueError(f"the transitions are of another city: this one has nodes 0 to {graph.node_count - 1}")
    cell, cell_of_node = cells_of_nodes(graph, params.resolution)
    duration_s = transitions.next_s - transitions.at_s
    reward_cents = spread_fares(transitions.fare_cents, duration_s, params)
    later = params.discount ** (duration_s / params.step_s)
    state = cell_of_node[transitions.node] * params.bins + params.bin_of(transitions.at_s)
    next_state = cell_of_node[transitions.next_node] * params.bins + params.bin_of(transitions.next_s)
    parent = np.unique(parents(cell, params.resolution - 1), return_inverse=True)[1]
    shape = cell.shape[0], params.bins
    visits = np.bincount(state, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    levels = _Levels(visits, parent.astype(np.int64), params.prior_visits)
    value = np.zeros(shape)
    for _ in range(SWEEPS_MAX):
        target = reward_cents + later * value.ravel()[next_state]
        total = np.bincount(state, target, shape[0] * shape[1]).astype(np.float64).reshape(shape)
        before, value = value, levels.shrunk(total)
        if np.abs(value - before).max() <= TOLERANCE_CENTS:
            break
    return PositionValue(params, cell, cell_of_node, value, visits, fingerprint_of(graph))


class _Levels:
    """Cell, parent cell, city: the means of each shrunk toward the level above (cf. `geo.learning.shrinkage`).

    Here the observations change with each sweep while keys and weights stay, so those are worked out once.
    """

    def __init__(self, visits: FloatArray, parent: IntArray, prior_visits: float) -> None:
        self._parent = parent
        self._prior = prior_visits
        self._all_visits = visits.sum()
        self._cell_visits = _smoothed(visits)
        self._parent_visits = _summed(self._cell_visits, parent)
        self._city_visits = self._cell_visits.sum(axis=0)

    def shrunk(self, total: FloatArray) -> FloatArray:
        """The estimates (c, b) for the sums of the targets by cell and bin, (c, b)."""
        prior, by_cell = self._prior, _smoothed(total)
        anywhere = total.sum() / self._all_visits
        city = (by_cell.sum(axis=0) + prior * anywhere) / (self._city_visits + prior)
        parent = (_summed(by_cell, self._parent) + prior * city) / (self._parent_visits + prior)
        value: FloatArray = (by_cell + prior * parent[self._parent]) / (self._cell_visits + prior)
        return value


def _smoothed(by_bin: FloatArray) -> FloatArray:
    """Sums (c, b) smoothed over neighbouring bins; the day is a ring."""
    lent = by_bin.copy()
    for steps in range(1, min(NEIGHBOUR_BINS, (by_bin.shape[1] - 1) // 2) + 1):
        lent += 0.5**steps * (np.roll(by_bin, steps, axis=1) + np.roll(by_bin, -steps, axis=1))
    return lent


def _summed(by_cell: FloatArray, parent: IntArray) -> FloatArray:
    summed = np.zeros((int(parent.max()) + 1, by_cell.shape[1]))
    np.add.at(summed, parent, by_cell)
    return summed
