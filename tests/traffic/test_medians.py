from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traffic.rules.medians import driver_medians, medians_by

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.floats(-3.0, 3.0)), min_size=1, max_size=60)


@given(rows)
def test_medians_are_those_of_the_standard_library(rows: list[tuple[int, int, float]]) -> None:
    of_group = defaultdict(list)
    for group, _, value in rows:
        of_group[group].append(value)
    groups, found, count = medians_by(np.array([row[0] for row in rows]), np.array([row[2] for row in rows]))
    assert groups.tolist() == sorted(of_group)
    assert found.tolist() == [median(of_group[group]) for group in sorted(of_group)]
    assert count.tolist() == [len(of_group[group]) for group in sorted(of_group)]


@given(rows, st.integers(1, 4))
def test_each_driver_counts_once_and_groups_with_few_drivers_not_at_all(
    rows: list[tuple[int, int, float]], drivers_min: int
) -> None:
    of_driver: Any = defaultdict(lambda: defaultdict(list))
    for group, driver, value in rows:
        of_driver[group][driver].append(value)
    expected = {
        group: median(map(median, drivers.values()))
        for group, drivers in of_driver.items()
        if len(drivers) >= drivers_min
    }
    group, driver, value = (np.array(column) for column in zip(*rows, strict=True))
    found, medians, _ = driver_medians(group, driver, value, drivers_min)
    assert dict(zip(found.tolist(), medians.tolist(), strict=True)) == expected


def test_no_drives_have_no_medians() -> None:
    groups, medians, count = driver_medians(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 3)
    assert len(groups) == len(medians) == len(count) == 0
