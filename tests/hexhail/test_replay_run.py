"""The data that `hexhail replay` serves from a run folder, and its errors for unusable folders."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import ASGITransport, AsyncClient, Response

from dispatch.matching.optimal import OptimalPolicy
from hexhail.cities.files import write_city_file
from hexhail.runs.price_history import PriceHistory
from hexhail.runs.replay_page import build_app
from hexhail.runs.replay_run import RecordedRun
from hexhail.runs.run_folder import city_facts, write_drivers, write_events, write_summary
from hexhail.runs.sightings import write_sightings
from simulator.day import Day
from simulator.day_params import DayParams
from tests.simulator.towns import crowded, small_town


@pytest.fixture(scope="module")
def town() -> Any:
    return small_town()


@pytest.fixture(scope="module")
def day(town: Any) -> Any:
    inputs = crowded(town, count=40)
    return inputs, Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(inputs.city.graph), DayParams()).run()


@pytest.fixture
def folder(day: Any, tmp_path: Path) -> Any:
    """What `hexhail simulate` leaves, of a day in a small town."""
    inputs, outcome = day
    (tmp_path / "town").mkdir()
    inputs.city.graph.save(tmp_path / "town")
    write_city_file(tmp_path / "town", name="Town", timezone="UTC", currency="USD", is_osm=False)
    run = tmp_path / "run"
    run.mkdir()
    write_summary({"city": city_facts(inputs.city, tmp_path / "town")}, run)
    write_drivers(outcome.fleet.driver_id, inputs.city.graph, inputs.starts.node.tolist(), run)
    write_events(outcome.events, run)
    PriceHistory.of(outcome.price_changes).save(run)
    write_sightings(outcome.fleet.driver_id, outcome.fleet.asked_at, run)
    return run


@pytest.fixture
def pages(tmp_path: Path) -> Any:
    (tmp_path / "web" / "assets").mkdir(parents=True)
    (tmp_path / "web" / "replay.html").write_text("<title>replay</title>")
    return tmp_path / "web"


async def ask(run: RecordedRun, pages: Path, path: str) -> Response:
    async with AsyncClient(transport=ASGITransport(build_app(run, pages)), base_url="http://localhost") as client:
        return await client.get(path)


def change(path: Path, **facts: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


async def test_the_page_gets_the_run_the_tracks_the_roads_and_the_events_of_each(
    day: Any, folder: Path, pages: Any
) -> None:
    _, outcome = day
    run = RecordedRun(folder, None)
    assert (await ask(run, pages, "/")).text == "<title>replay</title>"
    about = (await ask(run, pages, "/v1/replay/run")).json()
    assert about["drivers"] == sorted(outcome.fleet.driver_id)
    rides = about["rides"]
    assert len(rides["ride_id"]) == len({event.ride_id for event in outcome.events})
    assert {end for end in rides["end"] if end} <= {"completed", "cancelled", "expired"}
    assert all(steps[1] == 1 for steps in rides["open"])
    drivers, corners = struct.unpack_from("<II", packed := (await ask(run, pages, "/v1/replay/tracks")).content)
    assert (drivers, len(packed)) == (len(about["drivers"]), 8 + 4 * (drivers + 1) + 13 * corners)
    prices = (await ask(run, pages, "/v1/replay/prices")).json()
    changes = [(change.at_s, len(change.cell)) for change in outcome.price_changes]
    assert changes
    assert prices["t_ms"] == [round(1e3 * (at_s - about["begin_s"])) for at_s, count in changes for _ in range(count)]
    last = outcome.price_changes[-1]
    assert prices["cell"][prices["at"][-1]] == f"{last.cell[-1]:x}"
    assert prices["multiplier"][-1] == pytest.approx(last.multiplier[-1], abs=0.005)
    assert (await ask(run, pages, "/v1/replay/roads")).json()["features"]
    ride = rides["ride_id"][0]
    told = (await ask(run, pages, f"/v1/replay/events?subject={ride}")).json()
    assert [event["sequence"] for event in told] == list(range(1, 1 + len(told)))
    assert {event["ride_id"] for event in told} == {ride}
    driver = next(event["driver_id"] for event in told if event["event"] == "OfferSent")
    hers = (await ask(run, pages, f"/v1/replay/events?subject={driver}")).json()
    assert ride in {event["ride_id"] for event in hers}
    assert (await ask(run, pages, "/v1/replay/events?subject=nobody")).status_code == 404


async def test_a_driver_to_whom_nothing_happened_has_no_events_and_is_no_error(
    day: Any, folder: Path, pages: Any
) -> None:
    inputs, outcome = day
    names, nodes = [*outcome.fleet.driver_id, "z"], [*inputs.starts.node.tolist(), 0]
    write_drivers(names, inputs.city.graph, nodes, folder)
    assert (await ask(RecordedRun(folder, None), pages, "/v1/replay/events?subject=z")).json() == []


def test_a_run_that_does_not_say_where_drivers_began_is_played_all_the_same(day: Any, folder: Path) -> None:
    (folder / "drivers.csv").unlink()
    (folder / "prices.npz").unlink()
    (folder / "sightings.npz").unlink()
    run = RecordedRun(folder, None)
    assert run.price_columns()["t_ms"] == []
    assert set(run.tracks.driver_id) <= set(day[1].fleet.driver_id)
    assert run.tracks.t_ms.size


def test_a_driver_who_cruised_sets_out_from_where_she_was_asked(day: Any, folder: Path, town: Any) -> None:
    inputs, outcome = day
    run = RecordedRun(folder, None)
    asked = [one for one in outcome.fleet.asked_at if one.number == 0]
    node, _ = town.snap([one.lat_deg for one in asked], [one.lng_deg for one in asked])
    assert set(node.tolist()) != {int(inputs.starts.node[0])}  # she did cruise
    track = slice(*run.tracks.offset[:2])
    t_s = run.tracks.begin_s + run.tracks.t_ms[track] / 1e3
    for one, at in zip(asked, node.tolist(), strict=True):
        corner = int(np.searchsorted(t_s, one.at_s + 0.001, "right")) - 1
        place = run.tracks.lat_e6[track][corner] / 1e6, run.tracks.lng_e6[track][corner] / 1e6
        assert place == pytest.approx((town.lat_deg[at], town.lng_deg[at]), abs=1e-6)


def spoil(folder: Path, how: str) -> None:
    summary = folder / "summary.json"
    if how == "roads":
        facts = json.loads(summary.read_text())["city"]
        change(summary, city={**facts, "roads_sha256": "0" * 64})
    elif how == "city":
        change(summary, city=None)
    elif how == "drivers":
        (folder / "drivers.csv").write_text("name,lat,lng\nd1,0,0\n")
    elif how == "sightings":
        (folder / "sightings.npz").write_bytes(b"PK")
    elif how == "prices":
        (folder / "prices.npz").write_bytes(b"PK")
    elif how == "events":
        write_events([], folder)
    else:
        (folder / how).unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("summary.json", "summary.json does not exist: is .* the folder of a run"),
        ("events.parquet", "neither events.parquet nor events.jsonl.gz"),
        ("events", "holds no events"),
        ("roads", "are not those of the run .*name the right city with --city"),
        ("city", "does not say in which city the run was: name its folder with --city"),
        ("drivers", "drivers.csv is no table of driver_id,lat,lng"),
        ("prices", "prices.npz holds no prices"),
        ("sightings", "sightings.npz holds no sightings"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(folder: Path, how: Any, message: str) -> None:
    spoil(folder, how)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RecordedRun(folder, None)


def test_a_page_that_is_not_built_is_named_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"replay\.html does not exist: build the pages with `make web`"):
        build_app(RecordedRun(folder, None), tmp_path)
