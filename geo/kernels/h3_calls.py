"""Loops over H3's C functions. The only kernels that see cell ids, which are uint64 throughout.

Signatures: https://github.com/uber/h3/blob/v4.5.0/src/h3lib/include/h3api.h.in (a LatLng is two doubles, radians).
"""

import numpy as np

from geo.arrays import CellArray, FloatArray, IntArray, NodeArray
from geo.jit import declare_c_function, kernel

C_FUNCTIONS = ("latLngToCell", "cellToLatLng", "gridDiskDistances", "cellToParent")

_lat_lng_to_cell = declare_c_function("latLngToCell", "pip")
_cell_to_lat_lng = declare_c_function("cellToLatLng", "up")
_grid_disk_distances = declare_c_function("gridDiskDistances", "uipp")
_cell_to_parent = declare_c_function("cellToParent", "uip")


@kernel
def cells_of_points(position_rad: FloatArray, resolution: int) -> tuple[CellArray, int]:
    """Return (cell (n,), errors) for positions (n, 2) lat, lng in radians."""
    count, errors = position_rad.shape[0], 0
    cell = np.zeros(count, np.uint64)
    position_at, cell_at = position_rad.ctypes.data, cell.ctypes.data
    for place in range(count):
        errors += _lat_lng_to_cell(position_at + 16 * place, resolution, cell_at + 8 * place) != 0
    return cell, errors


@kernel
def centres_of_cells(cell: CellArray) -> tuple[FloatArray, int]:
    """Return (position_rad (n, 2), errors): the centres as lat, lng in radians."""
    count, errors = cell.shape[0], 0
    position_rad = np.zeros((count, 2))
    position_at = position_rad.ctypes.data
    for place in range(count):
        errors += _cell_to_lat_lng(cell[place], position_at + 16 * place) != 0
    return position_rad, errors


@kernel
def parents_of_cells(cell: CellArray, resolution: int) -> tuple[CellArray, int]:
    """Return (parent (n,), errors)."""
    count, errors = cell.shape[0], 0
    parent = np.zeros(count, np.uint64)
    parent_at = parent.ctypes.data
    for place in range(count):
        errors += _cell_to_parent(cell[place], resolution, parent_at + 8 * place) != 0
    return parent, errors


@kernel
def _order_by_step_inplace(cell: CellArray, step: NodeArray, k: int) -> None:
    """Sort one disk by steps, with unused positions (cell 0) last and marked -1: H3's slow path leaves it unsorted."""
    from_cell, from_step = cell.copy(), step.copy()
    place = 0
    for ring in range(k + 1):
        for at in range(from_cell.shape[0]):
            if from_cell[at] != 0 and from_step[at] == ring:
                cell[place], step[place] = from_cell[at], ring
                place += 1
    cell[place:] = 0
    step[place:] = -1


@kernel
def disks_of_cells(cell: CellArray, k: int) -> tuple[CellArray, NodeArray, int]:
    """Return (cell (n, d), step (n, d), errors), d = 3k(k+1)+1, nearest ring first; 0 and -1 at the end if smaller."""
    count, errors, width = cell.shape[0], 0, 3 * k * (k + 1) + 1
    found = np.zeros((count, width), np.uint64)
    step = np.zeros((count, width), np.int32)
    found_at, step_at = found.ctypes.data, step.ctypes.data
    for row in range(count):
        errors += _grid_disk_distances(cell[row], k, found_at + 8 * width * row, step_at + 4 * width * row) != 0
        # Away from pentagons H3 answers ring by ring; its slow path answers in the order of a hash table.
        is_ordered = True
        for place in range(width):
            if found[row, place] == 0 or (place > 0 and step[row, place] < step[row, place - 1]):
                is_ordered = False
                break
        if not is_ordered:
            _order_by_step_inplace(found[row], step[row], k)
    return found, step, errors


@kernel
def build_table(cell: CellArray, slots: int) -> tuple[CellArray, IntArray]:
    """Return (key (slots,), number (slots,)): an open-addressing table; ``slots`` a power of two above the cells."""
    key = np.zeros(slots, np.uint64)
    number = np.full(slots, -1, np.int64)
    for place in range(cell.shape[0]):
        slot = _slot_of(cell[place], slots)
        while number[slot] >= 0:
            slot = (slot + 1) & (slots - 1)
        key[slot], number[slot] = cell[place], place
    return key, number


@kernel
def find_in_table(key: CellArray, number: IntArray, cell: CellArray) -> IntArray:
    """Return the number (n,) of each cell, -1 for those that are not in the table."""
    slots = key.shape[0]
    found = np.empty(cell.shape[0], np.int64)
    for place in range(cell.shape[0]):
        slot = _slot_of(cell[place], slots)
        while number[slot] >= 0 and key[slot] != cell[place]:
            slot = (slot + 1) & (slots - 1)
        found[place] = number[slot]
    return found


@kernel
def _slot_of(cell: np.uint64, slots: int) -> np.int64:
    """Fibonacci hashing of the folded id (Knuth, vol. 3, 6.4); 32 x 32 bits, so nothing overflows as written."""
    folded = (cell ^ (cell >> np.uint64(29))) & np.uint64(0xFFFFFFFF)
    mixed = (folded * np.uint64(2654435769)) & np.uint64(0xFFFFFFFF)
    return np.int64((mixed ^ (mixed >> np.uint64(15))) & np.uint64(slots - 1))
