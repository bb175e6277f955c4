"""Where idle drivers are wanted: how many in each zone, which moves get them there, and who is sent where.

Drivers are spread toward the demand to come with a floor in each zone, by the cheapest moves: a transport problem
(Pavone et al. 2012, doi:10.1177/0278364912444766), solved by the `FlowSolver` that is handed in. Each driver is drawn
one of the moves that are still open from the own zone, or staying, by a logit choice in which a zone is worth less the
fuller it is: no two drivers are given the same move, so advice does not crowd one place by emptying another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.model.advice import RepositioningParams

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Transport:
    """Drivers to be moved at the least cost.

    Attributes:
        origin, destination, cost_s: (e,) the moves there may be.
        idle: (z,) drivers in each zone; no more can leave it.
        target: (z,) drivers wanted there in the end.
        missing_s: what each driver costs who is missing then.
    """

    origin: IntArray
    destination: IntArray
    cost_s: FloatArray
    idle: IntArray
    target: IntArray
    missing_s: float


#: Returns how many drivers (e,) make each move.
FlowSolver = Callable[[Transport], IntArray]


def targets(idle: int, forecast: npt.ArrayLike, params: RepositioningParams) -> IntArray:
    """Return the drivers wanted in each zone (z,), ``idle`` in all: the floor where there are enough, then by demand.

    ``forecast`` (z,) are the requests to expect. Remainders go to the greatest fractions, ties to the first zone.
    """
    expected = np.asarray(forecast, np.float64)
    weight = np.where(expected > 0.0, expected, 0.0) ** params.demand_power
    wanted = np.where(expected > 0.0, params.floor, 0).astype(np.int64)
    if not weight.sum() > 0.0 or wanted.sum() > idle:
        wanted[:] = 0  # too few for a floor everywhere: where demand is
    if not weight.sum() > 0.0:
        return wanted
    share = (idle - wanted.sum()) * weight / weight.sum()
    wanted += np.floor(share).astype(np.int64)
    left = int(idle - wanted.sum())
    wanted[np.argsort(-(share % 1.0), kind="stable")[:left]] += 1
    return wanted


def plan(
    idle: IntArray, forecast: npt.ArrayLike, eta_s: FloatArray, solve: FlowSolver, params: RepositioningParams
) -> Advice:
    """Return the moves (z, z) that bring idle drivers (z,) nearest to where they are wanted."""
    target = targets(int(idle.sum()), forecast, params)
    origin, destination = np.nonzero((eta_s <= params.reach_s) & (idle > 0)[:, None] & (target > 0)[None, :])
    is_move = origin != destination
    origin, destination = origin[is_move], destination[is_move]
    cost_s = eta_s[origin, destination]
    moves = solve(Transport(origin, destination, cost_s, idle, target, params.missing_s))
    open_moves = np.zeros(eta_s.shape, np.int64)
    open_moves[origin, destination] = moves
    return Advice(open_moves, idle, target, eta_s, params)


class Advice:
    """The open moves of one plan. Each driver who asks takes one, or stays."""

    def __init__(
        self, moves: IntArray, idle: IntArray, target: IntArray, eta_s: FloatArray, params: RepositioningParams
    ) -> None:
        self._open = moves.copy()
        self._present = idle.astype(np.float64)
        self._target = np.maximum(target, 1).astype(np.float64)
        self._eta_s = eta_s
        self._params = params

    @property
    def open_moves(self) -> IntArray:
        """How many drivers (z, z) may still be sent from where to where."""
        return self._open

    def take(self, zone: int, draw: Callable[[int], FloatArray]) -> int:
        """Return where a driver in a zone had better wait; the zone itself if there.

        ``draw(n)`` gives n numbers of the standard Gumbel distribution.
        """
        options = np.concatenate([[zone], np.flatnonzero(self._open[zone])])
        if options.size == 1:
            return zone
        crowd = self._present[options] / self._target[options]
        worth_s = -self._eta_s[zone, options] - self._params.crowding_s * crowd
        worth_s[0] = -self._params.crowding_s * crowd[0]
        chosen = int(options[np.argmax(worth_s / self._params.indifference_s + draw(options.size))])
        if chosen != zone:
            self._open[zone, chosen] -= 1
            self._present[zone] -= 1.0
            self._present[chosen] += 1.0
        return chosen
