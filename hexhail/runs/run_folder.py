"""The run folder: summary, events, drivers and report of a run; written by simulations, read by replays."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dispatch.adapters.event_codec import decode
from dispatch.events import RideEvent
from geo.city import City
from geo.roads.graph import RoadGraph, roads_sha256
from simulator.service.event_log import lines

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
DRIVERS_FILE = "drivers.csv"
EVENTS_FILE = "events.parquet"
#: Rows that are written at a time.
EVENTS_PER_GROUP = 100_000
#: Without pyarrow.
EVENT_LINES_FILE = "events.jsonl.gz"
#: What the rounds of a live run were decided on.
ROUNDS_FOLDER = "rounds"


def city_facts(city: City, folder: Path) -> dict[str, str]:
    """Which city a run was about: where it was read from, and what its roads were."""
    return {
        "name": city.region.name,
        "region_id": city.region.region_id,
        "folder": str(folder.resolve()),
        "roads_sha256": roads_sha256(city.graph),
    }


def write_summary(summary: dict[str, Any], folder: Path) -> None:
    """Write `summary.json`."""
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def write_drivers(driver_ids: Sequence[str], graph: RoadGraph, nodes: Sequence[int], folder: Path) -> None:
    """Write where every driver began, for events speak of rides alone."""
    with (folder / DRIVERS_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["driver_id", "lat", "lng"])
        for driver_id, node in zip(driver_ids, nodes, strict=True):
            writer.writerow([driver_id, f"{graph.lat_deg[node]:.6f}", f"{graph.lng_deg[node]:.6f}"])


def write_events(events: list[RideEvent], folder: Path) -> Path:
    """Write every event, as parquet where pyarrow is installed, else as lines of JSON; returns the file."""
    if find_spec("pyarrow") is None:
        return _write_lines(events, folder / EVENT_LINES_FILE)
    return _write_parquet(events, folder / EVENTS_FILE)


def read_events(folder: Path) -> list[RideEvent]:
    """Every event of a run. Raises FileNotFoundError, or ValueError for what is no event."""
    if (path := folder / EVENTS_FILE).is_file():
        from pyarrow import parquet

        return [decode(payload) for payload in parquet.read_table(path, columns=["payload"])["payload"].to_pylist()]
    if (path := folder / EVENT_LINES_FILE).is_file():
        with gzip.open(path, "rb") as file:
            return [decode(line) for line in file]
    raise FileNotFoundError(f"{folder} has neither {EVENTS_FILE} nor {EVENT_LINES_FILE}")


def _write_lines(events: list[RideEvent], path: Path) -> Path:
    # A fixed time of change, so that one run gives one file.
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0, compresslevel=5) as packed:
        packed.writelines(line + b"\n" for line in lines(events))
    return path


def _write_parquet(events: list[RideEvent], path: Path) -> Path:
    """One row an event: what one filters by as columns, and the whole event as the service publishes it."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        {
            "at_s": pa.float64(),
            "event": pa.dictionary(pa.int32(), pa.string()),
            "ride_id": pa.string(),
            "sequence": pa.int32(),
            "driver_id": pa.string(),
            "payload": pa.string(),
        }
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        # A group at a time: all lines of a city's day at once took more memory than the day.
        for first in range(0, max(len(events), 1), EVENTS_PER_GROUP):
            group = events[first : first + EVENTS_PER_GROUP]
            columns = [
                [event.at_s for event in group],
                [type(event).__name__ for event in group],
                [event.ride_id for event in group],
                [event.sequence for event in group],
                [getattr(event, "driver_id", None) for event in group],
                [line.decode() for line in lines(group)],
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return path
