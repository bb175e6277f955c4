from __future__ import annotations

from typing import Any

import pytest

from kernel import money
from kernel.money import MINOR_UNIT_DIGITS, in_units, money_text


@pytest.mark.parametrize(
    ("amount", "currency", "units", "text"),
    [
        (123450, "USD", 1234.5, "1,234.50 USD"),
        (123450, "JPY", 123450.0, "123,450 JPY"),
        (123450, "KWD", 123.45, "123.450 KWD"),
        (123450, "CLF", 12.345, "12.3450 CLF"),
        (-5, "EUR", -0.05, "-0.05 EUR"),
        (33.3, "USD", 0.333, "0.33 USD"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(amount: Any, currency: Any, units: Any, text: str) -> None:
    assert in_units(amount, currency) == pytest.approx(units)
    assert money_text(amount, currency) == text


def test_what_is_no_currency_is_refused() -> None:
    with pytest.raises(KeyError, match="XXX"):
        in_units(1, "XXX")


def test_every_code_is_listed_once() -> None:
    codes = " ".join(money._CODES_BY_DIGITS.values()).split()
    assert len(codes) == len(MINOR_UNIT_DIGITS) == 165
    assert all(len(code) == 3 and code.isupper() for code in codes)
