"""Reads requests and drivers from files; invalid rows are reported with file, line and reason.

The only file of the simulator that reads files besides the city's own.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from geo.roads.road_places import RoadPlaces, places_on_roads
from geo.roads.road_ways import node_on_road
from geo.roads.snap import points_on_edges
from kernel.csv_rows import csv_table
from pricing.service.quotes import TRIP_M_MIN
from simulator.demand.requests import Requests

REQUEST_COLUMNS = ("t_s", "pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng", "party_size")
DRIVER_COLUMNS = ("lat", "lng")
#: Default number of seats. New York's taxi records hold few parties larger than four.
SEATS_DEFAULT = 4
SEATS_MAX = 8
#: A request so far from the middle one in time is a clock gone wrong: 10 years. GPS receivers jump by 19.6.
AWAY_S_MAX = 10 * 365.25 * 86_400
#: `BadRows` keeps the messages of this many rows; the rest are only counted.
REASONS_KEPT = 20


class BadRow(ValueError):
    """A row that cannot be used; the message names file, line and reason."""


class BadInput(ValueError):
    """A file that cannot be used as a whole."""


@dataclass
class BadRows:
    """Handling of bad rows: raise at the first one, or skip and count them all."""

    skip: bool = False
    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, path: Path, line: int, reason: str) -> None:
        """Note a bad row. Raises BadRow unless they are to be skipped."""
        sentence = f"{path}, line {line}: {reason}"
        if not self.skip:
            raise BadRow(sentence)
        self.count += 1
        if len(self.reasons) < REASONS_KEPT:
            self.reasons.append(sentence)


@dataclass(frozen=True)
class PlacedRequests:
    """Requests with the road nodes that they were snapped to, (n,) each."""

    asked: Requests
    pickup_node: IntArray
    dropoff_node: IntArray

    def __len__(self) -> int:
        return len(self.asked)


@dataclass(frozen=True)
class DriverStarts:
    """Drivers where they start: road nodes (n,), seats (n,), and the points (n, 2) if they are not at the nodes."""

    node: IntArray
    seats: IntArray
    points_deg: FloatArray | None = None

    def __getitem__(self, rows: slice) -> DriverStarts:
        """Some of the drivers."""
        points_deg = None if self.points_deg is None else self.points_deg[rows]
        return DriverStarts(self.node[rows], self.seats[rows], points_deg)

    def __len__(self) -> int:
        return int(self.node.shape[0])


def read_requests(
    path: Path, graph: RoadGraph, off_road_m_max: float, bad: BadRows, *, to_crossings: bool = False
) -> PlacedRequests:
    """Read `t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size` from CSV, CSV.gz or parquet, sorted by time.

    Rows of one time keep their order; ``to_crossings`` moves all places to the nearest crossings.
    Raises BadInput for a file that cannot be read, lacks a column or holds no usable row, BadRow as `bad` says.
    """
    rows, line = _at_one_time(path, *checked_rows(path, REQUEST_COLUMNS, {}, _wrong_request, bad), bad)
    columns = {"pickup": 1, "dropoff": 3}
    is_near = _near_roads(path, graph, off_road_m_max, rows, line, columns, bad)
    rows, line = rows[is_near], line[is_near]
    if to_crossings:
        _move_to_crossings(graph, rows, columns)
    nodes, kept = _placed(path, graph, rows, line, columns, bad)
    order = np.argsort(rows[kept, 0], kind="stable")
    rows, nodes = rows[kept][order], nodes[kept][order]
    if not rows.shape[0]:
        raise BadInput(f"{path} holds no usable request")
    asked = Requests(rows[:, 0], rows[:, 1:3], rows[:, 3:5], rows[:, 5].astype(np.uint8))
    return PlacedRequests(asked, nodes[:, 0].copy(), nodes[:, 1].copy())


def read_drivers(
    path: Path, graph: RoadGraph, off_road_m_max: float, bad: BadRows, *, to_crossings: bool = False
) -> DriverStarts:
    """Read `lat,lng` and, if it is there, `seats`, from CSV, CSV.gz or parquet; see `read_requests` for the rest."""
    rows, line = checked_rows(path, DRIVER_COLUMNS, {"seats": float(SEATS_DEFAULT)}, _wrong_driver, bad)
    rows = rows[_near_roads(path, graph, off_road_m_max, rows, line, {"driver": 0}, bad)]
    if not rows.shape[0]:
        raise BadInput(f"{path} holds no usable driver")
    if to_crossings:
        _move_to_crossings(graph, rows, {"driver": 0})
    node, _ = node_on_road(graph, rows[:, 0], rows[:, 1])
    return DriverStarts(node, rows[:, 2].astype(np.int64), rows[:, :2].copy())


def checked_rows(
    path: Path,
    columns: Sequence[str],
    defaults: dict[str, float],
    wrong: Callable[[Sequence[float]], str | None],
    bad: BadRows,
) -> tuple[FloatArray, IntArray]:
    """Return (rows (n, c), line (n,)): numbers in the order of the columns, then of the defaults."""
    rows: list[list[float]] = []
    lines: list[int] = []
    names = (*columns, *defaults)
    for line, texts in _table(path, columns, defaults):
        if isinstance(texts, str):
            bad.refuse(path, line, texts)
            continue
        try:
            numbers = [float(text) for text in texts]  # type: ignore[arg-type]
        except (ValueError, TypeError):
            bad.refuse(path, line, _not_a_number(names, texts))
            continue
        reason = wrong(numbers)
        if reason is None:
            rows.append(numbers)
            lines.append(line)
        else:
            bad.refuse(path, line, reason)
    return np.array(rows, np.float64).reshape(len(rows), len(names)), np.array(lines, np.int64)


def _not_a_number(names: Sequence[str], texts: Sequence[object]) -> str:
    for name, text in zip(names, texts, strict=True):
        try:
            float(text)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            return f"{name} is {text!r}, not a number"
    return "it is not a row of numbers"


def wrong_place(name: str, lat_deg: float, lng_deg: float) -> str | None:
    """Return a message if a place is invalid, else None."""
    if -90.0 <= lat_deg <= 90.0 and -180.0 <= lng_deg <= 180.0:
        return None
    return f"the {name} ({lat_deg}, {lng_deg}) is not a place on the globe; the order is latitude, longitude"


def _wrong_request(row: Sequence[float]) -> str | None:
    t_s, party = row[0], row[5]
    if not 0.0 <= t_s < math.inf:
        return f"t_s is {t_s}, not a number of seconds from 0"
    if not 1 <= party <= SEATS_MAX or party != int(party):
        return f"party_size is {party:g}, not a whole number from 1 to {SEATS_MAX}"
    return wrong_place("pickup", row[1], row[2]) or wrong_place("dropoff", row[3], row[4])


def _at_one_time(path: Path, rows: FloatArray, line: IntArray, bad: BadRows) -> tuple[FloatArray, IntArray]:
    """Refuse rows (n, c) that lie decades from the middle one by time."""
    if not rows.shape[0]:
        return rows, line
    middle_s = float(np.sort(rows[:, 0])[(rows.shape[0] - 1) // 2])
    is_away = np.abs(rows[:, 0] - middle_s) > AWAY_S_MAX
    for at in np.flatnonzero(is_away).tolist():
        years = (rows[at, 0] - middle_s) / (365.25 * 86_400)
        when = f"{_date(rows[at, 0])}, {abs(years):.0f} years {'after' if years > 0 else 'before'}"
        bad.refuse(path, int(line[at]), f"t_s is {rows[at, 0]:.0f}, {when} the middle request ({_date(middle_s)})")
    return rows[~is_away], line[~is_away]


def _date(t_s: float) -> str:
    try:
        return datetime.fromtimestamp(t_s, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "no date"


def _wrong_driver(row: Sequence[float]) -> str | None:
    if not 1 <= row[2] <= SEATS_MAX or row[2] != int(row[2]):
        return f"seats is {row[2]:g}, not a whole number from 1 to {SEATS_MAX}"
    return wrong_place("driver", row[0], row[1])


def _near_roads(
    path: Path,
    graph: RoadGraph,
    off_road_m_max: float,
    rows: FloatArray,
    line: IntArray,
    place_column: dict[str, int],
    bad: BadRows,
) -> BoolArray:
    """Whether all places of each row (n,) are near enough to a road; the others are refused."""
    kept = np.ones(rows.shape[0], np.bool_)
    for name, column in place_column.items():
        _, distance_m = node_on_road(graph, rows[:, column], rows[:, column + 1])
        for row in np.flatnonzero(kept & (distance_m > off_road_m_max)):
            kept[row] = False
            reason = f"the {name} is {distance_m[row]:.0f} m from the nearest road, more than {off_road_m_max:.0f} m"
            bad.refuse(path, int(line[row]), reason)
    return kept


def _move_to_crossings(graph: RoadGraph, rows: FloatArray, place_column: dict[str, int]) -> None:
    for column in place_column.values():
        node, _ = graph.snap(rows[:, column], rows[:, column + 1])
        rows[:, column], rows[:, column + 1] = graph.lat_deg[node], graph.lng_deg[node]


def _placed(
    path: Path, graph: RoadGraph, rows: FloatArray, line: IntArray, place_column: dict[str, int], bad: BadRows
) -> tuple[IntArray, BoolArray]:
    """Return (nodes (n, 2), kept (n,)): the nearer ends of the roads of pickups and dropoffs.

    A request whose pickup and dropoff snap to one point of a road is refused, as the live API does.
    """
    ends = [places_on_roads(graph, rows[:, column], rows[:, column + 1]) for column in place_column.values()]
    nodes = np.column_stack([places.node for places in ends])
    is_no_trip = _is_no_trip(graph, *ends)
    for row in np.flatnonzero(is_no_trip):
        bad.refuse(path, int(line[row]), "pickup and dropoff are at one place of the road: no trip")
    return nodes, ~is_no_trip


def _is_no_trip(graph: RoadGraph, pickups: RoadPlaces, dropoffs: RoadPlaces) -> BoolArray:
    """Whether pickup and dropoff (n,) are at one point of a road, to a metre."""
    if graph.edge_count == 0:
        return np.equal(pickups.node, dropoffs.node)
    ends = [points_on_edges(graph, places.edge[:, 0], places.share[:, 0]) for places in (pickups, dropoffs)]
    return np.less(great_circle_m(*ends[0], *ends[1]), TRIP_M_MIN)


def _table(path: Path, columns: Sequence[str], defaults: dict[str, float]) -> Iterator[tuple[int, Sequence[object]]]:
    """Yield (line, values in the order of columns and defaults, or what is wrong with the row as a sentence).

    The header is line 1. Raises BadInput.
    """
    if not path.is_file():
        raise BadInput(f"{path} does not exist")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, columns, defaults)
    else:
        yield from _csv_rows(path, columns, defaults)


def _csv_rows(path: Path, columns: Sequence[str], defaults: dict[str, float]) -> Iterator[tuple[int, Sequence[object]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            header, rows = csv_table(file)
            place = _places_of(path, header, columns)
            extra = [(header.index(name) if name in header else None, value) for name, value in defaults.items()]
            for line, row in rows:
                if len(row) != len(header):
                    yield line, f"it has {len(row)} values, the header {len(header)}"
                    continue
                optional = [value if at is None else row[at] for at, value in extra]
                yield line, [*(row[at] for at in place), *optional]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def _parquet_rows(
    path: Path, columns: Sequence[str], defaults: dict[str, float]
) -> Iterator[tuple[int, Sequence[object]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise BadInput(f"{path} needs pyarrow to be read: install hexhail[bench], or give CSV") from error
    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    _places_of(path, table.column_names, columns)
    count = table.num_rows
    values = [table[name].to_pylist() for name in columns]
    for name, value in defaults.items():
        values.append(table[name].to_pylist() if name in table.column_names else [value] * count)
    # Rows are counted as the lines of the same table as CSV would be, so that one sentence fits both.
    yield from enumerate(zip(*values, strict=True), start=2)


def _places_of(path: Path, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    missing = [name for name in columns if name not in header]
    if missing:
        raise BadInput(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    return [header.index(name) for name in columns]
