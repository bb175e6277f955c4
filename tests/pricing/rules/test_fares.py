from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.model.quotes import Bill, Line
from pricing.model.tariff import AtDropoff, Surcharge, Tariff, Tax
from pricing.rules.fares import fare_cents, itemise
from tests.pricing.tariffs import TAXI, tariffs

distances = st.floats(0.0, 200_000.0)
durations = st.floats(0.0, 20_000.0)
surges = st.floats(0.5, 5.0)


def exactly(percent: float) -> Fraction:
    return Fraction(str(percent)) / 100


def halves_up(amount: Fraction) -> int:
    return math.floor(amount + Fraction(1, 2))


def exact_price(tariff: Tariff, distance_m: float, travel_time_s: float, surge: float) -> Fraction:
    """What the trip costs before the price is rounded, in fractions, with all of the tariff's surcharges."""
    lines = {
        "base": Fraction(tariff.base_cents),
        "distance": tariff.per_km_cents * Fraction(round(distance_m), 1000),
        "time": tariff.per_minute_cents * Fraction(round(travel_time_s), 60),
    }
    lines["minimum"] = max(Fraction(0), tariff.minimum_cents - sum(lines.values()))
    unsurged = sum(lines.values())
    factor = Fraction(round(surge * 100), 100)
    surged = sum(amount * (factor if name in tariff.surge_on else 1) for name, amount in lines.items())
    lines["surge"] = max(surged, Fraction(tariff.minimum_cents)) - unsurged
    taxed = [*lines.values(), Fraction(tariff.booking_fee_cents)]
    untaxed: list[Any] = []
    for entry in tariff.surcharges:
        (taxed if entry.is_taxed else untaxed).append(entry.amount_cents + unsurged * exactly(entry.percent))
    total = sum(taxed) + sum(untaxed)
    if tariff.tax is None or tariff.tax.is_included:
        return Fraction(total)
    rate = exactly(tariff.tax.rate_percent)
    if tariff.tax.rounded_per == "total":
        return total + sum(taxed) * rate
    return Fraction(total + sum(halves_up(halves_up(amount) * rate) for amount in taxed))


def test_a_trip_costs_base_and_distance_and_time() -> None:
    # 250 + 10 km x 125 + 20 min x 35
    assert itemise(TAXI, 10_000.0, 1_200.0) == Bill(
        2_200, (Line("base", 250), Line("distance", 1_250), Line("time", 700)), 0
    )


def test_surge_multiplies_the_whole_and_the_result_is_rounded_once() -> None:
    # (250 + 1.234 x 125 + 3.5 x 35 = 526.75, below the minimum of 700) x 1.37
    assert fare_cents(TAXI, 1_234.0, 210.0, 1.37) == 959
    assert fare_cents(TAXI, 10_001.0, 1_201.0, 1.37) == math.floor((250 + 1250.125 + 35 * 1201 / 60) * 1.37 + 0.5)


def test_surge_multiplies_only_the_lines_that_the_tariff_names() -> None:
    bill = itemise(replace(TAXI, surge_on=("distance", "time")), 10_000.0, 1_200.0, 1.5)
    assert bill.price_cents == 250 + 1.5 * 1_950


def test_surcharges_fees_and_tax_are_lines_that_surge_does_not_touch() -> None:
    tariff = replace(TAXI, booking_fee_cents=150, tax=Tax(8.875, is_included=False))
    night, toll = Surcharge("night", percent=10), Surcharge("bridge", amount_cents=694, is_taxed=False)
    # 2200 x 1.5 = 3300; a tenth of 2200; tax on 3300 + 220 + 150, not on the toll
    assert itemise(tariff, 10_000.0, 1_200.0, 1.5, [night, toll]) == Bill(
        4_690,
        (
            *(Line("base", 250), Line("distance", 1_250), Line("time", 700), Line("surge", 1_100)),
            *(Line("surcharge:night", 220), Line("surcharge:bridge", 694), Line("booking_fee", 150), Line("tax", 326)),
        ),
        326,
    )


def test_an_included_tax_is_shown_and_not_added() -> None:
    tariff = replace(TAXI, currency="JPY", tax=Tax(10, is_included=True))
    bill = itemise(tariff, 10_000.0, 1_200.0)
    assert (bill.price_cents, bill.tax_cents) == (2_200, 200)


def test_tax_by_line_rounds_each_and_tax_by_total_rounds_once() -> None:
    plain = Tariff("USD", 105, 105, 105, 0, 1, tax=Tax(10, is_included=False))
    assert itemise(plain, 1_000.0, 60.0).tax_cents == 32  # 31.5
    by_line = replace(plain, tax=Tax(10, is_included=False, rounded_per="line"))
    assert itemise(by_line, 1_000.0, 60.0).tax_cents == 33  # three times 10.5


@pytest.mark.parametrize(
    ("rounding", "base_cents", "price_cents"),
    [
        *(("half_up", 1_025, 1_050), ("half_up", 1_074, 1_050), ("half_up", 1_024, 1_000)),
        *(("half_even", 1_025, 1_000), ("half_even", 1_075, 1_100), ("half_even", 1_026, 1_050)),
        *(("up", 1_001, 1_050), ("up", 1_050, 1_050)),
    ],
)
def test_a_price_is_rounded_as_the_tariff_says_and_a_line_tells_by_how_much(
    rounding: str, base_cents: int, price_cents: int
) -> None:
    bill = itemise(Tariff("USD", base_cents, 0, 0, 0, 50, rounding), 0.0, 0.0)
    assert bill.price_cents == price_cents
    told = [line.cents for line in bill.lines if line.name == "rounding"]
    assert told == ([price_cents - base_cents] if price_cents != base_cents else [])


def test_a_discount_does_not_undercut_the_minimum() -> None:
    assert fare_cents(TAXI, 100.0, 30.0, 0.8) == 700


def test_waiting_costs_from_the_end_of_what_is_free() -> None:
    tariff = replace(TAXI, at_dropoff=AtDropoff(waiting_free_s=120.0, waiting_per_minute_cents=60))
    assert itemise(tariff, 10_000.0, 1_200.0, waited_s=119.0).price_cents == 2_200
    assert itemise(tariff, 10_000.0, 1_200.0, waited_s=210.0).lines[-1] == Line("waiting", 90)


def test_a_cap_is_taken_off_before_the_tax_that_is_added() -> None:
    tariff = replace(TAXI, tax=Tax(10, is_included=False))
    # 2200 and a tenth; at most 2200 with tax: 2000 without.
    bill = itemise(tariff, 10_000.0, 1_200.0, at_most_cents=2_200)
    assert (bill.price_cents, bill.tax_cents) == (2_200, 200)
    assert Line("cap", -200) in bill.lines


@settings(max_examples=250, deadline=None)
@given(tariffs(), st.integers(0, 2**32))
def test_no_money_is_lost_or_created_by_rounding(tariff: Tariff, seed: int) -> None:
    """The lines add up to the price, which is the exact amount rounded once as the tariff says: 10,000 trips."""
    chance = random.Random(seed)
    for _ in range(40):
        trip = chance.uniform(0.0, 200_000.0), chance.uniform(0.0, 20_000.0), chance.uniform(0.5, 5.0)
        bill = itemise(tariff, *trip, tariff.surcharges)
        assert sum(line.cents for line in bill.lines) == bill.price_cents
        assert all(type(line.cents) is int for line in bill.lines)
        exact, unit = exact_price(tariff, *trip), tariff.rounding_cents
        assert bill.price_cents % unit == 0
        if tariff.rounding == "up":
            assert 0 <= bill.price_cents - exact < unit
        else:
            assert abs(bill.price_cents - exact) <= Fraction(unit, 2)
        assert 0 <= bill.tax_cents <= bill.price_cents


@given(tariffs(), distances, durations, surges, st.integers(0, 100_000))
def test_a_capped_price_holds_the_cap_and_still_adds_up(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge: float, at_most_cents: int
) -> None:
    uncapped = itemise(tariff, distance_m, travel_time_s, surge, tariff.surcharges)
    bill = itemise(tariff, distance_m, travel_time_s, surge, tariff.surcharges, at_most_cents=at_most_cents)
    assert sum(line.cents for line in bill.lines) == bill.price_cents
    highest = at_most_cents - at_most_cents % tariff.rounding_cents
    assert bill.price_cents == min(uncapped.price_cents, highest)


@given(tariffs(), distances, durations, surges)
def test_a_fare_is_a_whole_multiple_of_the_rounding_and_at_least_the_minimum(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge: float
) -> None:
    fare = fare_cents(tariff, distance_m, travel_time_s, surge)
    assert type(fare) is int
    assert fare % tariff.rounding_cents == 0
    assert fare >= tariff.minimum_cents


@given(tariffs(), distances, durations, surges, distances, durations, st.floats(0.0, 3.0))
def test_a_longer_slower_or_more_surged_trip_never_costs_less(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge: float, more_m: float, more_s: float, more: float
) -> None:
    fare = fare_cents(tariff, distance_m, travel_time_s, surge)
    # A tax that is rounded line by line may lose up to half a unit on each of six lines.
    by_line = tariff.tax is not None and tariff.tax.rounded_per == "line"
    slack = 6 + tariff.rounding_cents if by_line else 0
    assert fare <= fare_cents(tariff, distance_m + more_m, travel_time_s, surge) + slack
    assert fare <= fare_cents(tariff, distance_m, travel_time_s + more_s, surge) + slack
    assert fare <= fare_cents(tariff, distance_m, travel_time_s, surge + more) + slack


@pytest.mark.parametrize(
    ("distance_m", "travel_time_s", "surge", "named"),
    [
        (-1.0, 0.0, 1.0, "distance_m"),
        (math.nan, 0.0, 1.0, "distance_m"),
        (0.0, math.inf, 1.0, "travel_time_s"),
        (0.0, 0.0, 0.0, "surge_multiplier"),
        (0.0, 0.0, math.nan, "surge_multiplier"),
    ],
)
def test_an_invalid_trip_has_no_fare(distance_m: float, travel_time_s: float, surge: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fare_cents(TAXI, distance_m, travel_time_s, surge)
