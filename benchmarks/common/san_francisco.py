"""San Francisco's Friday out of ../shared/data/sf: the city, its zones and the demand that is drawn from them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from pyarrow import compute, parquet

from benchmarks.common.measure import SHARED_DATA
from geo.city import City, load_city
from geo.city_build import CsvSource, build_city
from hexhail.cities.demand import ZoneFiles, make_demand, write_demand
from hexhail.cities.files import write_city_file

SF = SHARED_DATA / "sf"
#: South, north, west, east: the city, without the bridges' far ends.
BOX_DEG = (37.70, 37.835, -122.52, -122.355)
FRIDAY = date(2016, 11, 18)
MPS_PER_MPH = 0.44704
#: Median of recorded trip durations over free flow; the graph's speeds are limits, not what cabs drive.
CONGESTION = 2.03


def write_city(folder: Path) -> City:
    """Build San Francisco's drive graph, at the speeds that cabs drive on average over the day."""
    south, north, west, east = BOX_DEG
    nodes = parquet.read_table(SF / "bayarea_nodes.parquet", columns=["osmid", "lat", "lon"])
    lat, lng = nodes["lat"], nodes["lon"]
    inside = compute.and_(
        compute.and_(compute.greater(lat, south), compute.less(lat, north)),
        compute.and_(compute.greater(lng, west), compute.less(lng, east)),
    )
    nodes = nodes.filter(inside)
    kept = set(nodes["osmid"].to_pylist())
    edges = parquet.read_table(SF / "bayarea_edges.parquet", columns=["u", "v", "length_m", "speed_mph"])
    ways = [row for row in zip(*edges.to_pydict().values(), strict=True) if row[0] in kept and row[1] in kept]
    _write(folder / "nodes.csv", ["node", "lat", "lng"], zip(*nodes.to_pydict().values(), strict=True))
    slow = ((u, v, m, CONGESTION * m / (mph * MPS_PER_MPH)) for u, v, m, mph in ways)
    _write(folder / "edges.csv", ["source", "target", "length_m", "travel_time_s"], slow)
    city = folder / "city"
    build_city(CsvSource(folder / "nodes.csv", folder / "edges.csv"), city, lambda stage, done: None)
    write_city_file(city, name="San Francisco", timezone="America/Los_Angeles", currency="USD", is_osm=True)
    return load_city(city)


def write_friday(folder: Path, city: City, drivers: int, trips: float | None = None) -> None:
    """Draw the Friday of 222,507 trips, or `trips` of them, and its drivers, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ZoneFiles(folder / "zones.csv", folder / "volumes.csv", folder / "seen.csv.gz")
    with (SF / "taz981_centroids.csv").open(encoding="utf-8") as file:
        _write(
            files.zones, ["zone", "lat", "lng"], ([row["taz"], row["lat"], row["lon"]] for row in csv.DictReader(file))
        )
    volumes = parquet.read_table(SF / "tnc_pickups_dropoffs_by_taz.parquet").to_pydict()
    names = ["taz", "hour", "pickups", "dropoffs", "day_of_week"]
    header = ["zone", "hour", "pickups", "dropoffs", "day_of_week"]
    _write(files.volumes, header, zip(*(volumes[name] for name in names), strict=True))
    _write_seen(files.trips)
    write_demand(make_demand(city, FRIDAY, trips, drivers, 1, files, lambda what: None), folder)


def _write_seen(path: Path) -> None:
    """Clean taxi trips of the three weeks as they were recorded."""
    columns = ["pu_lat_e5", "pu_lon_e5", "do_lat_e5", "do_lon_e5"]
    table = parquet.read_table(SF / "trips_2008-05-17_to_06-06.parquet", columns=[*columns, "clean"])
    table = table.filter(compute.fill_null(table["clean"], False))
    places = np.stack([table[name].to_numpy() for name in columns], axis=1) / 1e5
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng"])
        writer.writerows(places.round(5).tolist())


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
