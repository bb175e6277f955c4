"""Effects of surge in a price-sensitive town: a stadium empties, a quiet night, drivers who decline cheap rides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.common.measure import Report
from benchmarks.common.paired import difference, mean_and_spread
from benchmarks.pricing import cherry_picking
from benchmarks.pricing.surge_response import Response, price_series, response, swings
from benchmarks.pricing.surge_town import HOUR_S, MINUTE_S, QUIET, STADIUM, Scenario, Town, live, make_town, shrunk
from dispatch.model import RideState
from geo.arrays import FloatArray
from pricing.model.surge import SurgeParams
from pricing.rules.fares import fare_cents
from pricing.service.tariff_sections import tariff_of
from simulator.day import Outcome
from simulator.demand.inputs import PlacedRequests
from simulator.reports.figures import empty_zone_share, incomes_cents, pickup_waits_s
from simulator.streets.ways import Ways

OPTIONS = ("seeds",)
FIGURES = (
    "riders", "asked", "served", "served % of riders", "served % of asked", "wait s", "p95 s", "empty zones %",
    "on the road h", "income / h", "base fares",
)  # fmt: skip
#: The price is left alone so long before what it does without a shock is looked at.
WARM_UP_S = 15 * MINUTE_S
#: How wide the controller's own dead band is; smaller swings are not counted, nor is a smaller distance unsettled.
BAND = SurgeParams().surge_hysteresis


def run(small: bool, report: Report, seeds: int = 10) -> None:
    """Live both scenarios with every seed, with surge and without; ``small`` shrinks town and time."""
    seeds = min(seeds, 2) if small else seeds
    town = make_town(16 if small else 40)
    stadium, quiet = (shrunk(scenario) if small else scenario for scenario in (STADIUM, QUIET))
    report.note("riders: all who look at a price; asked: those who take it; base fares: of trips served, without surge")
    report.note("empty zones: share of the minutes in which no free driver is in the zone, zones weighted by riders")
    report.note("the same seed draws the same riders, the same moods and the same drivers, with surge and without")
    _compare(town, stadium, seeds, report)
    _compare(town, quiet, seeds, report)
    _answer(town, stadium, seeds, report)
    cherry_picking.report_gains(town, seeds, report, small=small)


# -- with and without --------------------------------------------------------------------------------------------------


def _compare(town: Town, scenario: Scenario, seeds: int, report: Report) -> None:
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    prices: list[float] = []
    for seed in range(1, seeds + 1):
        for is_surge_on in found:
            outcome, requests = live(town, scenario, seed, is_surge_on=is_surge_on)
            found[is_surge_on].append(_figures(town, outcome, requests))
            if is_surge_on:
                prices.append(float(np.median(_prices(town, scenario, outcome)[:, town.zones.surge_index])))
    without, with_surge = (list(zip(*found[is_on], strict=True)) for is_on in (False, True))
    rows = [
        [name, mean_and_spread(base), mean_and_spread(own), difference(own, base)]
        for name, base, own in zip(FIGURES, without, with_surge, strict=True)
    ]
    report.table(
        f"{scenario.name}: mean (standard deviation) of {seeds} seeds; last, differences within seeds, 95 % interval",
        ["figure", "without surge", "with surge", "difference"],
        rows,
    )
    report.figure(f"{scenario.name}: median price", float(np.mean(prices)), "x")
    for name, base, own in zip(FIGURES, without, with_surge, strict=True):
        values = {"without": list(base), "with": list(own)}
        report.figures.append({"name": f"{scenario.name}, {name}", "value": values, "unit": ""})
    report.checksum(f"{scenario.name}, figures", np.array([found[False], found[True]]))


def _figures(town: Town, outcome: Outcome, requests: PlacedRequests) -> list[float]:
    rides = outcome.virtual_dispatch.history.rides
    done = [int(ride.ride_id[1:]) for ride in rides.values() if ride.state is RideState.COMPLETED]
    waits_s = pickup_waits_s(rides.values())
    ways = Ways(town.city.graph)
    points_deg = requests.asked.pickup_deg[done], requests.asked.dropoff_deg[done]
    duration_s, length_m = ways.learn(*(ways.stops.add(*ends.T) for ends in points_deg))
    tariff = tariff_of(town.city.sections)
    base = sum(fare_cents(tariff, *trip) for trip in zip(length_m.tolist(), duration_s.tolist(), strict=True))
    zone = town.zones.surge_index[town.zones.of_node[requests.pickup_node]]
    riders_of_zone = np.bincount(zone, minlength=len(town.city.surge_cells))
    road_h = outcome.fleet.odometer.online_s / HOUR_S
    income = float(incomes_cents(rides.values(), outcome.fleet.driver_id).sum())
    return [
        float(len(requests)), float(len(rides)), float(len(done)), 100.0 * len(done) / len(requests),
        100.0 * len(done) / len(rides), float(waits_s.mean()), float(np.percentile(waits_s, 95)),
        100.0 * empty_zone_share(outcome.samples, riders_of_zone, float(requests.asked.t_s[-1])), road_h,
        income / 100.0 / road_h, base / 100.0,
    ]  # fmt: skip


def _prices(town: Town, scenario: Scenario, outcome: Outcome) -> FloatArray:
    cells, tick_s = town.city.surge_cells, SurgeParams().tick_s
    return price_series(outcome.price_changes, cells, outcome.begin_s, scenario.hours * HOUR_S, tick_s)


# -- the answer to a shock ---------------------------------------------------------------------------------------------


def _answer(town: Town, scenario: Scenario, seeds: int, report: Report) -> None:
    shocked = [_prices_of(town, scenario, seed) for seed in range(1, seeds + 1)]
    control = [_prices_of(town, replace(scenario, crowd=0), seed) for seed in range(1, seeds + 1)]
    shock_s = (scenario.crowd_min[0] * MINUTE_S, scenario.crowd_min[1] * MINUTE_S)
    series = {
        "at the stadium": [price[:, town.stadium_cell] for price in shocked],
        "mean of the town": [_town_mean(town, price) for price in shocked],
    }
    rows = [[name, *_answers(prices, shock_s)] for name, prices in series.items()]
    report.table(
        f"{scenario.name}: the price's answer, mean (standard deviation) of {seeds} seeds; settled: within {BAND:.0%} "
        "of the price before, for good; swings: turns by more than that, once settled",
        ["price", "peak", "overshoot %", "undershoot %", "settled after min", "swings after", "seeds with any"],
        rows,
    )
    tick_s = SurgeParams().tick_s
    settled = round((shock_s[1] + 0.5 * (scenario.hours * HOUR_S - shock_s[1])) / tick_s)
    for name, prices, since in (
        ("after the shock", shocked, settled),
        ("without a shock", control, round(WARM_UP_S / tick_s)),
    ):
        for least in (BAND, 0.05):
            rate = np.mean([_swings_per_h(town, price[since:], least, tick_s) for price in prices])
            report.figure(f"swings of more than {least:.0%} in a zone and hour, {name}", float(rate), "1/h")


def _prices_of(town: Town, scenario: Scenario, seed: int) -> FloatArray:
    outcome, _ = live(town, scenario, seed, is_surge_on=True)
    return _prices(town, scenario, outcome)


def _town_mean(town: Town, price: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.log(price[:, town.zones.surge_index]).mean(axis=1)))


def _answers(prices: Sequence[FloatArray], shock_s: tuple[float, float]) -> list[object]:
    tick_s = SurgeParams().tick_s
    answers: list[Response] = [response(price, tick_s, shock_s, BAND) for price in prices]
    turns = [
        swings(price[round((shock_s[1] + answer.settling_s) / tick_s) :], BAND)
        for price, answer in zip(prices, answers, strict=True)
    ]
    return [
        mean_and_spread([answer.peak for answer in answers]),
        mean_and_spread([100.0 * answer.overshoot for answer in answers]),
        mean_and_spread([100.0 * answer.undershoot for answer in answers]),
        mean_and_spread([answer.settling_s / MINUTE_S for answer in answers]),
        sum(turns),
        sum(turn > 0 for turn in turns),
    ]


def _swings_per_h(town: Town, price: FloatArray, least: float, tick_s: float) -> float:
    hours = price.shape[0] * tick_s / HOUR_S
    return float(np.mean([swings(price[:, cell], least) for cell in town.zones.surge_index]) / hours)
