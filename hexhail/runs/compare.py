"""Compares arms by simulated days on common random numbers, run in parallel processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dispatch.matching.policy import MatchingPolicy
from hexhail.runs.arms import Arm
from hexhail.runs.simulate import Inputs, live, policy_of, read_inputs
from kernel.money import in_units
from simulator.day import Outcome
from simulator.demand.resample import resampled
from simulator.experiments.comparison import Difference, clustered, paired, values_of
from simulator.experiments.switchback import (
    ARMS,
    Cluster,
    SwitchbackParams,
    SwitchbackSchedule,
    SwitchingPolicy,
    clusters,
)
from simulator.reports.figures import figures_of, incomes_cents

#: Flat figures of a day by name, with what they are called in tables and their unit.
FIGURES = {
    "service_rate": ("requests served", "%"),
    "completed": ("rides completed", ""),
    "completed_value": ("fares of completed rides", "money"),
    "wait_s_mean": ("mean wait for the pickup", "s"),
    "wait_s_p95": ("95th percentile of the wait", "s"),
    "deadhead_share": ("distance driven empty", "%"),
    "utilisation": ("time with a rider aboard", "%"),
    "income_gini": ("Gini of incomes", ""),
}
#: Figures of a switchback: they can be computed for the rides requested in one interval.
SWITCHBACK_FIGURES = {
    "service_rate": ("requests served", "%"),
    "wait_s_mean": ("mean wait for the pickup", "s"),
    "value_per_request": ("fares per request", "money"),
}


@dataclass(frozen=True)
class Plan:
    """What a worker process needs to simulate any day of a comparison."""

    city_dir: Path
    requests: Path
    drivers: Path
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    skip_bad: bool = False
    #: Whether each seed draws new demand; otherwise seeds differ only in the behaviour of riders and drivers.
    is_resampled: bool = False
    switchback: SwitchbackParams | None = None
    #: Whether all places are moved to the nearest crossings.
    to_crossings: bool = False

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("--seeds must be at least 1")
        if self.switchback is None:
            return
        if len(self.arms) != ARMS:
            raise ValueError(f"a switchback compares {ARMS} arms, not {len(self.arms)}")
        if self.arms[0].params != self.arms[1].params:
            raise ValueError("in a switchback the arms take turns in one city: they may differ only in the policy")

    def days(self) -> list[tuple[int, int]]:
        """Return (arm, seed) of every day; the arms of a switchback share their days."""
        arms = range(1 if self.switchback else len(self.arms))
        return [(arm, seed) for seed in self.seeds for arm in arms]


@dataclass(frozen=True)
class DayResult:
    """Results of one day of one arm: `clusters` in a switchback, `figures` otherwise."""

    arm: int
    seed: int
    figures: dict[str, float | None] = field(default_factory=dict)
    clusters: tuple[Cluster, ...] = ()
    violations: int = 0
    policy_faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Means of the arms, and the difference of each other arm from the first."""

    plan: Plan
    #: figure → the mean of each arm; NaN where no day had it.
    means: dict[str, list[float]]
    #: figure → the difference of each arm but the first.
    differences: dict[str, list[Difference]]
    #: figure → arm → the value of each seed; empty in a switchback.
    by_seed: dict[str, list[list[float]]]
    violations: int
    policy_faults: list[str]
    title: str = ""

    @property
    def figures(self) -> dict[str, tuple[str, str]]:
        """Labels and units of the figures by name, in table order."""
        return FIGURES if self.plan.switchback is None else SWITCHBACK_FIGURES

    @property
    def has_no_spread(self) -> bool:
        """Whether all seeds gave the same figures: deterministic behaviour on the same demand."""
        columns = [values for arms in self.by_seed.values() for values in arms]
        return len(self.plan.seeds) > 1 and bool(columns) and all(len(set(values)) == 1 for values in columns)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values; NaN becomes None."""
        plan = self.plan
        return {
            "design": "paired" if plan.switchback is None else "switchback",
            "switchback": None if plan.switchback is None else asdict(plan.switchback),
            "arms": [{"name": arm.name, "policy": arm.policy, **_day_params(arm)} for arm in plan.arms],
            "seeds": list(plan.seeds),
            "resampled": plan.is_resampled,
            "figures": {
                name: {
                    "mean": [_number(value) for value in self.means[name]],
                    "difference": [
                        {"mean": _number(d.mean), "low": _number(d.low), "high": _number(d.high), "n": d.n}
                        for d in self.differences[name]
                    ],
                    "by_seed": [[_number(value) for value in arm] for arm in self.by_seed.get(name, [])],
                }
                for name in self.figures
            },
            "violations": self.violations,
            "policy_faults": self.policy_faults,
            "version": version("hexhail"),
        }


def compare(plan: Plan, jobs: int, on_progress: Callable[[int], None] = lambda done: None) -> Comparison:
    """Simulate all days of a plan, `jobs` at a time, and compare the arms; the result does not depend on `jobs`.

    Raises ValueError for unusable inputs or policies, before the first day is simulated.
    """
    inputs = _inputs_of(plan)
    for arm in plan.arms:
        policy_of(inputs, arm.params, arm.policy)
    days = _simulate_here(plan, inputs) if jobs == 1 else _simulate_in_parallel(plan, jobs)
    results = []
    for done, result in enumerate(days, start=1):
        results.append(result)
        on_progress(done)
    results.sort(key=lambda result: (result.seed, result.arm))
    region = inputs.city.region
    return replace(compared(plan, results, region.currency), title=region.name)


def simulate_day(plan: Plan, inputs: Inputs, arm: int, seed: int) -> DayResult:
    """Simulate one day of one arm, or of both arms in turns; the result is independent of other days."""
    chosen = plan.arms[arm]
    if plan.is_resampled:
        inputs = replace(inputs, requests=resampled(inputs.requests, seed))
    params = replace(chosen.params, seed=seed)
    if plan.switchback is None:
        outcome, _ = live(inputs, params, policy_of(inputs, params, chosen.policy))
        return replace(_result(arm, seed, outcome), figures=_flat(outcome, inputs.city.region.currency))
    t_s = inputs.requests.asked.t_s
    turns = SwitchbackSchedule.draw(plan.switchback, float(np.floor(t_s[0])), float(t_s[-1]), seed)
    policies: list[MatchingPolicy] = [policy_of(inputs, each.params, each.policy) for each in plan.arms]
    outcome, _ = live(inputs, params, SwitchingPolicy(policies, turns))
    seen = tuple(clusters(outcome.virtual_dispatch.history.rides.values(), turns))
    return replace(_result(arm, seed, outcome), clusters=seen)


def _result(arm: int, seed: int, outcome: Outcome) -> DayResult:
    faults = tuple(outcome.virtual_dispatch.policy_faults.first)
    return DayResult(arm, seed, violations=len(outcome.violations), policy_faults=faults)


def _flat(outcome: Outcome, currency: str) -> dict[str, float | None]:
    nested = figures_of(outcome)
    wait = nested["pickup_wait_s"]
    earned = incomes_cents(outcome.virtual_dispatch.history.rides.values(), outcome.fleet.driver_id)
    value = in_units(float(earned.sum()), currency)
    flat = {**nested, "completed_value": value, "wait_s_mean": wait["mean"], "wait_s_p95": wait["p95"]}
    return {name: flat[name] for name in FIGURES}


# -- worker processes ----------------------------------------------------------------------------------------------


def _inputs_of(plan: Plan) -> Inputs:
    return read_inputs(
        plan.city_dir, plan.requests, plan.drivers, skip_bad=plan.skip_bad, to_crossings=plan.to_crossings
    )


def _simulate_here(plan: Plan, inputs: Inputs) -> Iterator[DayResult]:
    for arm, seed in plan.days():
        yield simulate_day(plan, inputs, arm, seed)


class _Worker:
    """What a worker process keeps between its days: read once, not for each day."""

    plan: Plan
    inputs: Inputs


def _begin_work(plan: Plan) -> None:
    _Worker.plan, _Worker.inputs = plan, _inputs_of(plan)


def _work(day: tuple[int, int]) -> DayResult:
    return simulate_day(_Worker.plan, _Worker.inputs, *day)


def _simulate_in_parallel(plan: Plan, jobs: int) -> Iterator[DayResult]:
    # Spawned, not forked: a fork would copy the threads of compiled kernels in an undefined state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin_work, (plan,)) as pool:
        days = [pool.submit(_work, day) for day in plan.days()]
        try:
            for day in as_completed(days):
                yield day.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


# -- figures -------------------------------------------------------------------------------------------------------


def compared(plan: Plan, results: list[DayResult], currency: str) -> Comparison:
    """Compare the arms by their days, sorted by seed and arm; fares are in minor units of ``currency``."""
    faults = [f"seed {result.seed}, {sentence}" for result in results for sentence in result.policy_faults]
    violations = sum(result.violations for result in results)
    if plan.switchback is not None:
        means, differences = _of_clusters([cluster for result in results for cluster in result.clusters], currency)
        return Comparison(plan, means, differences, {}, violations, faults)
    by_seed = {
        name: [
            values_of([result.figures[name] for result in results if result.arm == arm]).tolist()
            for arm in range(len(plan.arms))
        ]
        for name in FIGURES
    }
    means = {name: [_mean(values) for values in arms] for name, arms in by_seed.items()}
    differences = {name: [paired(arms[0], other) for other in arms[1:]] for name, arms in by_seed.items()}
    return Comparison(plan, means, differences, by_seed, violations, faults)


def _of_clusters(seen: list[Cluster], currency: str) -> tuple[dict[str, list[float]], dict[str, list[Difference]]]:
    arm = np.array([cluster.arm for cluster in seen], np.int64)
    columns = {
        "service_rate": [(cluster.requests, cluster.completed) for cluster in seen],
        "wait_s_mean": [(cluster.picked_up, cluster.wait_s) for cluster in seen],
        "value_per_request": [(cluster.requests, in_units(cluster.fares_cents, currency)) for cluster in seen],
    }
    means, differences = {}, {}
    for name, pairs in columns.items():
        count, total = np.array(pairs, np.float64).reshape(-1, 2).T
        means[name] = [_share(float(total[arm == side].sum()), float(count[arm == side].sum())) for side in range(ARMS)]
        differences[name] = [clustered(arm, count, total)]
    return means, differences


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _day_params(arm: Arm) -> dict[str, Any]:
    return {name: value for name, value in asdict(arm.params).items() if name != "seed"}
