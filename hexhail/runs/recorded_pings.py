"""Recorded pings out of a file, Parquet or CSV, in the order they were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What a column may be called, the first one found counts; `_e5` means degrees times 100,000.
_DRIVER = ("driver_id", "cab_id")
_TIME = ("t_s", "t")
_LAT = ("lat_deg", "lat", "lat_e5")
_LNG = ("lng_deg", "lng", "lon", "lng_e5", "lon_e5")
_OPTIONAL = ("heading_deg", "speed_mps", "accuracy_m")


@dataclass(frozen=True)
class RecordedPings:
    """The n pings of a file, by time and then by driver.

    Attributes:
        driver_id: (n,) of str.
        t_s, lat_deg, lng_deg: (n,) of float64; Unix seconds and degrees.
        optional: of heading_deg, speed_mps and accuracy_m those that the file has, (n,) each; NaN where unknown.
    """

    driver_id: NDArray[Any]
    t_s: NDArray[np.float64]
    lat_deg: NDArray[np.float64]
    lng_deg: NDArray[np.float64]
    optional: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.t_s)

    def taken(self, rows: Any) -> RecordedPings:
        """Return some of the pings, chosen as arrays are: by a mask, a slice or indices."""
        optional = {name: values[rows] for name, values in self.optional.items()}
        return RecordedPings(self.driver_id[rows], self.t_s[rows], self.lat_deg[rows], self.lng_deg[rows], optional)


def read_pings(path: Path) -> RecordedPings:
    """Read a `.parquet` or `.csv` file.

    Raises ValueError that says which column is missing or which value is no number, OSError for the file itself,
    ImportError for Parquet without pyarrow.
    """
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    driver_id = np.array([str(name) for name in _column(columns, _DRIVER, path).tolist()], dtype=object)
    t_s = _numbers(columns, _TIME, path)
    order = np.lexsort((driver_id.astype(str), t_s))
    optional = {name: _numbers(columns, (name,), path)[order] for name in _OPTIONAL if name in columns}
    lat_deg, lng_deg = _numbers(columns, _LAT, path), _numbers(columns, _LNG, path)
    return RecordedPings(driver_id[order], t_s[order], lat_deg[order], lng_deg[order], optional)


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    return {name: table[name].to_numpy() for name in table.column_names}


def _read_csv(path: Path) -> dict[str, NDArray[Any]]:
    import csv

    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        names: Sequence[str] = rows.fieldnames or ()
        values = list(rows)
    return {name: np.array([row[name] for row in values], dtype=object) for name in names}


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
        raise ValueError(f"{path}, column {names[0]}: {error}") from error
    is_e5 = next(name for name in names if name in columns).endswith("_e5")
    return values / 1e5 if is_e5 else values
