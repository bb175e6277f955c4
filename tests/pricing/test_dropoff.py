"""Fares at the dropoff, and their parts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import FieldWrong
from pricing.model.quotes import Line, Receipt
from pricing.model.tariff import AtDropoff, DriverShare, Surcharge, Tariff, Tax
from pricing.rules.dropoff import Change, Driven, OtherTrip, fare_at_dropoff
from pricing.rules.earnings import bonus_cents, split
from pricing.rules.fares import itemise
from tests.pricing.tariffs import TAXI, at_dropoffs, tariffs

RULES = AtDropoff(waiting_free_s=120.0, waiting_per_minute_cents=60)
UPFRONT = replace(TAXI, at_dropoff=RULES)


def quoted(tariff: Tariff, distance_m: float = 10_000.0, travel_time_s: float = 1_200.0, surge: float = 1.0) -> Any:
    bill = itemise(tariff, distance_m, travel_time_s, surge, tariff.surcharges)
    return bill.price_cents, Receipt(
        tariff_version=tariff.version,
        quoted_s=0.0,
        distance_m=distance_m,
        travel_time_s=travel_time_s,
        surge_multiplier=surge,
        lines=bill.lines,
        tax_cents=bill.tax_cents,
    )


def settle(
    tariff: Tariff, travel_time_s: float = 1_200.0, waited_s: float = 0.0, other: OtherTrip | None = None
) -> Any:
    return fare_at_dropoff(tariff, *quoted(tariff), Driven(travel_time_s, waited_s, other))


@pytest.mark.parametrize("travel_time_s", [900.0, 1_200.0, 1_500.0])
def test_a_trip_that_took_about_as_long_costs_what_was_quoted(travel_time_s: float) -> None:
    assert settle(UPFRONT, travel_time_s) == quoted(UPFRONT)


def test_a_trip_that_took_much_longer_costs_its_time() -> None:
    fare_cents, receipt = settle(UPFRONT, 1_560.0)
    assert (fare_cents, receipt.changes) == (2_200 + 6 * 35, (Change.TIME,))
    assert (receipt.travel_time_s, receipt.distance_m) == (1_560.0, 10_000.0)
    assert sum(line.cents for line in receipt.lines) == fare_cents


def test_a_trip_that_took_much_less_costs_less() -> None:
    assert settle(UPFRONT, 600.0)[0] == 2_200 - 10 * 35


def test_without_rules_the_quote_is_final() -> None:
    assert settle(TAXI, 9_999.0, 999.0, OtherTrip(99_000.0, ())) == quoted(TAXI)


def test_another_dropoff_costs_the_quickest_way_to_it_and_the_surcharges_there() -> None:
    airport = Surcharge("airport", amount_cents=500)
    fare_cents, receipt = settle(UPFRONT, 1_300.0, other=OtherTrip(12_000.0, [airport]))
    assert fare_cents == 250 + 1_500 + round(1_300 / 60 * 35) + 500
    assert receipt.changes == (Change.DROPOFF,)
    assert Line("surcharge:airport", 500) in receipt.lines


def test_waiting_is_paid_beyond_what_is_free_although_the_trip_is_the_quoted_one() -> None:
    assert settle(UPFRONT, waited_s=120.0) == quoted(UPFRONT)
    fare_cents, receipt = settle(UPFRONT, waited_s=300.0)
    assert (fare_cents, receipt.changes) == (2_200 + 180, (Change.WAITING,))


def test_no_fare_exceeds_the_quote_by_more_than_the_tariff_allows() -> None:
    fare_cents, receipt = settle(UPFRONT, 20_000.0, other=OtherTrip(80_000.0, ()))
    assert fare_cents == 3_300
    assert receipt.changes == (Change.DROPOFF, Change.TIME, Change.CAP)
    assert sum(line.cents for line in receipt.lines) == 3_300


def test_the_surge_of_the_quote_holds_to_the_end() -> None:
    price_cents, receipt = quoted(UPFRONT, surge=1.5)
    fare_cents, settled = fare_at_dropoff(UPFRONT, price_cents, receipt, Driven(1_800.0, 0.0))
    assert (fare_cents, settled.surge_multiplier) == (round((250 + 1_250 + 1_050) * 1.5), 1.5)


@settings(max_examples=250, deadline=None)
@given(tariffs(), at_dropoffs, st.integers(0, 2**32))
def test_a_fare_adds_up_stays_under_its_bound_and_is_shared_to_the_last_unit(
    tariff: Tariff, rules: AtDropoff, seed: int
) -> None:
    """10,000 trips."""
    chance, tariff = random.Random(seed), replace(tariff, at_dropoff=rules)
    for _ in range(40):
        price_cents, receipt = quoted(
            tariff, chance.uniform(0, 50_000), chance.uniform(0, 5_000), chance.uniform(0.5, 3.0)
        )
        other = OtherTrip(chance.uniform(0, 50_000), tariff.surcharges) if chance.random() < 0.3 else None
        driven = Driven(receipt.travel_time_s * chance.uniform(0.5, 2.0), chance.uniform(0, 600), other)
        fare_cents, settled = fare_at_dropoff(tariff, price_cents, receipt, driven)
        assert sum(line.cents for line in settled.lines) == fare_cents
        assert fare_cents <= price_cents * (1 + rules.above_quote_share_max) + 1e-3
        if not settled.changes:
            assert (fare_cents, settled) == (price_cents, receipt)
        with_bonus = replace(tariff, driver=replace(tariff.driver, surge_bonus_cents=chance.randrange(500)))
        parts = split(with_bonus, fare_cents, settled)
        assert parts.driver_cents + parts.platform_cents + parts.tax_cents == fare_cents
        assert sum(line.cents for line in parts.lines) == parts.driver_cents
        bonus = bonus_cents(with_bonus, settled.surge_multiplier)
        assert split(tariff, fare_cents, settled).driver_cents == parts.driver_cents - bonus


def test_the_driver_gets_the_fare_without_tax_fee_and_commission_and_the_whole_toll() -> None:
    tariff = replace(
        TAXI,
        booking_fee_cents=150,
        tax=Tax(10, is_included=False),
        surcharges=(Surcharge("bridge", amount_cents=694, is_drivers=True, is_taxed=False),),
        driver=DriverShare(commission_percent=20, surge_commission_percent=100, surge_bonus_cents=600),
    )
    price_cents, receipt = quoted(tariff, surge=1.5)
    # 2200 x 1.5 + 694 + 150, and a tenth of 3300 + 150
    assert price_cents == 3_300 + 694 + 150 + 345
    earnings = split(tariff, price_cents, receipt)
    assert earnings.lines == (
        *(Line("base", 250), Line("distance", 1_250), Line("time", 700), Line("surge", 1_100)),
        *(Line("surcharge:bridge", 694), Line("commission", -440 - 1_100), Line("bonus", 300)),
    )
    assert (earnings.driver_cents, earnings.platform_cents, earnings.tax_cents) == (2_754, 1_390, 345)


def test_an_included_tax_is_not_part_of_the_earnings() -> None:
    tariff = replace(TAXI, tax=Tax(10, is_included=True), driver=DriverShare(commission_percent=20))
    earnings = split(tariff, *quoted(tariff))
    assert (earnings.driver_cents, earnings.platform_cents, earnings.tax_cents) == (1_600, 400, 200)


def test_a_bonus_is_the_same_for_every_ride_of_a_cell_and_nothing_at_the_base_and_below() -> None:
    tariff = replace(TAXI, driver=DriverShare(surge_commission_percent=100, surge_bonus_cents=850))
    short, long = quoted(tariff, 500, 60, 1.4), quoted(tariff, 20_000, 2_400, 1.4)
    assert [split(tariff, *ride).lines[-1] for ride in (short, long)] == [Line("bonus", 340)] * 2
    assert [bonus_cents(tariff, multiplier) for multiplier in (0.8, 1.0, 1.01, 3.0)] == [0, 0, 9, 1_700]


def test_a_bonus_below_nothing_is_refused() -> None:
    with pytest.raises(FieldWrong, match="surge_bonus_cents"):
        DriverShare(surge_bonus_cents=-1)
