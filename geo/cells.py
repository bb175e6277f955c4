"""H3 cells: points to cells, disks, parents, names and outlines. The only file that imports h3.

Cells are uint64 ids; as text they are h3's hexadecimal names. Order is (lat, lng) in degrees.
Source: the H3 documentation, https://h3geo.org/docs/.

The wheels of h3 for Linux and macOS export the C functions beneath the Python API, which are many times faster when
called from kernels. They are not a public interface: at first use they are compared with the public one, which is used
if anything differs. ``path_in_use`` says which of them is in use.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import h3.api.basic_int as h3
import numpy as np
import numpy.typing as npt

from geo.arrays import CellArray, FloatArray, IntArray, NodeArray, coordinates
from geo.jit import provide_c_function
from geo.kernels import h3_calls

RESOLUTION_MAX = 15
# A disk of 1,000 steps has three million cells: more than any search or map of a city needs.
STEPS_MAX = 1_000
# Points compared with the public API before the C functions are trusted: about a millisecond.
CHECKED_POINTS = 1_000


@dataclass(frozen=True)
class CallPath:
    """Whether this process calls H3's C functions or its Python API, and why."""

    is_compiled: bool
    reason: str


@cache
def path_in_use() -> CallPath:
    """Decide once per process how to call H3: use the C functions if they exist and agree with the Python API."""
    try:
        library = ctypes.CDLL(import_module("h3._cy.cells").__file__)
        for name in h3_calls.C_FUNCTIONS:
            provide_c_function(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0)
    except (AttributeError, ImportError, OSError) as error:
        return CallPath(is_compiled=False, reason=f"this build of h3 does not export its C functions ({error})")
    difference = _difference_from_api()
    if difference:
        return CallPath(is_compiled=False, reason=f"the C functions of h3 disagree with its Python API: {difference}")
    return CallPath(is_compiled=True, reason=f"C functions of h3 {h3.versions()['c']}, equal to its Python API")


def _difference_from_api() -> str:
    """Name the first function whose compiled answers differ from those of the public API; empty if none does."""
    rng = np.random.default_rng(0)
    lat, lng = rng.uniform(-90, 90, CHECKED_POINTS), rng.uniform(-180, 180, CHECKED_POINTS)
    cells = _cells_by_api(lat, lng, 9)
    if not np.array_equal(_cells_compiled(lat, lng, 9), cells):
        return "latLngToCell"
    if not np.allclose(_centres_compiled(cells), _centres_by_api(cells), rtol=0.0, atol=1e-9):
        return "cellToLatLng"
    if not np.array_equal(_parents_compiled(cells, 5), _parents_by_api(cells, 5)):
        return "cellToParent"
    few = np.concatenate([cells[:20], np.array(h3.get_pentagons(9), dtype=np.uint64)])
    (mine, mine_steps), (theirs, their_steps) = _disks_compiled(few, 2), _disks_by_api(few, 2)
    if not (np.array_equal(mine_steps, their_steps) and np.array_equal(np.sort(mine), np.sort(theirs))):
        return "gridDiskDistances"
    return ""


def latlng_to_cells(lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike, resolution: int) -> CellArray:
    """Return the cells (n,) uint64 that contain the points.

    Compute at the resolution you need: the parent of a finer cell does not always contain the point.
    Raises ValueError for a resolution outside 0 to 15, or coordinates that do not exist.
    """
    lat, lng = coordinates(lat_deg, lng_deg)
    _check_resolution(resolution)
    return (_cells_compiled if path_in_use().is_compiled else _cells_by_api)(lat, lng, resolution)


def cell_to_latlng(cells: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the centres (lat_deg (n,), lng_deg (n,)) of the cells; raises ValueError if one is not a cell."""
    centre = (_centres_compiled if path_in_use().is_compiled else _centres_by_api)(_check_cells(cells))
    return centre[:, 0].copy(), centre[:, 1].copy()


def disk(cell: int, k: int) -> CellArray:
    """Return all cells within k steps of ``cell``, ascending by id; there are fewer of them near a pentagon.

    Raises ValueError if it is not a cell or k is outside 0 to STEPS_MAX.
    """
    _check_steps(k)
    return np.sort(np.array(h3.grid_disk(_check_cell(cell), k), dtype=np.uint64))


def disks(cells: npt.ArrayLike, k: int) -> tuple[CellArray, NodeArray]:
    """Return (cell (n, d), steps (n, d)) of the disks round many cells, d = 3k(k+1)+1, nearest ring first.

    Where a disk is smaller, near a pentagon, the row ends with cells 0 and steps -1.
    Raises ValueError if one is not a cell or k is outside 0 to STEPS_MAX.
    """
    _check_steps(k)
    return disks_of_valid(_check_cells(cells), k)


def disks_of_valid(cells: CellArray, k: int) -> tuple[CellArray, NodeArray]:
    """Return what ``disks`` returns, without checking the cells."""
    return (_disks_compiled if path_in_use().is_compiled else _disks_by_api)(cells, k)


def parents(cells: npt.ArrayLike, resolution: int) -> CellArray:
    """Return the ancestors (n,) of the cells at a coarser (or the same) resolution.

    Raises ValueError if one is not a cell, or is coarser than ``resolution``.
    """
    _check_resolution(resolution)
    checked = _check_cells(cells)
    if ((checked >> np.uint64(52)) & np.uint64(15) < resolution).any():
        raise ValueError(f"a cell is already coarser than resolution {resolution}")
    return (_parents_compiled if path_in_use().is_compiled else _parents_by_api)(checked, resolution)


def resolution_of(cell: int) -> int:
    """Return the resolution of a cell, 0 to 15; raises ValueError if it is not a cell."""
    return int(h3.get_resolution(_check_cell(cell)))


def edge_m(resolution: int) -> float:
    """The mean length of a cell's edge in metres. Raises ValueError for a resolution outside 0 to 15."""
    _check_resolution(resolution)
    return float(h3.average_hexagon_edge_length(resolution, unit="m"))


def is_valid_cell(cell: int | str) -> bool:
    """Say whether an id, or its hexadecimal name, is an H3 cell."""
    try:
        return bool(h3.is_valid_cell(h3.str_to_int(cell) if isinstance(cell, str) else int(cell)))
    except (ValueError, OverflowError, TypeError):
        return False


def pentagons(resolution: int) -> CellArray:
    """Return the twelve pentagons of a resolution, ascending by id."""
    _check_resolution(resolution)
    return np.sort(np.array(h3.get_pentagons(resolution), dtype=np.uint64))


def cells_to_strings(cells: npt.ArrayLike) -> list[str]:
    """Return the hexadecimal names of the cells, as h3 and other tools write them."""
    return [format(cell, "x") for cell in _check_cells(cells).tolist()]


def string_to_cell(name: str) -> int:
    """Return the id of a cell named in hexadecimal; raises ValueError if there is no such cell."""
    if not is_valid_cell(name):
        raise ValueError(f"{name!r} is not the name of an H3 cell")
    return int(h3.str_to_int(name))


def cell_boundary(cell: int) -> FloatArray:
    """Return the corners (5 to 10, 2) of a cell as lat, lng in degrees, counter-clockwise, not closed.

    Raises ValueError if it is not a cell.
    """
    return np.array(h3.cell_to_boundary(_check_cell(cell)), dtype=np.float64)


@dataclass(frozen=True)
class CellNumbers:
    """Consecutive numbers for a set of cells, for arrays by cell: kernels take these numbers, never ids.

    Attributes:
        cell: (c,) the cells, ascending; the number of a cell is its position here.
        key, number: the hash table behind ``find``.
    """

    cell: CellArray
    key: CellArray
    number: IntArray

    @classmethod
    def of(cls, cells: npt.ArrayLike) -> "CellNumbers":
        """Number the distinct cells in ascending order; raises ValueError if one is not a cell."""
        return cls.of_distinct(np.unique(_check_cells(cells)))

    @classmethod
    def of_distinct(cls, cell: CellArray) -> "CellNumbers":
        """Number cells that are valid, distinct and ascending, without checking them."""
        slots = 1 << (2 * max(cell.shape[0], 1)).bit_length()
        return cls(cell, *h3_calls.build_table(cell, slots))

    def find(self, cells: npt.ArrayLike) -> IntArray:
        """Return the numbers of ``cells``, of the same shape; -1 for cells that are not in the set."""
        wanted = np.ascontiguousarray(np.asarray(cells, dtype=np.uint64))
        return h3_calls.find_in_table(self.key, self.number, wanted.ravel()).reshape(wanted.shape)


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
    checked = np.ascontiguousarray(np.atleast_1d(np.asarray(cells, dtype=np.uint64)))
    if checked.ndim != 1:
        raise ValueError(f"cells must have one dimension, not shape {checked.shape}")
    for cell in checked.tolist():
        if not h3.is_valid_cell(cell):
            raise ValueError(f"{cell} is not an H3 cell")
    return checked


def _cells_compiled(lat_deg: FloatArray, lng_deg: FloatArray, resolution: int) -> CellArray:
    cells, errors = h3_calls.cells_of_points(np.radians(np.column_stack([lat_deg, lng_deg])), resolution)
    _check_answer("latLngToCell", errors)
    return cells


def _cells_by_api(lat_deg: FloatArray, lng_deg: FloatArray, resolution: int) -> CellArray:
    places = zip(lat_deg.tolist(), lng_deg.tolist(), strict=True)
    return np.array([h3.latlng_to_cell(lat, lng, resolution) for lat, lng in places], dtype=np.uint64)


def _centres_compiled(cells: CellArray) -> FloatArray:
    position_rad, errors = h3_calls.centres_of_cells(cells)
    _check_answer("cellToLatLng", errors)
    return np.degrees(position_rad)


def _centres_by_api(cells: CellArray) -> FloatArray:
    return np.array([h3.cell_to_latlng(cell) for cell in cells.tolist()], dtype=np.float64).reshape(-1, 2)


def _parents_compiled(cells: CellArray, resolution: int) -> CellArray:
    found, errors = h3_calls.parents_of_cells(cells, resolution)
    _check_answer("cellToParent", errors)
    return found


def _parents_by_api(cells: CellArray, resolution: int) -> CellArray:
    return np.array([h3.cell_to_parent(cell, resolution) for cell in cells.tolist()], dtype=np.uint64)


def _disks_compiled(cells: CellArray, k: int) -> tuple[CellArray, NodeArray]:
    found, steps, errors = h3_calls.disks_of_cells(cells, k)
    _check_answer("gridDiskDistances", errors)
    return found, steps


def _disks_by_api(cells: CellArray, k: int) -> tuple[CellArray, NodeArray]:
    found = np.zeros((cells.shape[0], 3 * k * (k + 1) + 1), np.uint64)
    steps = np.full(found.shape, -1, np.int32)
    for row, cell in enumerate(cells.tolist()):
        seen: set[int] = set()
        for step in range(k + 1):
            gained = sorted(set(h3.grid_disk(cell, step)) - seen)
            found[row, len(seen) : len(seen) + len(gained)] = gained
            steps[row, len(seen) : len(seen) + len(gained)] = step
            seen.update(gained)
    return found, steps


def _check_answer(name: str, errors: int) -> None:
    if errors:
        raise RuntimeError(f"{name} of h3 refused {errors} inputs that had been checked")
