"""The cheapest moves of idle drivers, by the solver HiGHS in scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack

from pricing.rules.repositioning import Transport


def solve_transport(problem: Transport) -> npt.NDArray[np.int64]:
    """Return how many drivers (e,) make each move; meets `FlowSolver`.

    A linear program whose corners are whole numbers, for every column of its matrix leaves one zone and enters one.
    Raises RuntimeError if the solver fails, which it has no reason to: doing nothing is always allowed.
    """
    moves, zones = problem.cost_s.shape[0], problem.idle.shape[0]
    if not moves:
        return np.zeros(0, np.int64)
    move, zone = np.arange(moves), np.arange(zones)
    one = np.ones(moves)
    # Short of the target: leaving - entering - missing <= idle - target. No more leave than are there: leaving <= idle.
    short = csr_array(
        (
            np.concatenate([one, -one, -np.ones(zones)]),
            (np.concatenate([problem.origin, problem.destination, zone]), np.concatenate([move, move, moves + zone])),
        ),
        shape=(zones, moves + zones),
    )
    leaving = csr_array((one, (problem.origin, move)), shape=(zones, moves + zones))
    constraints: Any = vstack([short, leaving])  # the stubs know dense ones alone
    found = linprog(
        np.concatenate([problem.cost_s, np.full(zones, problem.missing_s)]),
        A_ub=constraints,
        b_ub=np.concatenate([problem.idle - problem.target, problem.idle]),
        method="highs-ds",
    )
    if found.x is None:
        raise RuntimeError(f"moves of idle drivers could not be planned: {found.message}")
    return np.asarray(np.rint(found.x[:moves]), np.int64)
