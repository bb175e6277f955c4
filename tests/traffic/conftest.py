"""A small town, and an engine that learns its traffic."""

from __future__ import annotations

import numpy as np
import pytest

from geo.roads.graph import RoadGraph
from tests.traffic.town import Town, grid


@pytest.fixture(scope="session")
def graph() -> RoadGraph:
    return grid()


@pytest.fixture
def town(graph: RoadGraph) -> Town:
    return Town(graph)


@pytest.fixture
def free(graph: RoadGraph) -> np.ndarray:
    """Free flow everywhere."""
    return np.ones(graph.edge_count)
