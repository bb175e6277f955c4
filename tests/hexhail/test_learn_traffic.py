"""`hexhail city learn-traffic`: what it learns, what it reports, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from geo.learning.traffic import EdgeSpeeds
from hexhail.cli.app import app
from tests.traffic.running import CITY_TOML
from tests.traffic.town import Fleet, grid, row_of

#: A Tuesday and the Wednesday after it, 8:00 in Zurich.
TUESDAY_S = 1_772_521_200.0
DAY_S = 86_400.0
ROW = 3


@pytest.fixture
def city(tmp_path: Path) -> Path:
    folder = tmp_path / "town"
    grid().save(folder)
    (folder / "city.toml").write_text(CITY_TOML)
    return folder


def recorded(path: Path, *days: tuple[float, np.ndarray], drivers: int = 24) -> Path:
    """A file of pings of an hour of each day, from its start and at its factors."""
    lines = ["driver_id,t_s,lat_deg,lng_deg"]
    for start_s, factor in days:
        fleet = Fleet(grid(), drivers)
        for some in (fleet, Fleet(grid(), 8, seed=2, along=ROW)):
            ids, places = some.drive(factor, start_s, start_s + 3_600.0, every_s=20.0)
            lines += [f"{name},{t_s},{lat},{lng}" for name, (t_s, lat, lng) in zip(ids, places.tolist(), strict=True)]
    path.write_text("\n".join(lines))
    return path


def slow_row(factor: float) -> np.ndarray:
    factors = np.full(grid().edge_count, 1.4)
    factors[row_of(grid(), ROW)] = factor
    return factors


def run(city: Path, *files: Path, out: Path) -> tuple[int, str]:
    pings = [option for file in files for option in ("--pings", str(file))]
    result = CliRunner().invoke(app, ["city", "learn-traffic", str(city), *pings, "--out", str(out)])
    return result.exit_code, " ".join(result.output.split())


def test_the_usual_traffic_is_learned_and_judged_by_the_last_day(city: Path, tmp_path: Path) -> None:
    first = recorded(tmp_path / "tuesday.csv", (TUESDAY_S, slow_row(3.0)))
    second = recorded(tmp_path / "wednesday.csv", (TUESDAY_S + DAY_S, slow_row(3.0)))
    code, said = run(city, first, second, out=city / "traffic.npz")
    assert code == 0, said
    assert "on 2 days" in said
    assert "held back: the last day, 2026-03-04" in said
    assert "name it as `profile` in [learned_traffic]" in said
    speeds = EdgeSpeeds.load(city / "traffic.npz", grid())
    factors = speeds.factors(2 * 24 + 8)
    street = row_of(grid(), ROW)
    assert np.median(factors[street]) > 1.5 * np.median(np.delete(factors, street))


def test_pings_of_one_day_are_judged_by_some_of_the_drivers(city: Path, tmp_path: Path) -> None:
    file = recorded(tmp_path / "pings.csv", (TUESDAY_S, slow_row(2.0)))
    code, said = run(city, file, out=tmp_path / "traffic.npz")
    assert code == 0, said
    assert "held back: one driver in 5" in said


def test_what_makes_held_back_trips_worse_is_refused_and_nothing_is_written(city: Path, tmp_path: Path) -> None:
    free = np.ones(grid().edge_count)
    file = recorded(tmp_path / "pings.csv", (TUESDAY_S, free * 4.0), (TUESDAY_S + DAY_S, free))
    code, said = run(city, file, out=tmp_path / "traffic.npz")
    assert code == 1
    assert "held-back trips would be predicted worse" in said
    assert not (tmp_path / "traffic.npz").exists()


def test_pings_of_another_city_and_too_few_are_refused(city: Path, tmp_path: Path) -> None:
    file = tmp_path / "far.csv"
    file.write_text("driver_id,t_s,lat_deg,lng_deg\na,0,40.0,-74.0\na,60,40.01,-74.0\n")
    assert "is it the right city?" in run(city, file, out=tmp_path / "traffic.npz")[1]
    few = recorded(tmp_path / "few.csv", (TUESDAY_S, np.ones(grid().edge_count)), drivers=1)
    few.write_text("\n".join(few.read_text().splitlines()[:60]))
    assert "trips could be held back" in run(city, few, out=tmp_path / "traffic.npz")[1]
    assert "has no column" in run(city, city / "city.toml", out=tmp_path / "traffic.npz")[1]
