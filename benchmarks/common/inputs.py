"""Inputs that several benchmarks share: drivers strewn over a bay, and real or drawn roads."""

import numpy as np
import numpy.typing as npt

from benchmarks.common.measure import SHARED_DATA, Report
from geo.roads.graph import RoadGraph

BAY = ((37.2, 38.2), (-122.6, -121.7))
MPS_PER_MPH = 0.44704


def places(rng: np.random.Generator, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return lat, lng (count,): half spread over the bay, half round twelve town centres."""
    (south, north), (west, east) = BAY
    lat, lng = rng.uniform(south, north, count), rng.uniform(west, east, count)
    centre = np.column_stack([rng.uniform(south, north, 12), rng.uniform(west, east, 12)])
    town = centre[rng.integers(0, 12, count // 2)]
    lat[: count // 2] = town[:, 0] + rng.normal(0, 0.02, count // 2)
    lng[: count // 2] = town[:, 1] + rng.normal(0, 0.025, count // 2)
    return lat, lng


def lattice(side: int, seed: int) -> RoadGraph:
    """Return a square city with uneven streets, a third of them one-way."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(side * side), side)
    east, north = np.flatnonzero(column < side - 1), np.flatnonzero(row < side - 1)
    source, target = np.concatenate([east, north]), np.concatenate([east + 1, north + side])
    both = rng.random(source.size) > 1 / 3
    source, target = np.concatenate([source, target[both]]), np.concatenate([target, source[both]])
    length_m = rng.uniform(80, 160, source.size)
    lat, lng = 37.7 + row * 0.001, -122.4 + column * 0.0013
    return RoadGraph.from_arrays(lat, lng, source, target, length_m, length_m / rng.uniform(4, 14, source.size))


def bay_area(report: Report, *, small: bool) -> RoadGraph:
    """Return the drive graph of the San Francisco Bay Area, or a lattice of its size where it is absent."""
    folder = SHARED_DATA / "sf"
    if small or not folder.exists():
        report.note("roads: a tiny lattice" if small else "roads: a drawn lattice, for want of ../shared/data/sf")
        return lattice(20 if small else 175, seed=1)
    from pyarrow import parquet

    nodes, edges = (parquet.read_table(folder / f"bayarea_{name}.parquet") for name in ("nodes", "edges"))
    ids = nodes["osmid"].to_numpy()
    order = np.argsort(ids)
    source, target = (order[np.searchsorted(ids[order], edges[end].to_numpy())] for end in ("u", "v"))
    length_m, speed_mps = edges["length_m"].to_numpy(), edges["speed_mph"].to_numpy() * MPS_PER_MPH
    return RoadGraph.from_arrays(
        nodes["lat"].to_numpy(), nodes["lon"].to_numpy(), source, target, length_m, length_m / speed_mps
    )
