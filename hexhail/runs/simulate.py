"""Runs a simulated day: reads the inputs, simulates, writes the results."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dispatch.matching.expected import ExpectedPolicy
from dispatch.matching.policy import MatchingPolicy
from dispatch.matching.position_value import PositionValue
from dispatch.matching.registry import make_policy
from geo.city import City
from hexhail.cities.sections import load_checked_city
from hexhail.runs.price_history import PriceHistory
from hexhail.runs.run_folder import REPORT_FILE, city_facts, write_drivers, write_events, write_summary
from hexhail.runs.sightings import write_sightings
from simulator.day import Day, Outcome
from simulator.day_params import DayParams
from simulator.demand.inputs import BadRows, DriverStarts, PlacedRequests, read_drivers, read_requests
from simulator.reports.figures import figures_of
from simulator.reports.report import report_html
from simulator.service.event_log import sha256_of


@dataclass(frozen=True)
class Inputs:
    """Validated inputs of a simulated day."""

    city: City
    city_dir: Path
    requests: PlacedRequests
    starts: DriverStarts
    bad: BadRows


@dataclass(frozen=True)
class Run:
    """A simulated day and the CPU time it took."""

    outcome: Outcome
    summary: dict[str, Any]


def read_inputs(city_dir: Path, requests: Path, drivers: Path, *, skip_bad: bool, to_crossings: bool = False) -> Inputs:
    """Read a city and its people; ``to_crossings`` moves all places to the nearest crossings.

    Raises ValueError or FileNotFoundError that names file, line and reason.
    """
    city = load_checked_city(city_dir)
    bad = BadRows(skip=skip_bad)
    off_road_m_max = city.region.off_road_m_max
    return Inputs(
        city,
        city_dir,
        read_requests(requests, city.graph, off_road_m_max, bad, to_crossings=to_crossings),
        read_drivers(drivers, city.graph, off_road_m_max, bad, to_crossings=to_crossings),
        bad,
    )


def simulate(
    inputs: Inputs,
    params: DayParams,
    policy: str | None = None,
    on_progress: Callable[[float, int], None] = lambda now_s, gone: None,
    values: PositionValue | None = None,
) -> Run:
    """Simulate a day and summarise it. Without a policy, or values, those of the city's file are used.

    `cpu_s` covers all of it: trips searched, rounds, life cycles, invariants, fingerprint. Raises ValueError or
    TypeError for a policy that does not exist (see `make_policy`), ValueError for a wrong section of the city's file.
    """
    policy = policy or params.dispatch(inputs.city.sections).policy
    chosen = policy_of(inputs, params, policy, values)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    outcome, fingerprint = live(inputs, params, chosen, on_progress)
    summary = figures_of(outcome)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    summary |= {
        "cpu_s": round(cpu_s, 3),
        "wall_s": round(wall_s, 3),
        "requests_per_cpu_s": round(summary["requests"] / cpu_s, 1),
        "events_sha256": fingerprint,
        "policy": policy,
        "policy_faults": outcome.virtual_dispatch.policy_faults.as_dict(),
        "city": city_facts(inputs.city, inputs.city_dir),
        "seed": params.seed,
        "version": version("hexhail"),
    }
    if outcome.fleet.tracking is not None:
        summary["gps"] = outcome.fleet.tracking.figures()
    if outcome.traffic is not None:
        summary["traffic"] = outcome.traffic.figures()
    if isinstance(chosen, ExpectedPolicy):
        summary["acceptance"] = asdict(chosen.answers.model.figures())
    return Run(outcome, summary)


def policy_of(inputs: Inputs, params: DayParams, policy: str, values: PositionValue | None = None) -> MatchingPolicy:
    """The policy of that name, with the given position values or else those that the city's file names.

    Raises ValueError or TypeError for a policy that does not exist, ValueError or OSError for values that are wrong.
    """
    dispatch = params.dispatch(inputs.city.sections)
    if values is None and dispatch.values:
        values = PositionValue.load(inputs.city_dir / dispatch.values, inputs.city.graph)
    return make_policy(policy, inputs.city.graph, values)


def live(
    inputs: Inputs,
    params: DayParams,
    policy: MatchingPolicy,
    on_progress: Callable[[float, int], None] = lambda now_s, gone: None,
) -> tuple[Outcome, str]:
    """Live a day; returns what it left behind and the fingerprint of its events.

    Nothing of a run is garbage until it ends; looking for some over and over took a third of the time.
    """
    gc.collect()
    gc.disable()
    try:
        outcome = Day(inputs.city, inputs.requests, inputs.starts, policy, params).run(on_progress)
        return outcome, sha256_of(outcome.events)
    finally:
        gc.enable()


def write_run(run: Run, inputs: Inputs, folder: Path) -> Path:
    """Write all files of a run into a folder, made if need be; returns the one with the events."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sightings(run.outcome.fleet.driver_id, run.outcome.fleet.asked_at, folder)
    PriceHistory.of(run.outcome.price_changes).save(folder)
    write_summary(run.summary, folder)
    write_drivers(run.outcome.fleet.driver_id, inputs.city.graph, inputs.starts.node.tolist(), folder)
    page = report_html(inputs.city.region.name, run.summary, run.outcome, inputs.city.surge_cells)
    (folder / REPORT_FILE).write_text(page, encoding="utf-8")
    return write_events(run.outcome.events, folder)
