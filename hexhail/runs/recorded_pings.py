"""Reads recorded pings from a Parquet or CSV file and sorts them by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.csv_rows import csv_table
from simulator.demand.inputs import BadRows

#: A ping so far from the middle one in time was taken by a clock gone wrong.
AWAY_S_MAX = 366 * 86_400.0

#: Accepted names of each column, the first one found is used; `_e5` means degrees times 100,000.
_DRIVER = ("driver_id", "cab_id")
_TIME = ("t_s", "t")
_LAT = ("lat_deg", "lat", "lat_e5")
_LNG = ("lng_deg", "lng", "lon", "lng_e5", "lon_e5")
_OPTIONAL = ("heading_deg", "speed_mps", "accuracy_m")


@dataclass(frozen=True)
class RecordedPings:
    """The n pings of a file, sorted by time and driver.

    Attributes:
        driver_id: (n,) of str.
        t_s, lat_deg, lng_deg: (n,) of float64; Unix seconds and degrees.
        optional: those of heading_deg, speed_mps and accuracy_m that the file has, (n,) each; NaN where unknown.
        line: (n,) of the file, from 1 for its header; None if they are from no file.
    """

    driver_id: NDArray[Any]
    t_s: NDArray[np.float64]
    lat_deg: NDArray[np.float64]
    lng_deg: NDArray[np.float64]
    optional: dict[str, NDArray[np.float64]]
    line: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.t_s)

    def taken(self, rows: Any) -> RecordedPings:
        """Return a subset of the pings, selected by a mask, a slice or indices as in numpy."""
        optional = {name: values[rows] for name, values in self.optional.items()}
        line = None if self.line is None else self.line[rows]
        return RecordedPings(
            self.driver_id[rows], self.t_s[rows], self.lat_deg[rows], self.lng_deg[rows], optional, line
        )


def read_pings(path: Path) -> RecordedPings:
    """Read a `.parquet` or `.csv` file; what is empty is NaN, see `usable_pings`.

    Raises ValueError that names the missing column or the value that is not a number, OSError if the file cannot be
    read, ImportError for Parquet without pyarrow.
    """
    columns, line = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    driver_id = np.array([str(name) for name in _column(columns, _DRIVER, path).tolist()], dtype=object)
    t_s = _numbers(columns, _TIME, path)
    order = np.lexsort((driver_id.astype(str), t_s))
    optional = {name: _numbers(columns, (name,), path)[order] for name in _OPTIONAL if name in columns}
    lat_deg, lng_deg = _numbers(columns, _LAT, path), _numbers(columns, _LNG, path)
    return RecordedPings(driver_id[order], t_s[order], lat_deg[order], lng_deg[order], optional, line[order])


def usable_pings(path: Path, pings: RecordedPings, bad: BadRows) -> RecordedPings:
    """Return the pings that a phone could have sent; of each other ``bad`` is told line and reason.

    Those are pings without a time or a place, and with a time so far from the others that a clock had gone wrong: a
    receiver whose week counter starts anew, or one that has not seen a satellite.
    """
    no_time = ~np.isfinite(pings.t_s)
    no_fix = ~(np.isfinite(pings.lat_deg) & np.isfinite(pings.lng_deg))
    no_place = ~no_fix & ~((np.abs(pings.lat_deg) <= 90.0) & (np.abs(pings.lng_deg) <= 180.0))
    times_s = np.sort(pings.t_s[~no_time])
    middle_s = float(times_s[(times_s.size - 1) // 2]) if times_s.size else 0.0
    with np.errstate(invalid="ignore"):
        is_away = ~no_time & (np.abs(pings.t_s - middle_s) > AWAY_S_MAX)
    for at in np.flatnonzero(no_time | no_fix | no_place | is_away).tolist():
        place = f"({pings.lat_deg[at]:g}, {pings.lng_deg[at]:g})"
        reason = (
            "it has no time"
            if no_time[at]
            else f"its time, {pings.t_s[at]:.0f}, is more than a year from that of the middle ping, {middle_s:.0f}"
            if is_away[at]
            else "it has no position: the receiver had no fix"
            if no_fix[at]
            else f"{place} is no place on the globe"
        )
        bad.refuse(path, int(pings.line[at]) if pings.line is not None else at + 1, f"{pings.driver_id[at]}: {reason}")
    return pings.taken(~(no_time | no_fix | no_place | is_away))


def _read_parquet(path: Path) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    # Rows are counted as the lines of the same table as CSV would be.
    line = np.arange(2, table.num_rows + 2)
    return {name: table[name].to_numpy() for name in table.column_names}, line


def _read_csv(path: Path) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        names, found = csv_table(stream)
        rows = list(found)
    for line, row in rows:
        row.extend([""] * (len(names) - len(row)))
        if len(row) > len(names):
            raise ValueError(f"{path}, line {line}: it has {len(row)} values, the header {len(names)}")
    columns = {name: np.array([row[at].strip() for _, row in rows], dtype=object) for at, name in enumerate(names)}
    return columns, np.array([line for line, _ in rows], np.int64)


def _first_word(column: NDArray[Any]) -> str:
    """Where the first value is that is no number, as rows below the header."""
    for at, value in enumerate(column.tolist()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f", row {at + 1} below the header"
    return ""


def _column(columns: dict[str, NDArray[Any]], names: Sequence[str], path: Path) -> NDArray[Any]:
    for name in names:
        if name in columns:
            return columns[name]
    raise ValueError(f"{path} has no column {' or '.join(names)}; it has {', '.join(columns) or 'none'}")


def _numbers(columns: dict[str, NDArray[Any]], names: Sequence[str], path: Path) -> NDArray[np.float64]:
    column = _column(columns, names, path)
    if column.dtype == object:
        column = np.array([value or "nan" for value in column.tolist()], dtype=object)
    try:
        values: NDArray[np.float64] = column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, column {names[0]}{_first_word(column)}: {error}") from error
    is_e5 = next(name for name in names if name in columns).endswith("_e5")
    return values / 1e5 if is_e5 else values
