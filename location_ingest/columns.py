"""Pings and positions as struct of arrays. The only file that converts pings to arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.arrays import CellArray, FloatArray, IntArray
from location_ingest.model import DriverPing, PingGroup

#: Of one ping, in this order: t_s, lat_deg, lng_deg, heading_deg, speed_mps, accuracy_m. None or NaN: not known.
PingRow = tuple[float, float, float, float | None, float | None, float | None]
ROW_NUMBERS = 6


@dataclass(frozen=True, slots=True, eq=False)
class PingColumns:
    """Pings of one region that travel as one message; `received_s` is the city time when the edge closed it.

    Attributes:
        driver_ids: whose ping each is (n).
        values: (n, 6), the columns of `PingRow`; NaN in the last three means unknown.
    """

    region_id: str
    received_s: float
    driver_ids: list[str]
    values: FloatArray

    @classmethod
    def of(cls, group: PingGroup) -> PingColumns:
        """Return the group as columns."""
        rows = [row_of(ping) for ping in group.pings]
        return cls(group.region_id, group.received_s, [ping.driver_id for ping in group.pings], rows_to_values(rows))

    @property
    def pings(self) -> tuple[DriverPing, ...]:
        """The pings as objects."""
        rows = zip(self.driver_ids, self.values.tolist(), strict=True)
        return tuple(
            DriverPing(driver_id, *row[:3], *(None if value != value else value for value in row[3:]))
            for driver_id, row in rows
        )


def row_of(ping: DriverPing) -> PingRow:
    """Return the numbers of a ping."""
    return ping.t_s, ping.lat_deg, ping.lng_deg, ping.heading_deg, ping.speed_mps, ping.accuracy_m


def rows_to_values(rows: Sequence[PingRow]) -> FloatArray:
    """Return the rows as an array (n, 6), None as NaN."""
    return np.array(rows, np.float64).reshape(-1, ROW_NUMBERS)


def forget_unknown_inplace(values: FloatArray) -> None:
    """Set headings and speeds (n, 6) that are none to NaN: what phones send when they do not know.

    iOS sends -1 for both, others NaN, infinity or 361. Place, time and accuracy stay: the filter judges them.
    """
    heading_deg, speed_mps = values[:, 3], values[:, 4]
    heading_deg[~((heading_deg >= 0.0) & (heading_deg <= 360.0))] = np.nan
    speed_mps[~((speed_mps >= 0.0) & (speed_mps < np.inf))] = np.nan


@dataclass(frozen=True, slots=True, eq=False)
class PositionColumns:
    """Accepted positions of one region, ready to be stored: the newest of each driver.

    Attributes:
        driver_ids: whose position each is (n).
        cell: (n,) the cells that hold them, ascending.
        packed: (n,) of `geo.positions.PACKED`.
        earlier_place: (m,) ascending indices into `driver_ids` of drivers with an earlier accepted position.
        earlier_t_ms: (m,) times of those positions; they are counted, not stored.
    """

    driver_ids: list[str]
    cell: CellArray
    packed: NDArray[Any]
    earlier_place: IntArray
    earlier_t_ms: IntArray

    def __len__(self) -> int:
        return len(self.driver_ids)

    def parts(self, positions_max: int) -> Iterator[PositionColumns]:
        """Cut into parts of at most so many positions, each with the earlier ones of its drivers."""
        start = 0
        while start < len(self):
            end = min(start + positions_max, len(self))
            first, last = np.searchsorted(self.earlier_place, [start, end]).tolist()
            yield PositionColumns(
                self.driver_ids[start:end],
                self.cell[start:end],
                self.packed[start:end],
                self.earlier_place[first:last] - start,
                self.earlier_t_ms[first:last],
            )
            start = end
