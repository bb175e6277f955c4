"""A day costs what happens in it, not the hours between: long pauses without riders are skipped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dispatch.matching.optimal import OptimalPolicy
from simulator import day as simulated
from simulator.agenda import Agenda
from simulator.day import Day
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import PlacedRequests
from simulator.service.event_log import sha256_of
from tests.simulator.towns import crowded

DAY_S = 86_400.0


def lived(town: Any, shift_s: float, **params: Any) -> tuple[Any, int]:
    """A town whose later half of riders comes so much later; returns the outcome and the number of rounds."""
    inputs = crowded(town, count=40, last_s=600, drivers=6)
    asked = inputs.requests.asked
    t_s = asked.t_s + np.where(np.arange(40) >= 20, shift_s, 0.0)
    requests = PlacedRequests(replace(asked, t_s=t_s), inputs.requests.pickup_node, inputs.requests.dropoff_node)
    rounds = []
    day = Day(inputs.city, requests, inputs.starts, OptimalPolicy(town), DayParams(**params))
    return day.run(lambda now_s, gone: rounds.append(now_s)), len(rounds)


@pytest.mark.parametrize(
    "params",
    [{}, {"is_congestion_on": True}, {"gps_noise_m": 5.0}, {"dispatch_changes": {"batch_window_s_min": 1.0}}],
)
def test_a_pause_of_years_costs_what_a_pause_of_days_does(town: Any, params: Any) -> None:
    (near, rounds_near), (far, rounds_far) = lived(town, 2 * DAY_S, **params), lived(town, 3000 * DAY_S, **params)
    assert rounds_far <= rounds_near + 2
    assert len(far.samples) <= len(near.samples) + 2
    for outcome in (near, far):
        assert outcome.violations == []
        rides = outcome.virtual_dispatch.history.rides
        completed = sum(ride.state == "COMPLETED" for ride in rides.values())
        assert completed >= 0.8 * len(rides)


def test_riders_after_a_pause_are_served_as_those_before(town: Any) -> None:
    outcome, _ = lived(town, 30 * DAY_S, gps_noise_m=5.0, acceptance=Acceptance.ALWAYS, is_surge_on=False)
    states = [ride.state for _, ride in sorted(outcome.virtual_dispatch.history.rides.items())]
    assert states == ["COMPLETED"] * 40
    late = [sample for sample in outcome.samples if sample.at_s > 29 * DAY_S]
    assert late
    assert max(len(late), len(outcome.samples) - len(late)) < 300


def test_a_day_without_a_long_pause_is_the_same_event_by_event(town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_skips, _ = lived(town, 3000.0)
    monkeypatch.setattr(simulated, "PAUSE_S", 1e9)
    without, _ = lived(town, 3000.0)
    assert sha256_of(with_skips.events) == sha256_of(without.events)
    assert len(with_skips.samples) == len(without.samples)


def test_calls_of_one_time_keep_their_order_when_some_were_skipped() -> None:
    made: list[str] = []
    agenda = Agenda()

    def call(name: str) -> Any:
        return lambda subject, now_s: made.append(name)

    agenda.repeat(10.0, call("every 1 s"), 0, after_s=9.0)
    agenda.repeat(10.0, call("every 5 s"), 0, after_s=5.0)
    agenda.at(10.0, call("event"), 0)
    assert (agenda.next_event_s, len(agenda)) == (10.0, 3)
    agenda.run()
    assert made == ["event", "every 5 s", "every 1 s"]
