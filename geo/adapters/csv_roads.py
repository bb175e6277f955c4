"""Reads a road graph from two CSV files: nodes (node, lat, lng) and edges (source, target, length_m, travel_time_s)."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geo.roads.build import CityBuildError, Losses, bounded_times, graph_from_columns
from geo.roads.graph import RoadGraph
from geo.roads.rules import LIMIT_KMH_MAX

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
        lengths_m = _numbers(edges, "length_m", edge_rows["length_m"])
        given_s = _numbers(edges, "travel_time_s", edge_rows["travel_time_s"])
        times_s, bounded = bounded_times(lengths_m, given_s, LIMIT_KMH_MAX)
        graph, losses = graph_from_columns(
            np.array(node_rows["node"]),
            _numbers(nodes, "lat", node_rows["lat"]),
            _numbers(nodes, "lng", node_rows["lng"]),
            np.array(edge_rows["source"]),
            np.array(edge_rows["target"]),
            lengths_m,
            times_s,
        )
    except CityBuildError:
        raise
    except ValueError as error:
        raise CityBuildError(f"{nodes} and {edges}: {error}") from error
    return graph, losses, bounded


def _read(path: Path, columns: tuple[str, ...]) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise CityBuildError(f"{path} lacks the column {missing[0]}; its first line must name {columns}")
            rows = list(reader)
    except OSError as error:
        raise CityBuildError(f"{path} cannot be read ({error.strerror}); give a CSV file with {columns}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CityBuildError(f"{path} is not a CSV file ({error})") from error
    if not rows:
        raise CityBuildError(f"{path} has no line below its header")
    return {name: [row[name] or "" for row in rows] for name in columns}


def _numbers(path: Path, name: str, texts: list[str]) -> npt.NDArray[np.float64]:
    numbers = np.empty(len(texts))
    for place, text in enumerate(texts):
        try:
            numbers[place] = float(text)
        except ValueError:
            raise CityBuildError(f"{path}, line {place + 2}, column {name}: {text!r} is not a number") from None
    return numbers
