"""The cells of a region as dense indices: who is next to whom, who belongs together, who reaches whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo import cells as h3_cells
from geo.arrays import CellArray, FloatArray, IntArray
from pricing.rules.kernels import spread

#: Thin cells borrow from their parent and its parent, 7 and 49 cells, and last from the region.
LEVELS_UP = 2


@dataclass(frozen=True, eq=False)
class Reach:
    """Which share of a driver in one cell is supply of which other; rows by the receiving cell.

    Attributes:
        offset: (c + 1,) where each receiving cell's entries begin.
        origin: (e,) the cell the driver is in.
        share: (e,) of that driver; those of one origin add up to 1.
    """

    offset: IntArray
    origin: IntArray
    share: FloatArray

    @classmethod
    def of_times(
        cls, origin: npt.ArrayLike, destination: npt.ArrayLike, eta_s: npt.ArrayLike, reach_s: float, cell_count: int
    ) -> Reach:
        """Share each origin's drivers over the destinations (e,) by exp(-eta_s / reach_s); inf takes no share.

        Every origin must reach itself. Raises ValueError if one does not, or a time is negative or NaN.
        """
        start, end = np.asarray(origin, np.int64), np.asarray(destination, np.int64)
        times = np.asarray(eta_s, np.float64)
        if not (times >= 0.0).all():
            raise ValueError("eta_s must be seconds that are not negative, or inf where there is no way")
        weight = np.exp(-times / reach_s)
        reaches_itself = np.zeros(cell_count, bool)
        reaches_itself[start[(start == end) & (weight > 0.0)]] = True
        if not reaches_itself.all():
            raise ValueError(f"cell index {int(reaches_itself.argmin())} does not reach itself in a finite time")
        order = np.lexsort((start, end))
        order = order[weight[order] > 0.0]
        share = weight / np.bincount(start, weight, cell_count)[start]
        offset = np.zeros(cell_count + 1, np.int64)
        np.cumsum(np.bincount(end[order], minlength=cell_count), out=offset[1:])
        return cls(offset, start[order], share[order])

    def supply(self, idle_per_cell: FloatArray) -> FloatArray:
        """Return the drivers (c,) that each cell can count on; in all as many as there are."""
        return spread(self.offset, self.origin, self.share, idle_per_cell)


@dataclass(frozen=True, eq=False)
class SurgeGrid:
    """The priced cells of a region.

    Attributes:
        cell: (c,) H3 ids, sorted; the index of a cell is its place here.
        neighbour: (c, d) indices of the cells next to each, -1 for none.
        ancestor: (a, c) dense numbers of the groups a cell belongs to, coarsest first; a finer group lies wholly in
            a coarser one.
        reach: how supply spreads.
    """

    cell: CellArray
    neighbour: IntArray
    ancestor: IntArray
    reach: Reach

    @classmethod
    def of(cls, sorted_cells: CellArray, reach: Reach) -> SurgeGrid:
        """Number the cells of one resolution, which must be sorted and distinct. Raises ValueError otherwise."""
        if (np.diff(sorted_cells.astype(np.uint64)) == 0).any() or (sorted_cells[:-1] > sorted_cells[1:]).any():
            raise ValueError("the surge cells must be sorted and distinct")
        numbers = h3_cells.CellNumbers.of_distinct(sorted_cells)
        around, steps = h3_cells.disks(sorted_cells, 1)
        neighbour = np.where(steps[:, 1:] == 1, numbers.find(around[:, 1:]), -1)
        return cls(sorted_cells, np.ascontiguousarray(neighbour), _ancestors(sorted_cells), reach)

    def __len__(self) -> int:
        return int(self.cell.shape[0])


def _ancestors(sorted_cells: CellArray) -> IntArray:
    resolution = h3_cells.resolution_of(int(sorted_cells[0])) if len(sorted_cells) else 0
    coarser = range(max(resolution - LEVELS_UP, 0), resolution)
    families = [np.unique(h3_cells.parents(sorted_cells, level), return_inverse=True)[1] for level in coarser]
    return np.array([np.zeros(len(sorted_cells), np.int64), *families])
