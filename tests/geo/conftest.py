"""Roads to test on: small ones drawn here, real ones from the shared data when it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo.roads.graph import RoadGraph

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Any:
    """Gives the path of a file of the shared data; skips the test where there is none."""

    def path_of(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs the shared data: ../shared/data/{name} from the project's root")
        return path

    return path_of


def lattice(side: int, seed: int, lat_deg: float = 47.0, lng_deg: float = 8.0) -> RoadGraph:
    """A square city of side x side crossings with uneven streets, a third of them one-way."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(side * side), side)
    lat = lat_deg + row * 0.001 + rng.uniform(-2e-4, 2e-4, side * side)
    lng = lng_deg + column * 0.0013 + rng.uniform(-2e-4, 2e-4, side * side)
    east, north = np.flatnonzero(column < side - 1), np.flatnonzero(row < side - 1)
    source, target = np.concatenate([east, north]), np.concatenate([east + 1, north + side])
    both = rng.random(source.size) > 1 / 3
    source, target = np.concatenate([source, target[both]]), np.concatenate([target, source[both]])
    length_m = rng.uniform(80, 160, source.size)
    return RoadGraph.from_arrays(lat, lng, source, target, length_m, length_m / rng.uniform(4, 14, source.size))


@pytest.fixture(scope="session")
def one_way_city() -> RoadGraph:
    return lattice(30, seed=3)


@pytest.fixture(scope="session")
def city_with_two_islands() -> RoadGraph:
    """Two streets with no bridge: 0 <-> 1, 2 -> 3."""
    return RoadGraph.from_arrays(
        [0.0, 0.0, 1.0, 1.0], [0.0, 0.001, 0.0, 0.001], [0, 1, 2], [1, 0, 3], [100, 100, 100], [10, 20, 30]
    )
