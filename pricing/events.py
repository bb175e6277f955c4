"""Events of the pricing engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SurgeChanged:
    """The multipliers that moved at one moment, and what each was decided on; arrays (n,) by cell, n at least 1."""

    at_s: float
    #: Of rules and parameters (`rules.surge.version_of`).
    version: str
    #: An operator's freeze set them, and nothing else counted.
    is_frozen: bool
    cell: npt.NDArray[np.uint64]
    multiplier: FloatArray
    multiplier_before: FloatArray
    #: Decayed counts in the cell.
    requests: FloatArray
    quotes: FloatArray
    #: Drivers in the cell, and drivers in reach of it.
    idle_drivers: FloatArray
    supply: FloatArray
    #: The multiplier that would clear the cell, and the one that prices move to, after the bounds by neighbours.
    target: FloatArray
    wanted: FloatArray
    #: Flags of `rules.surge.Bound`.
    bounds: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.cell.shape[0])


Event = SurgeChanged
