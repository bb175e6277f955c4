"""A town of 5 by 5 corners, 100 m and 10 s apart, every street two-way."""

import numpy as np
import pytest

from geo.roads import RoadGraph
from simulator.model import Place
from simulator.streets import Streets

SIDE = 5
STEP_DEG = 0.0009


@pytest.fixture(scope="session")
def town() -> RoadGraph:
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    edges = [
        (node, other)
        for node in range(SIDE * SIDE)
        for other in range(SIDE * SIDE)
        if abs(row[node] - row[other]) + abs(column[node] - column[other]) == 1
    ]
    source, target = zip(*edges, strict=True)
    return RoadGraph.from_arrays(
        row * STEP_DEG, column * STEP_DEG, source, target, np.full(len(edges), 100.0), np.full(len(edges), 10.0)
    )


@pytest.fixture(scope="session")
def streets(town: RoadGraph) -> Streets:
    return Streets(town)


@pytest.fixture
def corner(streets: Streets):
    def place(row: int, column: int) -> Place:
        return streets.place_of(row * SIDE + column)

    return place
