"""`hexhail city demand`: requests drawn from zone counts, or from the streets alone."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from typer.testing import CliRunner

from geo.city import load_city
from geo.roads.graph import RoadGraph
from hexhail.cities.files import write_city_file
from hexhail.cli.app import app
from simulator.demand.inputs import BadRows, read_drivers, read_requests

SIDE = 12
STEP_DEG = 0.003


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lattice of streets in San Francisco's time zone."""
    folder = tmp_path_factory.mktemp("city")
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    right, up = np.flatnonzero(column < SIDE - 1), np.flatnonzero(row < SIDE - 1)
    source = np.concatenate([right, right + 1, up, up + SIDE])
    target = np.concatenate([right + 1, right, up + SIDE, up])
    length_m = np.full(source.size, 300.0)
    graph = RoadGraph.from_arrays(
        37.7 + STEP_DEG * row, -122.5 + STEP_DEG * column, source, target, length_m, length_m / 8.0
    )
    graph.save(folder)
    write_city_file(folder, name="Lattice", timezone="America/Los_Angeles", currency="USD", is_osm=False)
    return folder


@pytest.fixture
def counted(tmp_path: Path) -> Any:
    """Four zones, counted in two hours of a Friday, and some trips seen between them."""
    middles = {1: (37.705, -122.495), 2: (37.705, -122.47), 3: (37.73, -122.495), 9: (37.73, -122.47)}
    write(tmp_path / "zones.csv", "zone,lat,lng", [(zone, *place) for zone, place in middles.items()])
    volumes = [(zone, hour, 10 * zone, 5 * (10 - zone), 4) for zone in middles for hour in (8, 25)]
    write(tmp_path / "volumes.csv", "zone,hour,pickups,dropoffs,day_of_week", [*volumes, (1, 8, 999, 999, 0)])
    trips = [(*middles[a], *middles[b]) for a in middles for b in middles for _ in range(a + b)]
    write(tmp_path / "seen.csv", "pickup_lat,pickup_lng,dropoff_lat,dropoff_lng", trips)
    return tmp_path


def write(path: Path, header: Any, rows: Any) -> None:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")


def demand(city: Any, out: Any, *options: Any) -> Any:
    return CliRunner().invoke(app, ["city", "demand", str(city), "--out", str(out), "--date", "2016-11-18", *options])


def from_counts(folder: Path) -> Any:
    return (
        "--zones",
        str(folder / "zones.csv"),
        "--volumes",
        str(folder / "volumes.csv"),
        "--seen",
        str(folder / "seen.csv"),
    )


def rows_of(out: Any) -> Any:
    with gzip.open(out / "requests.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_counted_day_has_as_many_requests_in_each_hour_and_zone_as_were_counted(city: Any, counted: Any) -> None:
    result = demand(city, counted / "day", *from_counts(counted))
    assert result.exit_code == 0, result.output
    rows = rows_of(counted / "day")
    assert len(rows) == 300  # 10 + 20 + 30 + 90 in each of two hours, of Friday alone
    local = [datetime.fromtimestamp(float(row["t_s"]), UTC).astimezone(ZoneInfo("America/Los_Angeles")) for row in rows]
    assert [(moment.day, moment.hour) for moment in local].count((18, 8)) == 150
    assert [(moment.day, moment.hour) for moment in local].count((19, 1)) == 150
    from_nine = sum(float(row["pickup_lat"]) > 37.7175 and float(row["pickup_lng"]) > -122.4825 for row in rows)
    assert from_nine == pytest.approx(180, abs=30)


def test_what_is_written_can_be_simulated_without_a_bad_row(city: Any, counted: Any) -> None:
    assert demand(city, counted / "day", *from_counts(counted), "--drivers", "7").exit_code == 0
    loaded, bad = load_city(city), BadRows()
    requests = read_requests(counted / "day" / "requests.csv.gz", loaded.graph, 200.0, bad)
    assert len(requests) == 300
    assert (requests.pickup_node != requests.dropoff_node).all()
    assert len(read_drivers(counted / "day" / "drivers.csv", loaded.graph, 200.0, bad)) == 7


def test_the_same_seed_gives_the_same_files_and_another_one_others(city: Any, tmp_path: Path) -> None:
    def fingerprint(name: str, seed: int) -> Any:
        assert demand(city, tmp_path / name, "--trips", "200", "--seed", seed).exit_code == 0
        return hashlib.sha256((tmp_path / name / "requests.csv.gz").read_bytes()).hexdigest()

    assert fingerprint("one", "1") == fingerprint("again", "1") != fingerprint("other", "2")


def test_a_sketch_says_that_nothing_of_it_was_counted(city: Any, tmp_path: Path) -> None:
    result = demand(city, tmp_path, "--trips", "500")
    assert result.exit_code == 0, result.output
    about = json.loads((tmp_path / "demand.json").read_text(encoding="utf-8"))
    assert about["requests"] == len(rows_of(tmp_path)) == 500
    assert "sketch" in about["what"]


def test_trips_scale_what_was_counted(city: Any, counted: Any) -> None:
    assert demand(city, counted / "day", *from_counts(counted), "--trips", "60").exit_code == 0
    assert len(rows_of(counted / "day")) == 60


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("volumes.csv", "7,8,1,1,4", "zone 7 is not in the file of zones"),
        ("volumes.csv", "1,48,1,1,4", "hour is 48"),
        ("volumes.csv", "1,8,-1,1,4", "pickups and dropoffs are -1 and 1"),
        ("volumes.csv", "1,8,1,1,7", "day_of_week is 7"),
        ("zones.csv", "2.5,37.7,-122.4", "zone is 2.5, not a whole number"),
        ("zones.csv", "nan,37.7,-122.4", "zone is nan, not a whole number"),
        ("zones.csv", "1,37.7,-122.4", "each once"),
        ("seen.csv", "95,0,0,0", "the pickup (95.0, 0.0) is not a place"),
    ],
)
def test_a_bad_row_is_refused_with_its_file(city: Any, counted: Any, file: Any, line: Any, message: str) -> None:
    with (counted / file).open("a", encoding="utf-8") as opened:
        opened.write(line + "\n")
    result = demand(city, counted / "day", *from_counts(counted))
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert file in result.output.replace("\n", "")
    assert not (counted / "day").exists()


def test_options_that_do_not_go_together_are_refused(city: Any, counted: Any, tmp_path: Path) -> None:
    assert "go together" in demand(city, tmp_path / "x", "--zones", str(counted / "zones.csv")).output
    assert "--trips 20000" in demand(city, tmp_path / "x").output
    assert "at least 1" in demand(city, tmp_path / "x", "--trips", "10", "--drivers", "0").output


@pytest.mark.parametrize("day", ["2016-03-13", "2016-11-06"])
def test_demand_lands_in_its_clock_hour_on_days_when_clocks_change(city: Any, counted: Any, day: str) -> None:
    """In spring the clocks of Los Angeles go from 2 to 3, in autumn from 2 back to 1."""
    volumes = [(zone, hour, 10 * zone, 10 * zone) for zone in (1, 2, 3, 9) for hour in (0, 1, 2, 3, 9, 20)]
    write(counted / "volumes.csv", "zone,hour,pickups,dropoffs", volumes)
    result = demand(city, counted / "day", *from_counts(counted), "--date", day)
    assert result.exit_code == 0, result.output
    zone = ZoneInfo("America/Los_Angeles")
    moments = [datetime.fromtimestamp(float(row["t_s"]), zone) for row in rows_of(counted / "day")]
    assert {moment.date().isoformat() for moment in moments} == {day}
    hours = [moment.hour for moment in moments]
    spring = day == "2016-03-13"
    assert {hour: hours.count(hour) for hour in set(hours)} == dict.fromkeys(
        (0, 1, 3, 9, 20) if spring else (0, 1, 2, 3, 9, 20), 150
    )
    assert ("the clocks are put forward over that hour" in result.output) is spring
    if not spring:  # the hour that comes twice has its riders in both
        assert 50 <= sum(moment.hour == 1 and moment.fold == 1 for moment in moments) <= 100


def test_a_day_without_an_hour_has_as_many_trips_as_asked_for(city: Any, tmp_path: Path) -> None:
    result = demand(city, tmp_path, "--trips", "500", "--date", "2016-03-13")
    assert result.exit_code == 0, result.output
    assert len(rows_of(tmp_path)) == 500
