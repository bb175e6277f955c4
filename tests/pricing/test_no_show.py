"""Fees for no-shows, and fares that an operator has set: the lines add up, and the parts of a fare are the fare."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import FieldWrong
from pricing.model.quotes import Receipt
from pricing.model.tariff import NoShow, Tariff
from pricing.rules.correction import corrected
from pricing.rules.earnings import split
from pricing.rules.fares import itemise
from pricing.rules.no_show import no_show_fare, no_show_of
from tests.pricing.tariffs import TAXI, tariffs


def quoted(tariff: Tariff, surge_multiplier: float = 1.0) -> tuple[int, Receipt]:
    bill = itemise(tariff, 3_000.0, 600.0, surge_multiplier)
    return bill.price_cents, Receipt(
        tariff_version=tariff.version,
        quoted_s=0.0,
        distance_m=3_000.0,
        travel_time_s=600.0,
        surge_multiplier=surge_multiplier,
        lines=bill.lines,
        tax_cents=bill.tax_cents,
    )


@settings(max_examples=100, deadline=None)
@given(tariffs(), st.integers(0, 10_000))
def test_the_lines_of_a_no_show_add_up_to_its_fee_and_so_do_the_parts(tariff: Tariff, fee_cents: int) -> None:
    ruled = replace(tariff, no_show=NoShow(fee_cents=fee_cents))
    charged_cents, receipt = no_show_fare(ruled, quoted(ruled, 1.7)[1])
    assert sum(line.cents for line in receipt.lines) == charged_cents
    assert receipt.changes == ("no_show",)
    assert "bonus" not in {line.name for line in split(ruled, charged_cents, receipt).lines}
    parts = split(ruled, charged_cents, receipt)
    assert parts.driver_cents + parts.platform_cents + parts.tax_cents == charged_cents


@settings(max_examples=100, deadline=None)
@given(tariffs(), st.integers(0, 100_000), st.integers(0, 100_000))
def test_a_corrected_receipt_adds_up_to_the_fare_also_when_it_is_corrected_again(
    tariff: Tariff, first_cents: int, second_cents: int
) -> None:
    price_cents, receipt = quoted(tariff)
    for fare_cents in (first_cents, second_cents):
        receipt, price_cents = corrected(price_cents, receipt, fare_cents), fare_cents
        assert sum(line.cents for line in receipt.lines) == fare_cents
        assert 0 <= receipt.tax_cents <= fare_cents
        assert receipt.changes == ("correction",)
        parts = split(tariff, fare_cents, receipt)
        assert parts.driver_cents + parts.platform_cents + parts.tax_cents == fare_cents


def test_without_rules_a_no_show_costs_nothing_after_five_minutes() -> None:
    assert no_show_of(None) == no_show_of(TAXI) == NoShow(wait_s=300.0, fee_cents=0)
    assert no_show_fare(TAXI, quoted(TAXI)[1])[0] == 0


def test_nonsense_is_refused() -> None:
    for wrong in ({"wait_s": -1.0}, {"wait_s": float("nan")}, {"fee_cents": 2.5}, {"fee_cents": -1}):
        with pytest.raises(FieldWrong):
            NoShow(**wrong)
