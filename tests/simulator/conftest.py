"""A town of 5 by 5 corners, 100 m and 10 s apart, every street two-way."""

from __future__ import annotations

from typing import Any

import pytest

from geo.roads.graph import RoadGraph
from kernel.points import Point
from simulator.streets.network import Streets
from tests.simulator.towns import SIDE, small_town


@pytest.fixture(scope="session")
def town() -> RoadGraph:
    return small_town()


@pytest.fixture(scope="session")
def streets(town: RoadGraph) -> Streets:
    streets = Streets(town)
    streets.drive(streets.stand(0, 0.0), 24, 0.0, 1.0)  # compiles its kernels: no example has the time
    return streets


@pytest.fixture
def corner(streets: Streets) -> Any:
    def point(row: int, column: int) -> Point:
        return streets.point_of(row * SIDE + column)

    return point
