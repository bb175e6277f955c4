"""Step response of surge prices to a shock: overshoot, settling time, swings after settling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo.arrays import CellArray, FloatArray
from pricing.events import SurgeChanged


def price_series(
    changes: Sequence[SurgeChanged], cells: CellArray, begin_s: float, end_s: float, tick_s: float
) -> FloatArray:
    """The multipliers (t, c) as they stood after each tick from ``begin_s`` on, from the record of their changes."""
    ticks = int((end_s - begin_s) // tick_s)
    price = np.ones((ticks + 1, cells.shape[0]))
    for change in changes:
        tick = round((change.at_s - begin_s) / tick_s)
        price[tick:, np.searchsorted(cells, change.cell)] = change.multiplier
    return price


def swings(price: FloatArray, least: float) -> int:
    """Count the turning points of a series (t,) that go back by more than ``least`` of the price; 0 of an empty one."""
    if not price.size:  # the price had not settled by the end of the day
        return 0
    log_price, band = np.log(price), np.log1p(least)
    low = high = float(log_price[0])
    direction = turns = 0
    for value in log_price[1:].tolist():
        low, high = min(low, value), max(high, value)
        if direction >= 0 and value < high - band:
            turns += direction > 0
            direction, low, high = -1, value, value
        elif direction <= 0 and value > low + band:
            turns += direction < 0
            direction, low, high = 1, value, value
    return turns


@dataclass(frozen=True, slots=True)
class Response:
    """Step-response figures of one price series."""

    peak: float
    #: The peak over the level that the price stood at while the shock lasted, less one.
    overshoot: float
    #: How far it then fell below its level before the shock, as a share of that.
    undershoot: float
    #: From the end of the shock until the price was back at its level from before, within the tolerance, for good.
    settling_s: float


def response(price: FloatArray, tick_s: float, shock_s: tuple[float, float], tolerance: float) -> Response:
    """Read the answer to a shock off a series (t,) from its beginning; levels are medians.

    The level before is that of the half hour before the shock, the level of the shock that of its second half.
    """
    begin, end = (round(at_s / tick_s) for at_s in shock_s)
    before = float(np.median(price[max(begin - round(1800.0 / tick_s), 0) : begin]))
    held = float(np.median(price[(begin + end) // 2 : end]))
    after = price[end:]
    peak, low = float(price[begin:].max()), float(after.min())
    away = np.flatnonzero(np.abs(np.log(after / before)) > np.log1p(tolerance))
    settling_s = (int(away[-1]) + 1) * tick_s if away.size else 0.0
    return Response(peak, peak / held - 1.0, max(1.0 - low / before, 0.0), settling_s)
