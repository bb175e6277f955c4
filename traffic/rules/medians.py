"""Medians by group, over many values at once."""

from __future__ import annotations

import numpy as np

from geo.arrays import FloatArray, IntArray


def medians_by(group: IntArray, value: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Return the groups (g,) ascending, with the median of their values (g,) and how many there are (g,).

    ``group (n,)`` are integers, ``value (n,)`` finite.
    """
    order = np.lexsort((value, group))
    sorted_value = value[order]
    groups, start, count = np.unique(group[order], return_index=True, return_counts=True)
    low, high = start + (count - 1) // 2, start + count // 2
    return groups, (sorted_value[low] + sorted_value[high]) / 2.0, count


def driver_medians(
    group: IntArray, driver: IntArray, value: FloatArray, drivers_min: int
) -> tuple[IntArray, FloatArray, IntArray]:
    """Return the median over distinct drivers of each group with at least ``drivers_min`` of them, and their number.

    Each driver counts once, with the median of the own values: who drives a street ten times says no more than others.
    """
    if group.shape[0] == 0:
        return group, value, group
    drivers = int(driver.max()) + 1
    pair, own, _ = medians_by(group * drivers + driver, value)
    groups, median, count = medians_by(pair // drivers, own)
    is_enough = count >= drivers_min
    return groups[is_enough], median[is_enough], count[is_enough]
