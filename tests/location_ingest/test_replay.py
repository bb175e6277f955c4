"""A recorded stretch of a day through a whole installation; the whole day: python -m benchmarks replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h3
import numpy as np
import pytest

from benchmarks.location_ingest import replay as day
from geo.city import load_city
from hexhail.runs.recorded_pings import read_pings
from hexhail.runtime.settings import MANHATTAN
from location_ingest.commands import RecordPings
from location_ingest.engine import IngestEngine
from location_ingest.events import PositionAccepted
from location_ingest.model import DriverPing, IngestParams
from tests.location_ingest.plain_cells import compute, region_cells


@pytest.mark.servers
async def test_replayed_pings_end_where_plain_python_says_and_every_one_is_accounted_for(tmp_path: Path) -> None:
    city_dir = tmp_path / "city"
    if day.FRIDAY.exists():
        day.build_san_francisco(city_dir)
        pings = day.a_while_of(read_pings(day.FRIDAY), 12 * 3600, 900.0)
    else:
        day.copy_of_manhattan(city_dir)
        pings = day.drawn_pings(load_city(city_dir))
    replayed = await day.replayed_through(city_dir, pings, day.SMALL_SPEED, tmp_path)
    day.check(replayed)
    assert replayed.figures.sent == len(pings)
    assert replayed.figures.accepted > 0.9 * len(pings)
    assert len(replayed.stored) > 100


@pytest.mark.parametrize("drawn", ["wandering", "hours of a Friday"])
def test_the_engine_and_plain_python_come_to_the_same_verdicts(drawn: Any) -> None:
    if drawn == "wandering":
        city = load_city(MANHATTAN)
        nodes = zip(city.graph.lat_deg.tolist(), city.graph.lng_deg.tolist(), strict=True)
        pings = day.drawn_pings(city, drivers=300, duration_s=3600.0, seed=2)
        cells = region_cells(nodes, [], 8)
    elif day.FRIDAY.exists():
        pings = day.a_while_of(read_pings(day.FRIDAY), 0.0, 4 * 3600.0)
        cells = region_cells(zip(pings.lat_deg.tolist(), pings.lng_deg.tolist(), strict=True), [], 8)
    else:
        pytest.skip("the San Francisco pings are not beside the project")
    columns = (pings.driver_id, pings.t_s, pings.lat_deg, pings.lng_deg)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    plain = compute(rows, cells, 8, IngestParams())
    engine, accepted, rejected = IngestEngine(), 0, 0
    for row in rows:
        command = RecordPings("city", row[1], (DriverPing(*row),))
        # What is outside has been refused at the edge.
        if h3.latlng_to_cell(row[2], row[3], 8) in cells:
            (event,) = engine.handle(command, row[1])
            accepted += isinstance(event, PositionAccepted)
            rejected += not isinstance(event, PositionAccepted)
    assert (accepted, rejected) == (plain.accepted, sum(plain.rejected.values()) - plain.rejected["off_region"])
    assert plain.rejected["impossible_jump"] > 0


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pings_are_read_by_time_whatever_their_file_calls_the_columns(suffix: Any, tmp_path: Path) -> None:
    path = tmp_path / f"pings.{suffix}"
    if suffix == "csv":
        path.write_text(
            "driver_id,t_s,lat_deg,lng_deg,speed_mps\nb,20,37.5,-122.5,3\na,20,37.7,-122.4,\na,10,37.6,-122.4,1\n"
        )
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {"cab_id": [2, 1, 1], "t": [20, 20, 10], "lat_e5": [3750000, 3770000, 3760000]}
        parquet.write_table(pyarrow.table({**columns, "lon_e5": [-12250000, -12240000, -12240000]}), path)
    pings = read_pings(path)
    assert pings.t_s.tolist() == [10.0, 20.0, 20.0]
    assert pings.lat_deg.tolist() == [37.6, 37.7, 37.5]
    if suffix == "csv":
        assert np.isnan(pings.optional["speed_mps"][1])


def test_a_file_without_a_column_or_with_a_word_for_a_number_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pings.csv"
    path.write_text("driver_id,when,lat,lng\n")
    with pytest.raises(ValueError, match=r"pings.csv has no column t_s or t; it has driver_id, when, lat, lng"):
        read_pings(path)
    path.write_text("driver_id,t_s,lat,lng\na,soon,1,2\n")
    with pytest.raises(ValueError, match=r"pings.csv, column t_s, row 1 below the header: .*soon"):
        read_pings(path)
