"""Reads a road graph from two CSV files: nodes (node, lat, lng) and edges (source, target, length_m, travel_time_s)."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geo.roads.build import CityBuildError, Losses, bounded_times, graph_from_columns
from geo.roads.graph import RoadGraph
from geo.roads.rules import LIMIT_KMH_MAX
from kernel.csv_rows import csv_table

NODE_COLUMNS = ("node", "lat", "lng")
EDGE_COLUMNS = ("source", "target", "length_m", "travel_time_s")


def read_graph(nodes: Path, edges: Path) -> tuple[RoadGraph, Losses, int]:
    """Return the largest strongly connected part of the graph, what was left out, and how many speeds were bounded.

    An edge that would be driven faster than LIMIT_KMH_MAX gets the travel time of that speed.
    Node ids may be any text. Raises CityBuildError for a missing file or column, a value that is no number (saying
    in which line), ids given twice, or edges to unknown nodes.
    """
    node_rows, edge_rows = _read(nodes, NODE_COLUMNS), _read(edges, EDGE_COLUMNS)
    try:
        lengths_m = edge_rows.numbers("length_m")
        given_s = edge_rows.numbers("travel_time_s")
        times_s, bounded = bounded_times(lengths_m, given_s, LIMIT_KMH_MAX)
        graph, losses = graph_from_columns(
            np.array(node_rows.texts["node"]),
            node_rows.numbers("lat"),
            node_rows.numbers("lng"),
            np.array(edge_rows.texts["source"]),
            np.array(edge_rows.texts["target"]),
            lengths_m,
            times_s,
        )
    except CityBuildError:
        raise
    except ValueError as error:
        raise CityBuildError(f"{nodes} and {edges}: {error}") from error
    return graph, losses, bounded


class _Table(NamedTuple):
    """The texts of a file by column, and the line of each row."""

    path: Path
    line: list[int]
    texts: dict[str, list[str]]

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column of numbers. Raises CityBuildError naming the line."""
        numbers = np.empty(len(self.line))
        for place, text in enumerate(self.texts[name]):
            try:
                numbers[place] = float(text)
            except ValueError:
                raise CityBuildError(
                    f"{self.path}, line {self.line[place]}, column {name}: {text!r} is not a number"
                ) from None
        return numbers


def _read(path: Path, columns: tuple[str, ...]) -> _Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, lines = csv_table(file)
            missing = [name for name in columns if name not in header]
            if missing:
                raise CityBuildError(f"{path} lacks the column {missing[0]}; its first line must name {columns}")
            rows = list(lines)
    except OSError as error:
        raise CityBuildError(f"{path} cannot be read ({error.strerror}); give a CSV file with {columns}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CityBuildError(f"{path} is not a CSV file ({error})") from error
    if not rows:
        raise CityBuildError(f"{path} has no line below its header")
    for line, row in rows:
        row.extend([""] * (len(header) - len(row)))
        if len(row) > len(header):
            raise CityBuildError(f"{path}, line {line}: it has {len(row)} values, the header {len(header)}")
    texts = {name: [row[header.index(name)].strip() for _, row in rows] for name in columns}
    return _Table(path, [line for line, _ in rows], texts)
