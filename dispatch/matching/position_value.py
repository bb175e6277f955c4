"""Position values: what being free at a place is worth to a driver, V(cell, time of day). Learned by `value_learning`.

Source: Xu et al. 2018, doi:10.1145/3219819.3219824.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from geo.array_files import save_arrays
from geo.arrays import CellArray, FloatArray, IntArray, positions
from geo.cells import latlng_to_cells
from geo.roads.graph import LearnedElsewhere, RoadGraph

#: Raised when the meaning of what is stored changes; an older file is then refused rather than misread.
FORMAT_VERSION = 1
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ValueParams:
    """How values are learned and kept. Durations are city seconds."""

    #: Discount factor per `step_s`; both as in Xu et al. 2018.
    discount: float = 0.95
    step_s: float = 200.0
    #: The day is cut into bins of this width; a whole number of them must make a day.
    bin_s: float = 600.0
    #: Of the H3 cells: at 8, half a kilometre from the centre to an edge, a few minutes' walk or one by car.
    resolution: int = 8
    #: An estimate from this many transitions weighs as much as that of the coarser level.
    prior_visits: float = 20.0

    def __post_init__(self) -> None:
        if not 0.0 < self.discount < 1.0:
            raise ValueError(f"discount must lie between 0 and 1, not {self.discount}")
        for name in ("step_s", "prior_visits"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0.0 < self.bin_s <= DAY_S or DAY_S % self.bin_s:
            raise ValueError(f"bin_s must divide the {DAY_S:.0f} seconds of a day, not {self.bin_s}")
        if not 1 <= self.resolution <= 15:
            raise ValueError(f"resolution must be an H3 resolution, 1 to 15, not {self.resolution}")

    @property
    def bins(self) -> int:
        """How many bins make a day."""
        return int(DAY_S / self.bin_s)

    def bin_of(self, at_s: npt.ArrayLike) -> IntArray:
        """The bins of some moments, city seconds, of the same shape."""
        second = np.asarray(at_s, np.float64) % DAY_S
        # A moment just before midnight may come out of the division as the bin after the last.
        return np.minimum(second // self.bin_s, self.bins - 1).astype(np.int64)


@dataclass(frozen=True)
class PositionValue:
    """The discounted fares that a driver who is free at a place and time may expect from then on.

    Attributes:
        params: how it was learned.
        cell: (c,) the cells that hold a node, ascending.
        cell_of_node: (nodes,) number of each node's cell.
        value_cents: (c, b) in minor units of the region's currency, by cell and bin of the day.
        visits: (c, b) how many transitions began there.
        city: fingerprint of the roads, `fingerprint_of`.
    """

    params: ValueParams
    cell: CellArray
    cell_of_node: IntArray
    value_cents: FloatArray
    visits: FloatArray
    city: str

    def at(self, node: npt.ArrayLike, at_s: npt.ArrayLike) -> FloatArray:
        """The values (n,) of being free at road nodes (n,) at a time, one for all or (n,), in minor units.

        Raises IndexError for a node beyond the last one.
        """
        found: FloatArray = self.value_cents[self.cell_of_node[np.asarray(node)], self.params.bin_of(at_s)]
        return found

    @cached_property
    def earned_cents_per_s(self) -> float:
        """The mean earning of a driver per second in this city, in minor units; 0 if nothing was paid."""
        mean_cents = float((self.value_cents * self.visits).sum() / self.visits.sum())
        return mean_cents * (1.0 - self.params.discount) / self.params.step_s

    def move_gain_s(
        self, node: npt.ArrayLike, next_node: npt.ArrayLike, duration_s: npt.ArrayLike, now_s: float
    ) -> FloatArray:
        """The gain (n,) of being free at `next_node` in `duration_s` (n,) rather than at `node` now.

        In seconds of an average driver's earning, so that scores mean the same in every currency; negative where the
        move is for the worse. The fare of the trip is not part of it.
        """
        then_s = now_s + np.asarray(duration_s, np.float64)
        rate = self.earned_cents_per_s
        if rate <= 0.0:
            return np.zeros(then_s.shape)
        gain: FloatArray = (self.at(next_node, then_s) - self.at(node, then_s)) / rate
        return gain

    def save(self, path: Path) -> None:
        """Write the values to one file; it appears whole or not at all."""
        columns = {"cell": self.cell, "value_cents": self.value_cents, "visits": self.visits}
        save_arrays(path, {"version": FORMAT_VERSION, "city": self.city} | columns | asdict(self.params))

    @classmethod
    def load(cls, path: Path, graph: RoadGraph) -> PositionValue:
        """Read what `save` wrote, for the roads it was learned on.

        Raises FileNotFoundError if there is none; LearnedElsewhere if it was learned on other roads; ValueError if it
        is broken or of another format version.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no position values at {path}; learn them with `hexhail city learn-values`")
        try:
            # Opened here, for numpy leaves a broken file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                content: dict[str, Any] = {name: stored[name] for name in stored.files}
            version, city = int(content["version"]), str(content["city"])
        except (BadZipFile, KeyError, EOFError, OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path} holds no position values ({error}); learn them again") from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}; learn the values again"
            )
        if city != fingerprint_of(graph):
            raise LearnedElsewhere(
                f"{path} was learned in another city, or before its roads were built anew; learn it again"
            )
        try:
            params = ValueParams(**{field.name: content[field.name].item() for field in fields(ValueParams)})
            return cls._checked(params, content, graph, city)
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path} holds no position values ({error}); learn them again") from error

    @classmethod
    def _checked(cls, params: ValueParams, content: dict[str, Any], graph: RoadGraph, city: str) -> PositionValue:
        cell, cell_of_node = cells_of_nodes(graph, params.resolution)
        if not np.array_equal(cell, content["cell"]):
            raise ValueError("its cells are not those of the roads")
        for name in ("value_cents", "visits"):
            if content[name].shape != (cell.shape[0], params.bins) or not np.isfinite(content[name]).all():
                raise ValueError(f"{name} must be finite numbers, one for each cell and bin")
        return cls(params, cell, cell_of_node, content["value_cents"], content["visits"], city)


def cells_of_nodes(graph: RoadGraph, resolution: int) -> tuple[CellArray, IntArray]:
    """Return (cell (c,) ascending, number of each node's cell (nodes,))."""
    cell, number = np.unique(latlng_to_cells(graph.lat_deg, graph.lng_deg, resolution), return_inverse=True)
    return cell, positions("cell", number, cell.shape[0])


def fingerprint_of(graph: RoadGraph) -> str:
    """The fingerprint of a road graph: SHA-256 (hex) of the coordinates of its nodes, in their order.

    Travel times do not count: the values of a city outlive its traffic.
    """
    return hashlib.sha256(graph.lat_deg.tobytes() + graph.lng_deg.tobytes()).hexdigest()
