"""Riders and drivers of the load by locust, against a real installation."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks.load.load import in_steps
from benchmarks.load.locust_processes import LoadParams, StepParams
from tests.api.installation import Installation


@pytest.mark.servers
async def test_people_of_two_workers_ride_and_cancel_without_a_failure_and_leave_no_ride_open(
    installation: Installation, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{installation.env['HEXHAIL_API_PORT']}"
    steps = StepParams(rates=(2,), step_s=3.0, report=tmp_path / "report.json", pids={})
    params = LoadParams(drivers=8, cancel_share=0.5, workers=2)
    report = await in_steps(url, installation.env, params, steps, tmp_path)
    assert report.errors == {}
    assert len(report.steps) == 1, report.stopped
    step = report.steps[0]
    assert (step.drivers, step.rate) == (8, 2)
    assert step.pings_per_s > 0.0
    database = installation.env["HEXHAIL_DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        rides = dict(
            connection.execute("SELECT state, count(*) FROM rides WHERE rider_id LIKE 'load-rider-%' GROUP BY state")
        )
        drivers = connection.execute("SELECT count(*) FROM shifts WHERE driver_id LIKE 'load-driver-%'").fetchone()
    connection.close()
    assert sum(rides.values()) >= step.requested > 0
    assert set(rides) == {"COMPLETED", "CANCELLED"}
    assert drivers == (8,)
    assert report.ended == rides
