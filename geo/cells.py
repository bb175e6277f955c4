"""H3 cells: places to cells, disks and rings, names and outlines. The only file that imports h3.

Cells are uint64 ids; as text they are h3's hexadecimal names. Order is (lat, lng) in degrees.
Source: the H3 documentation, https://h3geo.org/docs/.
"""

from collections.abc import Iterable

import h3.api.basic_int as h3
import numpy as np
import numpy.typing as npt

from geo.arrays import CellArray, FloatArray, coordinates

RESOLUTION_MAX = 15
# A disk of 1,000 steps has three million cells: more than any search or map of a city wants.
STEPS_MAX = 1_000


def latlng_to_cells(lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike, resolution: int) -> CellArray:
    """Return the cells (n,) uint64 that hold the places.

    Compute at the resolution you need: a parent of a finer cell is not always the cell that holds the place.
    Raises ValueError for a resolution outside 0 to 15, or coordinates that are not places.
    """
    lat, lng = coordinates(lat_deg, lng_deg)
    _check_resolution(resolution)
    return np.array(
        [h3.latlng_to_cell(a, b, resolution) for a, b in zip(lat.tolist(), lng.tolist(), strict=True)],
        dtype=np.uint64,
    )


def cell_to_latlng(cells: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the centres (lat_deg (n,), lng_deg (n,)) of the cells; raises ValueError if one is not a cell."""
    checked = _check_cells(cells)
    centre = np.array([h3.cell_to_latlng(cell) for cell in checked.tolist()], dtype=np.float64).reshape(-1, 2)
    return centre[:, 0].copy(), centre[:, 1].copy()


def disk(cell: int, k: int) -> CellArray:
    """Return all cells within k steps of ``cell``, ascending by id; fewer than elsewhere round a pentagon.

    Raises ValueError if it is not a cell or k is outside 0 to STEPS_MAX.
    """
    _check_steps(k)
    return np.sort(np.array(h3.grid_disk(_check_cell(cell), k), dtype=np.uint64))


def ring(cell: int, k: int) -> CellArray:
    """Return the cells at exactly k steps, ascending by id: a difference of disks, so right at pentagons too.

    Raises ValueError as ``disk`` does.
    """
    return disk(cell, k) if k == 0 else np.setdiff1d(disk(cell, k), disk(cell, k - 1), assume_unique=True)


def parents(cells: npt.ArrayLike, resolution: int) -> CellArray:
    """Return the ancestors (n,) of the cells at a coarser (or the same) resolution.

    Raises ValueError if one is not a cell, or is coarser than ``resolution``.
    """
    _check_resolution(resolution)
    checked = _check_cells(cells).tolist()
    if any(h3.get_resolution(cell) < resolution for cell in checked):
        raise ValueError(f"a cell is already coarser than resolution {resolution}")
    return np.array([h3.cell_to_parent(cell, resolution) for cell in checked], dtype=np.uint64)


def resolution_of(cell: int) -> int:
    """Return the resolution of a cell, 0 to 15; raises ValueError if it is not a cell."""
    return int(h3.get_resolution(_check_cell(cell)))


def is_valid_cell(cell: int | str) -> bool:
    """Say whether an id, or its hexadecimal name, is an H3 cell."""
    try:
        return bool(h3.is_valid_cell(h3.str_to_int(cell) if isinstance(cell, str) else int(cell)))
    except (ValueError, OverflowError, TypeError):
        return False


def is_pentagon(cell: int) -> bool:
    """Say whether a cell is one of the twelve pentagons of its resolution; raises ValueError if it is not a cell."""
    return bool(h3.is_pentagon(_check_cell(cell)))


def pentagons(resolution: int) -> CellArray:
    """Return the twelve pentagons of a resolution, ascending by id."""
    _check_resolution(resolution)
    return np.sort(np.array(h3.get_pentagons(resolution), dtype=np.uint64))


def cells_to_strings(cells: npt.ArrayLike) -> list[str]:
    """Return h3's hexadecimal names of the cells, as every other tool writes them."""
    return [format(cell, "x") for cell in _check_cells(cells).tolist()]


def string_to_cell(name: str) -> int:
    """Return the id of a cell named in hexadecimal; raises ValueError if the name is of no cell."""
    if not is_valid_cell(name):
        raise ValueError(f"{name!r} is not the name of an H3 cell")
    return int(h3.str_to_int(name))


def cell_boundary(cell: int) -> FloatArray:
    """Return the corners (5 to 10, 2) of a cell as lat, lng in degrees, counter-clockwise, not closed.

    Raises ValueError if it is not a cell.
    """
    return np.array(h3.cell_to_boundary(_check_cell(cell)), dtype=np.float64)


def _check_resolution(resolution: int) -> None:
    if not 0 <= resolution <= RESOLUTION_MAX:
        raise ValueError(f"resolution must be 0 to {RESOLUTION_MAX}, not {resolution}")


def _check_steps(k: int) -> None:
    if not 0 <= k <= STEPS_MAX:
        raise ValueError(f"k must be 0 to {STEPS_MAX} steps, not {k}")


def _check_cell(cell: int) -> int:
    if not is_valid_cell(int(cell)):
        raise ValueError(f"{int(cell)} is not an H3 cell")
    return int(cell)


def _check_cells(cells: npt.ArrayLike) -> CellArray:
    checked = np.atleast_1d(np.asarray(cells, dtype=np.uint64))
    _raise_on_first(cell for cell in checked.tolist() if not h3.is_valid_cell(cell))
    return checked


def _raise_on_first(wrong: Iterable[int]) -> None:
    for cell in wrong:
        raise ValueError(f"{cell} is not an H3 cell")
