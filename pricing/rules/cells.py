"""Places to dense cell indices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geo import cells


def cell_indices(
    sorted_cells: npt.NDArray[np.uint64], resolution: int, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Return the position (n,) in ``sorted_cells`` of the cell that holds each place, -1 where it is none of them.

    Raises ValueError for coordinates that are not places.
    """
    wanted = cells.latlng_to_cells(lat_deg, lng_deg, resolution)
    if len(sorted_cells) == 0:
        return np.full(len(wanted), -1)
    index = np.minimum(np.searchsorted(sorted_cells, wanted), len(sorted_cells) - 1)
    return np.where(sorted_cells[index] == wanted, index, -1)
