"""Waits and empty zones when idle drivers stay, go home to the centre, cruise, or are advised where riders will be."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.common.measure import Report
from benchmarks.common.paired import difference, mean_and_spread
from benchmarks.common.san_francisco import FRIDAY, SF, write_city, write_friday
from benchmarks.pricing.surge_town import make_town
from dispatch.matching.registry import make_policy
from geo.arrays import FloatArray
from geo.city import City
from geo.zones import Zones
from hexhail.cities.demand import DRIVERS_FILE, REQUESTS_FILE, ZoneFiles, make_demand, write_demand
from pricing.adapters.highs_flow import solve_transport
from pricing.model.advice import RepositioningParams
from pricing.rules.forecast import QUARTER_S, DemandForecast, ForecastError, profile_of
from pricing.rules.repositioning import Transport
from simulator.day import Day
from simulator.day_params import DayParams
from simulator.demand.inputs import BadRows, DriverStarts, PlacedRequests, read_drivers, read_requests
from simulator.demand.requests import Requests
from simulator.people.advice import Adviser, FollowAdvice, ReturnToZone, StayAtDropoff
from simulator.people.habits import DEFAULT_HABIT, Habit, Prices, ReceiptOfRide
from simulator.people.population import People
from simulator.reports.figures import empty_zone_share, figures_of

OPTIONS = ("seeds",)
HOUR_S = 3600.0
#: The evening peak.
HOURS = (16.0, 18.0)
#: Half of the riders, so that ten seeds take minutes, and drivers to go with them.
RIDERS_SHARE = 0.5
DRIVERS = 1_900
#: Six in ten who are told where to go do.
COMPLIANCE = 0.6
FIGURES = ("served %", "wait s", "p95 s", "empty zones %", "driven empty %")


@dataclass(frozen=True)
class Evening:
    """The evening that is simulated, and the demand profile of another day."""

    city: City
    zones: Zones
    requests: PlacedRequests
    starts: DriverStarts
    profile: FloatArray
    midnight_s: float


@dataclass
class Planning:
    """Measures the CPU time of plans."""

    cpu_s: list[float]

    def solve(self, problem: Transport) -> np.ndarray:
        """Solve by the library, timed."""
        began_s = time.process_time()
        moves = solve_transport(problem)
        self.cpu_s.append(time.process_time() - began_s)
        return moves


def run(small: bool, report: Report, seeds: int = 10) -> None:
    """Simulate the evening with every kind of driver and seed; ``small`` uses a tiny drawn town."""
    seeds = min(seeds, 1) if small else seeds
    with tempfile.TemporaryDirectory() as folder:
        evening = _drawn() if small or not SF.exists() else _friday(Path(folder))
    if small or not SF.exists():
        report.note("a tiny drawn town" if small else "a drawn town, for want of ../shared/data")
    else:
        report.note(
            f"Friday {HOURS[0]:g} to {HOURS[1]:g} h, {RIDERS_SHARE:.0%} of its riders; a model out of zone totals"
        )
    report.note(f"{len(evening.requests)} requests, {len(evening.starts.node)} drivers, {len(evening.zones)} zones")
    report.note(f"forecasts know the day before; {COMPLIANCE:.0%} of the advice is followed; else drivers stay")
    planning, errors = Planning([]), []
    found: dict[str, list[list[float]]] = {}
    for seed in range(1, seeds + 1):
        for name, make in _kinds(evening, planning).items():
            figures, error = make(seed)
            found.setdefault(name, []).append(figures)
            errors += [error] if error is not None else []
    _report_table(found, seeds, report)
    _report_forecasts(errors, report)
    report.figure("CPU of a plan, median", 1e3 * float(np.median(planning.cpu_s)), "ms")
    report.checksum("figures", np.array(list(found.values())))


def _report_table(found: dict[str, list[list[float]]], seeds: int, report: Report) -> None:
    rows = []
    base = list(zip(*found["stay"], strict=True))
    for name, figures in found.items():
        own = list(zip(*figures, strict=True))
        rows.append([name, *map(mean_and_spread, own), difference(own[1], base[1]), difference(own[3], base[3])])
        for figure, values in zip(FIGURES, own, strict=True):
            report.figures.append({"name": f"{name}, {figure}", "value": list(values), "unit": ""})
    report.table(
        f"idle drivers: mean (standard deviation) of {seeds} seeds; last, against staying, within seeds, 95 % interval",
        ["they", *FIGURES, "wait against", "empty against"],
        rows,
    )


def _report_forecasts(errors: list[ForecastError], report: Report) -> None:
    for name in ("forecast", "profile", "last_quarter"):
        values = [getattr(error, name) for error in errors if getattr(error, name) is not None]
        if values:
            what = {
                "forecast": "corrected profile",
                "profile": "profile alone",
                "last_quarter": "the last quarter again",
            }
            report.figure(f"error of the {what[name]}, absolute over sum", 100.0 * float(np.mean(values)), "%")


# -- kinds of drivers --------------------------------------------------------------------------------------------------

SeedResult = tuple[list[float], ForecastError | None]


def _kinds(evening: Evening, planning: Planning) -> dict[str, Callable[[int], SeedResult]]:
    centre = int(np.bincount(evening.zones.of_node[evening.requests.pickup_node]).argmax())

    def each(habit: Habit) -> Callable[[int], SeedResult]:
        return lambda seed: (_simulate(evening, seed, People(make_habits=lambda *_: lambda number: habit)), None)

    def advised(seed: int) -> SeedResult:
        forecast = DemandForecast(evening.profile)
        adviser = Adviser(evening.zones, forecast, planning.solve, RepositioningParams(), evening.midnight_s)

        def make(city: City, prices: Prices | None, bills: ReceiptOfRide) -> Callable[[int], Habit]:
            return lambda number: FollowAdvice(evening.zones, adviser, COMPLIANCE)

        return _simulate(evening, seed, People(make_habits=make, watchers=(adviser,))), forecast.error

    return {
        "stay": each(StayAtDropoff()),
        "go home": each(ReturnToZone(evening.zones, centre)),
        "cruise": each(DEFAULT_HABIT),
        "advised": advised,
    }


def _simulate(evening: Evening, seed: int, people: People) -> list[float]:
    params = DayParams(seed=seed, is_surge_on=False, batch_window_s=10.0, boarding_s=30.0)
    policy = make_policy("optimal", evening.city.graph, None)
    outcome = Day(evening.city, evening.requests, evening.starts, policy, params, people).run()
    if outcome.violations or outcome.virtual_dispatch.policy_faults.count:
        raise AssertionError(f"seed {seed}: {outcome.violations[:1]}")
    figures = figures_of(outcome)
    zone = evening.zones.surge_index[evening.zones.of_node[evening.requests.pickup_node]]
    riders_of_zone = np.bincount(zone, minlength=len(evening.city.surge_cells))
    # Every zone counts alike: busy ones are never empty.
    empty = empty_zone_share(
        outcome.samples, (riders_of_zone > 0).astype(np.int64), float(evening.requests.asked.t_s[-1])
    )
    wait = figures["pickup_wait_s"]
    return [
        100.0 * figures["service_rate"], wait["mean"], wait["p95"], 100.0 * empty, 100.0 * figures["deadhead_share"],
    ]  # fmt: skip


# -- the evening ---------------------------------------------------------------------------------------------------


def _friday(folder: Path) -> Evening:
    city = write_city(folder)
    zones = Zones.of(city)
    friday, before = folder / "friday", folder / "before"
    write_friday(friday, city, DRIVERS)
    files = ZoneFiles(friday / "zones.csv", friday / "volumes.csv", friday / "seen.csv.gz")
    day_before = FRIDAY.replace(day=FRIDAY.day - 1)
    write_demand(make_demand(city, day_before, None, DRIVERS, 2, files, lambda what: None), before)
    bad, off_road_m_max = BadRows(skip=True), city.region.off_road_m_max
    requests = read_requests(friday / REQUESTS_FILE, city.graph, off_road_m_max, bad)
    known = read_requests(before / REQUESTS_FILE, city.graph, off_road_m_max, bad)
    starts = read_drivers(friday / DRIVERS_FILE, city.graph, off_road_m_max, bad)
    midnight_s, midnight_before_s = (_midnight_s(city, day) for day in (FRIDAY, day_before))
    profile = RIDERS_SHARE * _profile(zones, known, midnight_before_s)
    return Evening(city, zones, _part(requests, midnight_s), starts, profile, midnight_s)


def _midnight_s(city: City, day: date) -> float:
    return datetime.combine(day, clock_time(), ZoneInfo(city.region.timezone)).astimezone(UTC).timestamp()


def _profile(zones: Zones, requests: PlacedRequests, midnight_s: float) -> FloatArray:
    t_s = requests.asked.t_s - midnight_s
    within = (t_s >= 0.0) & (t_s < 24 * HOUR_S)
    quarter = (t_s[within] // QUARTER_S).astype(np.int64)
    return profile_of(quarter, zones.of_node[requests.pickup_node[within]], len(zones), 1)


def _part(requests: PlacedRequests, midnight_s: float) -> PlacedRequests:
    asked = requests.asked
    hour = (asked.t_s - midnight_s) / HOUR_S
    at = np.flatnonzero((hour >= HOURS[0]) & (hour < HOURS[1]))
    at = np.sort(np.random.default_rng(1).choice(at, round(RIDERS_SHARE * at.size), replace=False))
    kept = Requests(asked.t_s[at], asked.pickup_deg[at], asked.dropoff_deg[at], asked.party_size[at])
    return PlacedRequests(kept, requests.pickup_node[at], requests.dropoff_node[at])


def _drawn() -> Evening:
    """Riders leave the west for the east all the time, so that who stays is stranded."""
    town = make_town(16)
    graph, rng = town.city.graph, np.random.default_rng(1)
    west = np.flatnonzero(graph.lng_deg < np.median(graph.lng_deg))
    count = 200
    t_s = np.sort(rng.uniform(0.0, HOUR_S, count))
    pickup, dropoff = rng.choice(west, count), rng.integers(0, graph.node_count, count)
    dropoff = np.where(dropoff == pickup, (pickup + 1) % graph.node_count, dropoff)
    places = [np.column_stack([graph.lat_deg[at], graph.lng_deg[at]]) for at in (pickup, dropoff)]
    requests = PlacedRequests(Requests(t_s, *places, np.ones(count, np.uint8)), pickup, dropoff)
    starts = DriverStarts(rng.integers(0, graph.node_count, 30), np.full(30, 4))
    region = replace(town.city.region, surge_resolution=9)
    city = replace(town.city, region=region)
    zones = Zones.of(city)
    return Evening(city, zones, requests, starts, _profile(zones, requests, 0.0), 0.0)
