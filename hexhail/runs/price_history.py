"""The surge prices of a run over time, stored beside its events; of a simulated or a live run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from geo.arrays import CellArray, FloatArray
from pricing.events import SurgeChanged
from pricing.ports import PriceRecord

PRICES_FILE = "prices.npz"
#: Of one cell and run: far more than ticks in a year.
_CHANGES_MAX = 10_000_000


@dataclass(frozen=True)
class PriceHistory:
    """Changes of surge multipliers; before its first one a cell is at the base.

    Attributes:
        at_s: (k,) city seconds, ascending.
        cell: (k,) uint64.
        multiplier: (k,) from then on.
    """

    at_s: FloatArray
    cell: CellArray
    multiplier: FloatArray

    def __len__(self) -> int:
        return int(self.at_s.shape[0])

    @classmethod
    def of(cls, changes: Sequence[SurgeChanged]) -> PriceHistory:
        """The history of the changes that a pricing engine published."""
        if not changes:
            return cls(np.zeros(0), np.zeros(0, np.uint64), np.zeros(0))
        at_s = np.repeat([change.at_s for change in changes], [len(change.cell) for change in changes])
        cell = np.concatenate([change.cell for change in changes])
        return cls(at_s, cell, np.concatenate([change.multiplier for change in changes]))

    def save(self, folder: Path) -> None:
        """Write the history into the folder of a run."""
        np.savez_compressed(folder / PRICES_FILE, at_s=self.at_s, cell=self.cell, multiplier=self.multiplier)

    @classmethod
    def load(cls, folder: Path) -> PriceHistory:
        """Read what `save` wrote; nothing if a run has no such file. Raises ValueError for a file that is broken."""
        path = folder / PRICES_FILE
        if not path.is_file():
            return cls.of(())
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                history = cls(stored["at_s"], stored["cell"], stored["multiplier"])
        except (BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
            raise ValueError(f"{path} holds no prices ({error}): leave it out, or export the run again") from error
        if not history.at_s.shape == history.cell.shape == history.multiplier.shape == (len(history),):
            raise ValueError(f"{path} holds columns of different lengths: leave it out, or export the run again")
        return history


async def recorded_prices(record: PriceRecord, region_id: str, cells: CellArray) -> PriceHistory:
    """The history that the pricers of a live region put on record."""
    found = [change for cell in cells.tolist() for change in await record.history(region_id, cell, 0.0, _CHANGES_MAX)]
    found.sort(key=lambda change: (change.at_s, change.cell))
    return PriceHistory(
        np.array([change.at_s for change in found], np.float64),
        np.array([change.cell for change in found], np.uint64),
        np.array([change.multiplier for change in found], np.float64),
    )
