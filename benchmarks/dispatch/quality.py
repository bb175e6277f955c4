"""Compares matching policies for riders and drivers: an hour of Manhattan, ten seeds, with refusals and without."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.inputs import lattice
from benchmarks.common.measure import SHARED_DATA, Report
from dispatch.matching.driver_log import transitions_of
from dispatch.matching.position_value import PositionValue, ValueParams
from dispatch.matching.registry import POLICIES, make_policy
from dispatch.matching.value_learning import learn_values
from geo.city import City, Region, load_city
from geo.city_build import CsvSource, build_city
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import between
from hexhail.cities.files import write_city_file
from hexhail.runs.simulate import Inputs, live
from hexhail.runtime.settings import MANHATTAN
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import BadRows, DriverStarts, PlacedRequests, read_drivers, read_requests
from simulator.demand.requests import Requests, load_requests
from simulator.reports.figures import figures_of

#: What `python -m benchmarks quality` takes besides what all benchmarks take.
OPTIONS = ("seeds",)
HOUR_S = 3600.0
#: Each seed has every rider come up to so much sooner or later, so that seeds differ even where nobody has moods.
SHIFT_S = 60.0
#: Of the run that is learned from; those that are judged count from 1.
LEARNING_SEED = 1001
#: Riders per driver where no drivers were recorded: as in the recorded hour.
RIDERS_PER_DRIVER = 10.5
FIGURES = ("served %", "wait s", "p95 s", "deadhead %", "Gini")
#: Student's t for a 95 % interval by degrees of freedom, up to ten seeds; beyond, the normal's.
T_95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


@dataclass(frozen=True)
class Case:
    """One run."""

    policy: str
    has_values: bool
    acceptance: Acceptance
    seed: int

    @property
    def name(self) -> str:
        """What the table calls the policy."""
        return f"{self.policy} + values" if self.has_values else self.policy


@dataclass(frozen=True)
class DemandSplit:
    """Two sets of demand: one to compare the policies on, and one to learn values from."""

    judged: Inputs
    learned_from: Inputs


def run(small: bool, report: Report, seeds: int = 10) -> None:
    """Simulate the hour with every policy and seed, with and without refusals; ``small`` uses a tiny drawn city."""
    seeds = min(seeds, 2) if small else seeds
    demand = make_demand_split(report, small=small)
    report.note("values were learned on the other demand and other seeds; no ride that is judged here was seen")
    report.note("boarding takes no time, prices stand still, riders give up 600 s after the request at the latest")
    report.note(f"each seed draws everybody's moods and moves each request by up to {SHIFT_S:g} s; always has no moods")
    print("learning from the other demand", file=sys.stderr, flush=True)
    values = _learn(demand.learned_from)
    cases = [
        Case(name, has_values, acceptance, seed)
        for seed in range(1, seeds + 1)
        for acceptance in Acceptance
        for name, policy in POLICIES.items()
        for has_values in ((False, True) if policy.heeds_score else (False,))
    ]
    results = dict(_run_cases(cases, demand.judged, values, workers=1 if small else os.cpu_count() or 1))
    for acceptance in Acceptance:
        _report_table(
            {case: found for case, found in results.items() if case.acceptance is acceptance}, acceptance, report
        )
    report.checksum("figures", np.array([results[case] for case in cases]))


def _report_table(results: dict[Case, list[float]], acceptance: Acceptance, report: Report) -> None:
    seeds = sorted({case.seed for case in results})
    by_name: dict[str, list[list[float]]] = {}
    for case in sorted(results, key=lambda case: case.seed):
        by_name.setdefault(case.name, []).append(results[case])
    rows = []
    for name in sorted(by_name):
        columns = list(zip(*by_name[name], strict=True))
        against = [own[1] - base[1] for own, base in zip(by_name[name], by_name["optimal"], strict=True)]
        rows.append([name, *map(_mean_and_spread, columns), _interval(against)])
        for figure, column in zip(FIGURES, columns, strict=True):
            report.figures.append({"name": f"{acceptance}, {name}, {figure}", "value": list(column), "unit": ""})
    report.table(
        f"acceptance {acceptance}: mean (standard deviation) of {len(seeds)} seeds; "
        "last, seconds of wait against optimal, seed by seed, with the 95 % interval",
        ["policy", *FIGURES, "wait against optimal"],
        rows,
    )


def _mean_and_spread(values: Iterable[float]) -> str:
    values = list(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return (
        f"{statistics.fmean(values):.3g} ({spread:.1g})"
        if values[0] < 1
        else (f"{statistics.fmean(values):.2f} ({spread:.2f})")
    )


def _interval(differences: list[float]) -> str:
    count = len(differences)
    if count < 2:
        return f"{differences[0]:+.2f}"
    half = T_95.get(count - 1, 1.96) * statistics.stdev(differences) / sqrt(count)
    return f"{statistics.fmean(differences):+.2f} ± {half:.2f}"


# -- running -------------------------------------------------------------------------------------------------------


def _run_cases(
    cases: list[Case], inputs: Inputs, values: PositionValue, *, workers: int
) -> Iterator[tuple[Case, list[float]]]:
    """Each case with its figures, as they come; in processes of their own unless there is but one."""
    began_s = time.monotonic()
    if workers == 1:
        for case in cases:
            yield case, _figures(case, inputs, values)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_equip, initargs=(inputs, values)
    ) as pool:
        waiting = {pool.submit(_figures_by_equipped, case): case for case in cases}
        for done, future in enumerate(as_completed(waiting), start=1):
            case, found = waiting[future], future.result()
            left_s = (time.monotonic() - began_s) / done * (len(cases) - done)
            figures_text = "  ".join(f"{name} {value:.3f}" for name, value in zip(FIGURES, found, strict=True))
            print(
                f"{done} of {len(cases)}, {left_s / 60:.0f} min left: seed {case.seed}, {case.acceptance}, "
                f"{case.name}: {figures_text}",
                file=sys.stderr,
                flush=True,
            )
            yield case, found


_EQUIPMENT: list[Any] = []


def _equip(inputs: Inputs, values: PositionValue) -> None:
    _EQUIPMENT[:] = [inputs, values]


def _figures_by_equipped(case: Case) -> list[float]:
    return _figures(case, *_EQUIPMENT)


def _figures(case: Case, inputs: Inputs, values: PositionValue) -> list[float]:
    policy = make_policy(case.policy, inputs.city.graph, values if case.has_values else None)
    params = DayParams(seed=case.seed, acceptance=case.acceptance, is_surge_on=False)
    outcome, _ = live(shifted(inputs, case.seed), params, policy)
    if outcome.violations or outcome.virtual_dispatch.policy_faults.count:
        raise AssertionError(f"{case}: {outcome.violations[:1]} {outcome.virtual_dispatch.policy_faults.first[:1]}")
    figures = figures_of(outcome)
    wait = figures["pickup_wait_s"]
    return [
        100.0 * figures["service_rate"],
        wait["mean"],
        wait["p95"],
        100.0 * figures["deadhead_share"],
        figures["income_gini"],
    ]


def shifted(inputs: Inputs, seed: int) -> Inputs:
    """The same riders, each a little sooner or later."""
    placed, asked = inputs.requests, inputs.requests.asked
    t_s = asked.t_s + np.random.default_rng(seed).uniform(-SHIFT_S, SHIFT_S, len(placed))
    t_s = np.clip(t_s, asked.t_s[0], asked.t_s[-1])
    order = np.argsort(t_s, kind="stable")
    moved = Requests(t_s[order], asked.pickup_deg[order], asked.dropoff_deg[order], asked.party_size[order])
    return replace(inputs, requests=PlacedRequests(moved, placed.pickup_node[order], placed.dropoff_node[order]))


def _learn(inputs: Inputs) -> PositionValue:
    """Learn from one run of the policy `optimal` in which everybody says yes."""
    params, day = ValueParams(), DayParams(seed=LEARNING_SEED, acceptance=Acceptance.ALWAYS, is_surge_on=False)
    outcome, _ = live(shifted(inputs, LEARNING_SEED), day, make_policy("optimal", inputs.city.graph))
    return learn_values(transitions_of(outcome.events, params.step_s), inputs.city.graph, params)


# -- inputs --------------------------------------------------------------------------------------------------------


def make_demand_split(report: Report, *, small: bool) -> DemandSplit:
    """Return the recorded hour with a Sunday to learn from; a drawn one if ``small``, or what there is instead."""
    data = SHARED_DATA / "manhattan_hour"
    if small:
        report.note("a tiny drawn city")
        return _drawn()
    if not data.exists():
        report.note("skipped: the recorded hour, for want of ../shared/data; instead a Sunday of the city that hexhail")
        report.note("ships with, half of its riders to learn from and half to be judged on, each within an hour")
        return _sunday()
    report.note("judged: the recorded hour, Monday 2013-11-18; learned from: as many riders of Sunday 2014-12-21")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        build_city(CsvSource(data / "nodes.csv", data / "edges.csv"), here, lambda stage, done: None)
        write_city_file(here, name="manhattan-hour", timezone="UTC", currency="USD", is_osm=False)
        city = load_city(here)
    bad, off_road_m_max = BadRows(skip=True), city.region.off_road_m_max
    requests = read_requests(data / "requests.csv.gz", city.graph, off_road_m_max, bad, to_crossings=True)
    starts = read_drivers(data / "drivers.csv", city.graph, off_road_m_max, bad, to_crossings=True)
    sunday = load_requests(MANHATTAN)
    rows = np.random.default_rng(LEARNING_SEED).permutation(len(sunday))[: len(requests)]
    others = _within_an_hour(sunday, rows, city.graph)
    return DemandSplit(_inputs(city, requests, starts), _inputs(city, others, starts))


def _sunday() -> DemandSplit:
    city, sunday = load_city(MANHATTAN), load_requests(MANHATTAN)
    rows = np.random.default_rng(LEARNING_SEED).permutation(len(sunday))
    demands = []
    for half in np.array_split(rows, 2):
        requests = _within_an_hour(sunday, half, city.graph)
        demands.append(_inputs(city, requests, _starts(requests.dropoff_node)))
    return DemandSplit(*demands)


def _drawn() -> DemandSplit:
    graph, rng = lattice(20, seed=1), np.random.default_rng(2)
    tariff = load_city(MANHATTAN).sections["tariff"]
    city = City(Region("lattice", "Lattice", "UTC", "USD", 8, 8, 200.0, ""), graph, {"tariff": tariff})
    demands = []
    for _ in range(2):
        pickup, dropoff = rng.integers(0, graph.node_count, (2, 150))
        is_trip = (dropoff != pickup) & np.isfinite(between(graph, pickup, dropoff))
        pickup, dropoff = pickup[is_trip], dropoff[is_trip]
        places = [np.column_stack([graph.lat_deg[node], graph.lng_deg[node]]) for node in (pickup, dropoff)]
        t_s = np.sort(rng.uniform(0.0, HOUR_S / 4, pickup.size))
        asked = Requests(t_s, *places, np.ones(pickup.size, np.uint8))
        demands.append(_inputs(city, PlacedRequests(asked, pickup, dropoff), _starts(dropoff)))
    return DemandSplit(*demands)


def _inputs(city: City, requests: PlacedRequests, starts: DriverStarts) -> Inputs:
    return Inputs(city, Path(city.region.region_id), requests, starts, BadRows())


def _within_an_hour(day: Requests, rows: np.ndarray[Any, Any], graph: RoadGraph) -> PlacedRequests:
    """Riders of a whole day, come at random within one hour: as many as make a peak of their places."""
    pickup, dropoff = (graph.snap(*places[rows].T)[0] for places in (day.pickup_deg, day.dropoff_deg))
    is_trip = pickup != dropoff
    rows, pickup, dropoff = rows[is_trip], pickup[is_trip], dropoff[is_trip]
    t_s = np.sort(np.random.default_rng(len(rows)).uniform(0.0, HOUR_S, len(rows)))
    asked = Requests(t_s, day.pickup_deg[rows], day.dropoff_deg[rows], day.party_size[rows])
    return PlacedRequests(asked, pickup, dropoff)


def _starts(dropoff_node: np.ndarray[Any, Any]) -> DriverStarts:
    """Drivers where riders get out."""
    node = dropoff_node[: round(len(dropoff_node) / RIDERS_PER_DRIVER)]
    return DriverStarts(node, np.full(len(node), 4))
