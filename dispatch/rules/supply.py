"""Who may be asked in a round: the idle, and while they outnumber the requests also drivers who drop off soon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernel.supply import BoolArray


def aboard_considered(
    is_aboard: BoolArray, is_fresh: BoolArray, n_idle: int, n_waiting: int, chain_within_s: float
) -> BoolArray:
    """Who of those with a rider aboard and no ride or offer after it may be asked, (n,), if they drop off soon enough.

    Nobody while requests outnumber the idle: then it is each freed driver who chooses among riders, and the longer the
    queue, the nearer the nearest of them. Binding drivers before their dropoff makes that choice poorer, pickups
    longer and the queue longer yet; the figures are in decision 059.
    """
    if not chain_within_s or n_idle < n_waiting:
        return np.zeros(is_aboard.shape, np.bool_)
    return is_aboard & is_fresh


def may_be_asked(
    is_idle: BoolArray, is_considered: BoolArray, free_in_s: NDArray[np.float64], chain_within_s: float
) -> BoolArray:
    """Who may be asked, (n,): the idle, and those considered who drop off within ``chain_within_s``.

    ``free_in_s`` (n,) are seconds until the dropoff, read for those considered alone.
    """
    return is_idle | (is_considered & (free_in_s <= chain_within_s))
