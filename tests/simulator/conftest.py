"""A town of 5 by 5 corners, 100 m and 10 s apart, every street two-way."""

import pytest

from geo.roads.graph import RoadGraph
from simulator.model import Place
from simulator.streets.network import Streets
from tests.simulator.towns import SIDE, small_town


@pytest.fixture(scope="session")
def town() -> RoadGraph:
    return small_town()


@pytest.fixture(scope="session")
def streets(town: RoadGraph) -> Streets:
    return Streets(town)


@pytest.fixture
def corner(streets: Streets):
    def place(row: int, column: int) -> Place:
        return streets.place_of(row * SIDE + column)

    return place
