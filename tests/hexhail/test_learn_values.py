"""Learning position values from runs, and using them in a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dispatch.events import RideRequested
from dispatch.matching.position_value import PositionValue, ValueParams
from dispatch.model import DispatchParams
from hexhail.cities.policy import city_policy
from hexhail.cli.app import app
from hexhail.runs.learn_values import learn_from_runs
from hexhail.runs.run_folder import EVENTS_FILE, SUMMARY_FILE, read_events, write_events
from hexhail.runs.simulate import simulate, write_run
from simulator.day_params import DayParams
from tests.dispatch.people import grid_city
from tests.simulator.towns import crowded

TOWN = grid_city(5, 5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    inputs = crowded(TOWN)
    write_run(simulate(inputs, DayParams()), inputs, folder)
    return folder


@pytest.fixture(scope="module")
def town_inputs() -> Any:
    return crowded(TOWN)


def test_a_run_teaches_values_that_the_next_run_uses(run: Any, town_inputs: Any, tmp_path: Path) -> None:
    # Four hundred metres of town: small cells.
    learned = learn_from_runs(town_inputs.city, [run], ValueParams(resolution=10, prior_visits=1.0))
    rides = json.loads((run / SUMMARY_FILE).read_text())
    assert learned.trips == rides["completed"]
    assert learned.values.earned_cents_per_s > 0
    learned.values.save(tmp_path / "values.npz")
    values = PositionValue.load(tmp_path / "values.npz", TOWN)
    again = [simulate(town_inputs, DayParams(), values=values) for _ in range(2)]
    assert again[0].summary["events_sha256"] == again[1].summary["events_sha256"] != rides["events_sha256"]
    assert not again[0].outcome.violations


def test_two_runs_teach_what_their_rows_teach_together(run: Any, town_inputs: Any) -> None:
    once, twice = (learn_from_runs(town_inputs.city, [run] * times).values for times in (1, 2))
    assert np.array_equal(twice.visits, 2 * once.visits)


def test_requests_of_another_map_teach_where_they_are(run: Any, town_inputs: Any, tmp_path: Path) -> None:
    last = TOWN.node_count - 1

    def numbered_backwards(event: Any) -> Any:
        if not isinstance(event, RideRequested):
            return event
        pickup, dropoff = (replace(end, node=last - end.node) for end in (event.pickup, event.dropoff))
        return replace(event, map_id="numbered backwards", pickup=pickup, dropoff=dropoff)

    write_events([numbered_backwards(event) for event in read_events(run)], tmp_path)
    own, other = (learn_from_runs(town_inputs.city, [folder]).values for folder in (run, tmp_path))
    assert np.array_equal(own.visits, other.visits)


def test_a_city_names_its_values_and_a_wrong_file_stops_it(run: Any, town_inputs: Any, tmp_path: Path) -> None:
    learn_from_runs(town_inputs.city, [run]).values.save(tmp_path / "values.npz")
    params = DispatchParams(values="values.npz")
    assert city_policy(tmp_path, TOWN, params).name == "optimal"
    with pytest.raises(ValueError, match="another city"):
        city_policy(tmp_path, grid_city(6, 5), params)
    with pytest.raises(ValueError, match="'greedy' has no use"):
        city_policy(tmp_path, TOWN, replace(params, policy="greedy"))
    with pytest.raises(FileNotFoundError, match="learn-values"):
        city_policy(tmp_path / "none", TOWN, params)


def test_a_folder_that_is_no_run_or_of_another_city_is_refused(run: Any, town_inputs: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has neither"):
        learn_from_runs(town_inputs.city, [tmp_path])
    elsewhere = crowded(grid_city(6, 5)).city
    with pytest.raises(ValueError, match="on other roads"):
        learn_from_runs(elsewhere, [run])
    (tmp_path / EVENTS_FILE).write_bytes(b"PAR1 but not really")
    with pytest.raises(ValueError, match="cannot be read"):
        learn_from_runs(town_inputs.city, [tmp_path])


def test_the_command_writes_the_file_and_says_what_it_holds(
    run: Any, town_inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geo.city.load_city", lambda folder: town_inputs.city)
    done = CliRunner().invoke(
        app, ["city", "learn-values", "town", "--events", str(run), "--out", str(tmp_path / "new" / "values.npz")]
    )
    assert done.exit_code == 0, done.output
    assert "cells seen" in done.output
    assert PositionValue.load(tmp_path / "new" / "values.npz", TOWN).visits.sum() > 100
