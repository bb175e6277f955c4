"""Faulty decisions of a policy are reported, counted and dropped; the day continues."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexhail.runs.simulate import simulate, write_run
from simulator.day_params import DayParams
from simulator.service.policy_faults import SENTENCES_KEPT, PolicyFaults
from tests.simulator.towns import crowded

PREAMBLE = """
from dispatch.events import MatchFound

class Policy:
    name = "{name}"
    def __init__(self, graph):
        pass

    def match(self, waiting, supply, params, now_s):
        return {matches}
"""
WRONG = {
    "twice": "[MatchFound(ride.ride_id, supply.driver_id[0], 20.0, 1.0) for ride in waiting]",
    "too small": "[MatchFound(ride.ride_id, driver, 20.0, 1.0) for ride, driver in zip(waiting, supply.driver_id)]",
    "too far": "[MatchFound(waiting[0].ride_id, supply.driver_id[0], 1e5, 1.0)]",
    "raises": "waiting[0].price",
    "says nothing": "None",
}
SAID = {
    "twice": "the driver has a ride already",
    "too small": "the car has 4 seats, 5 are needed",
    "too far": "a pickup in 100000.0 s for a score of 1.0 is no offer",
    "raises": "raised AttributeError",
    "says nothing": "raised TypeError",
}


@pytest.mark.parametrize("name", WRONG)
def test_policy_faults_are_reported_and_the_day_is_written_as_usual(town: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "wrong.py").write_text(PREAMBLE.format(name=name, matches=WRONG[name]))
    inputs = crowded(town, count=60)
    if name == "too small":
        asked = replace(inputs.requests.asked, party_size=np.full(60, 5, np.uint8))
        inputs = replace(inputs, requests=replace(inputs.requests, asked=asked))
    run = simulate(inputs, DayParams(chain_within_s=0.0), f"{tmp_path}/wrong.py:Policy")
    write_run(run, inputs, tmp_path / "out")

    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    faults = written["policy_faults"]
    assert faults["count"] >= faults["rounds"] > 0
    assert any(f"policy {name}: " in sentence and SAID[name] in sentence for sentence in faults["first"])
    assert run.outcome.violations == []
    assert written["requests"] == written["completed"] + written["cancelled"] + written["expired"]
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "out" / "drivers.csv").read_text().splitlines()) == 1 + 9


def test_all_faults_are_counted_and_the_first_messages_are_kept() -> None:
    faults = PolicyFaults()
    for number in range(30):
        faults.note([f"a{number}", f"b{number}"] if number % 2 else [], float(number))
    assert (faults.count, faults.rounds) == (30, 15)
    assert len(faults.first) == SENTENCES_KEPT
    assert faults.first[0] == "at 1 s: a1"


def test_our_own_policies_make_no_fault(town: Any) -> None:
    for name in ("optimal", "greedy", "nearest"):
        assert simulate(crowded(town, count=40), DayParams(), name).summary["policy_faults"]["count"] == 0


def test_a_policy_from_a_file_may_hold_dataclasses(town: Any, tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from dispatch.matching.greedy import GreedyPolicy\n"
        "@dataclass\nclass Notes:\n    rides: int = 0\nclass Policy(GreedyPolicy):\n    notes = Notes()\n"
    )
    assert simulate(crowded(town, count=20), DayParams(), f"{tmp_path}/typed.py:Policy").summary["completed"] > 10
