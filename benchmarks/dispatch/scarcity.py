"""Too few cars: an hour of Manhattan with half and a third of its drivers, by what a second of a car's time costs.

Every second and every third of the recorded drivers; everybody says yes, riders give up after 600 s. The curve of
decision 111, and who pays for it: the share served by quartile of trip length and by zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.common.measure import Report
from benchmarks.dispatch.quality import make_demand_split, shifted
from dispatch.matching.registry import make_policy
from dispatch.model import Ride
from geo.arrays import BoolArray, FloatArray
from geo.distances import great_circle_m
from hexhail.runs.simulate import Inputs, live
from simulator.day import Outcome
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import DriverStarts
from simulator.reports.figures import figures_of

#: What `python -m benchmarks scarcity` takes besides what all benchmarks take.
OPTIONS = ("seeds",)
#: One driver of so many drives.
FLEETS = {"full": 1, "half": 2, "third": 3}
ZONES = 8
PARTS = ("shortest quarter", "second", "third", "longest quarter", "worst zone", "best zone")


@dataclass(frozen=True)
class Arm:
    """What one row of the table changes."""

    name: str
    policy: str
    weights: Mapping[str, float]


ARMS = (
    *(
        Arm(f"optimal, car_time {weight:g}", "optimal", {"car_time": weight})
        for weight in (0.0, 0.005, 0.01, 0.02, 0.05)
    ),
    Arm("greedy", "greedy", {}),
    Arm("nearest", "nearest", {}),
)


def run(small: bool, report: Report, seeds: int = 1) -> None:
    """Live the hour with fleets of three sizes; ``small`` draws a tiny city."""
    inputs = make_demand_split(report, small=small).judged
    report.note(
        "everybody says yes, prices stand still, boarding takes no time, riders give up 600 s after the request"
    )
    for fleet, one_in in FLEETS.items():
        scarce = replace(inputs, starts=_every(inputs.starts, one_in))
        rows, figures = [], []
        for arm in ARMS:
            found = np.mean([_figures(arm, scarce, seed) for seed in range(1, seeds + 1)], axis=0)
            figures.append(found)
            rows.append([arm.name, *(f"{value:.1f}" for value in found)])
        columns = ["policy", "served %", "wait s", "p95 s", "deadhead %", *(f"{part} %" for part in PARTS)]
        report.table(f"{fleet} fleet, {len(scarce.starts.node)} drivers: means of {seeds} seeds", columns, rows)
        report.checksum(fleet, np.array(figures))


def _every(starts: DriverStarts, one_in: int) -> DriverStarts:
    return starts[::one_in]


def _figures(arm: Arm, inputs: Inputs, seed: int) -> list[float]:
    changes: dict[str, Any] = {"score": dict(arm.weights)} if arm.weights else {}
    params = DayParams(
        seed=seed, acceptance=Acceptance.ALWAYS, is_surge_on=False, boarding_s=0.0, dispatch_changes=changes
    )
    outcome, _ = live(shifted(inputs, seed), params, make_policy(arm.policy, inputs.city.graph))
    if outcome.violations:
        raise AssertionError(f"{arm.name}: {outcome.violations[:1]}")
    figures = figures_of(outcome)
    wait = figures["pickup_wait_s"]
    shares = [100.0 * figures["service_rate"], wait["mean"], wait["p95"], 100.0 * figures["deadhead_share"]]
    return [*shares, *_served_by_part(outcome)]


def _served_by_part(outcome: Outcome) -> list[float]:
    """The share served, in percent, of each quarter of trip lengths, of the worst zone and of the best."""
    rides = list(outcome.virtual_dispatch.history.rides.values())
    is_served = np.array([ride.picked_up_s is not None for ride in rides])
    by_length = _shares(is_served, _quantile(_trip_m(rides), 4), 4)
    by_zone = _shares(is_served, _quantile(np.array([ride.pickup.lat_deg for ride in rides]), ZONES), ZONES)
    return [*by_length, min(by_zone), max(by_zone)]


def _trip_m(rides: list[Ride]) -> FloatArray:
    pickup, dropoff = (
        np.array([[place.lat_deg, place.lng_deg] for place in places])
        for places in ([ride.pickup for ride in rides], [ride.dropoff for ride in rides])
    )
    return great_circle_m(*pickup.T, *dropoff.T)


def _quantile(value: FloatArray, parts: int) -> np.ndarray[Any, Any]:
    """Which of ``parts`` equally large parts each value belongs to, from 0."""
    return np.searchsorted(np.quantile(value, np.arange(1, parts) / parts), value)


def _shares(is_served: BoolArray, part: np.ndarray[Any, Any], parts: int) -> list[float]:
    return [100.0 * float(is_served[part == number].mean()) for number in range(parts)]
