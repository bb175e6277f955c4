"""Earnings of drivers who decline rides during surge: multiplicative surge pay against a flat bonus per ride."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.common.measure import Report
from benchmarks.common.paired import difference, mean_and_spread
from benchmarks.pricing.surge_town import Scenario, Town, live, shrunk
from dispatch.events import OfferDeclined, OfferSent
from dispatch.model import Ride, RideState
from geo.city import City
from geo.zones import Zones
from pricing.model.quotes import Receipt
from pricing.model.tariff import Tariff
from pricing.rules.earnings import split
from pricing.service.tariff_sections import tariff_of
from simulator.day import Outcome
from simulator.people.habits import CherryPicker, CherryPickingParams, Habit, Prices, ReceiptOfRide
from simulator.people.population import People
from simulator.reports.figures import pickup_waits_s

#: Six trains come in, half an hour apart, in streets three times as slow as the stadium's: prices are up hardly longer
#: than a ride takes. Where they stay up, whoever takes all rides is back in time, and there is little to pick.
SCENARIO = Scenario(
    "trains come in", 3.2, 100.0, 140, 0.65, crowd=150, crowd_min=(15.0, 18.0), crowds=6, gap_min=30.0
)  # fmt: skip
SLOWNESS = 3.0
#: One in two of those who always work.
PICKS_EVERY = 2
#: What a ride must pay while prices are up, for those who pick: most do, half do, few do.
LEAST_PAYS_CENTS = (1_000.0, 1_400.0, 1_800.0)
COMMISSION_PERCENT = 25.0
#: At the base a ride of any length pays about alike for the time from offer to dropoff: nothing to pick there.
METER = {
    "currency": "USD", "base_cents": 300, "per_km_cents": 125, "per_minute_cents": 35, "minimum_cents": 300,
    "rounding_cents": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Paid:
    """What drivers earn under a tariff in one run, and how riders are served."""

    income_per_h: float
    declined_share: float
    served_share: float
    wait_s: float
    #: Of all drivers: the rules should cost the platform the same.
    paid: float


def report_gains(town: Town, seeds: int, report: Report, *, small: bool) -> None:
    """Report the gain from picking rides under both tariffs; riders see the same prices under either."""
    scenario, town = (shrunk(SCENARIO) if small else SCENARIO), _slowed(town)
    rules = _rules(town, scenario)
    report.note(f"additive: {rules['additive'].driver.surge_bonus_cents} cents a ride for each 1.00 of the multiplier")
    some_rule = rules["additive"]  # nobody picks: pay changes nothing that happens
    honest = [_TariffRun(town, scenario, some_rule, None).simulate(seed) for seed in range(1, seeds + 1)]
    rows = []
    for rule, tariff in rules.items():
        base = [run.paid(tariff) for run in honest]
        rows.append(_row(rule, "takes all", base, base))
        for least_pay_cents in LEAST_PAYS_CENTS[:1] if small else LEAST_PAYS_CENTS:
            picking = CherryPickingParams(least_pay_cents)
            own = [
                _TariffRun(town, scenario, tariff, picking).simulate(seed).paid(tariff) for seed in range(1, seeds + 1)
            ]
            rows.append(_row(rule, f"pay from {least_pay_cents / 100:.0f}", own, base))
            name = f"{rule}, pay from {least_pay_cents / 100:.0f}"
            report.figures.append({"name": name, "value": _gains(own, base), "unit": "%"})
    report.table(
        f"{scenario.name}, one driver in {PICKS_EVERY} of those who always work picks rides: their income an hour, "
        f"mean (standard deviation) of {seeds} seeds; last, against taking all, within seeds, 95 % interval",
        ["surge paid", "picks", "declined %", "income / h", "riders served %", "wait s", "all drivers paid", "gain %"],
        rows,
    )


def _row(rule: str, who: str, own: list[Paid], base: list[Paid]) -> list[object]:
    columns = (
        [100.0 * paid.declined_share for paid in own],
        [paid.income_per_h for paid in own],
        [100.0 * paid.served_share for paid in own],
        [paid.wait_s for paid in own],
        [paid.paid for paid in own],
    )
    return [rule, who, *map(mean_and_spread, columns), difference(_gains(own, base), [0.0] * len(own))]


def _gains(own: list[Paid], base: list[Paid]) -> list[float]:
    return [
        100.0 * (picks.income_per_h / takes_all.income_per_h - 1.0) for picks, takes_all in zip(own, base, strict=True)
    ]


def _slowed(town: Town) -> Town:
    graph = town.city.graph
    slow = replace(town.city, graph=graph.with_travel_times(graph.travel_time_s * SLOWNESS))
    return replace(town, city=slow, zones=Zones.of(slow))


def _rules(town: Town, scenario: Scenario) -> dict[str, Tariff]:
    """Two tariffs with equal prices; the additive bonus is the mean surge pay of the multiplicative one."""
    multiplicative = tariff_of({"tariff": METER | {"driver": {"commission_percent": COMMISSION_PERCENT}}})
    run = _TariffRun(town, scenario, multiplicative, None).simulate(0)
    receipts = [run.bills(ride.ride_id)[1] for ride in run.completed()]
    surged = [receipt for receipt in receipts if receipt.surge_multiplier > 1.0]
    above = sum(receipt.surge_multiplier - 1.0 for receipt in surged)
    kept = 1.0 - COMMISSION_PERCENT / 100.0
    bonus = round(kept * sum(_surge_cents(receipt) for receipt in surged) / above) if surged else 0
    driver = {"commission_percent": COMMISSION_PERCENT, "surge_commission_percent": 100.0, "surge_bonus_cents": bonus}
    return {"multiplicative": multiplicative, "additive": tariff_of({"tariff": METER | {"driver": driver}})}


def _surge_cents(receipt: Receipt) -> int:
    return sum(line.cents for line in receipt.lines if line.name == "surge")


class _TariffRun:
    """Simulates the town under one tariff with some drivers who pick rides; keeps the bills of the last day."""

    def __init__(self, town: Town, scenario: Scenario, tariff: Tariff, picking: CherryPickingParams | None) -> None:
        self._scenario = scenario
        self._tariff = tariff
        self._picking = picking
        sections = town.city.sections | {"tariff": METER}
        self._town = replace(town, city=replace(town.city, sections=sections))
        self.pickers: set[int] = set()
        #: Bills and outcome of the last simulated day.
        self.bills: ReceiptOfRide
        self.outcome: Outcome

    def simulate(self, seed: int) -> _TariffRun:
        """Simulate a day."""
        self.outcome, _ = live(self._town, self._scenario, seed, is_surge_on=True, with_habits=self._with_pickers)
        return self

    def paid(self, tariff: Tariff) -> Paid:
        """The earnings of the last day under a tariff, of the drivers who pick rides and of all."""
        outcome = self.outcome
        names = {outcome.fleet.driver_id[number] for number in self.pickers}
        pay = [(ride.driver_id, split(tariff, *self.bills(ride.ride_id)).driver_cents) for ride in self.completed()]
        sent = [event.driver_id for event in outcome.events if isinstance(event, OfferSent)]
        said_no = [event.driver_id for event in outcome.events if isinstance(event, OfferDeclined)]
        rides = outcome.virtual_dispatch.history.rides
        return Paid(
            sum(cents for driver_id, cents in pay if driver_id in names) / 100.0 / (self._scenario.hours * len(names)),
            sum(name in names for name in said_no) / max(sum(name in names for name in sent), 1),
            len(pay) / len(rides),
            float(np.mean(pickup_waits_s(rides.values()))),
            sum(cents for _, cents in pay) / 100.0,
        )

    def completed(self) -> list[Ride]:
        """The completed rides of the last day."""
        rides = self.outcome.virtual_dispatch.history.rides.values()
        return [ride for ride in rides if ride.state is RideState.COMPLETED]

    def _with_pickers(self, people: People) -> People:
        def make(city: City, prices: Prices | None, bills: ReceiptOfRide) -> Callable[[int], Habit]:
            self.bills = bills
            habit_of = people.make_habits(city, prices, bills)

            def picker_of(number: int) -> Habit:
                habit = habit_of(number)
                if number < self._scenario.casual or number % PICKS_EVERY:
                    return habit
                self.pickers.add(number)
                return CherryPicker(habit, self._picking, self._tariff, bills) if self._picking else habit

            return picker_of

        return replace(people, make_habits=make)
