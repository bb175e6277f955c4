"""The tariff that the documentation explains is one."""

from __future__ import annotations

import re
from pathlib import Path

from pricing.adapters.tariff_file import tariff_of_text

PAGE = (Path(__file__).parents[2] / "docs" / "tariff.md").read_text()
(TOML,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_tariff_of_the_page_can_be_put_in_force() -> None:
    tariff = tariff_of_text(TOML, "docs/tariff.md")
    assert tariff.currency == "JPY"
    assert [surcharge.name for surcharge in tariff.surcharges] == ["night", "airport", "bridge-toll"]


def test_the_page_explains_every_key_there_is() -> None:
    keys = set(re.findall(r"^(\w+) =", TOML, re.MULTILINE))
    assert keys >= {
        *("base_cents", "per_km_cents", "per_minute_cents", "minimum_cents", "rounding_cents", "rounding"),
        *(
            "booking_fee_cents",
            "surge_on",
            "rate_percent",
            "included",
            "rounded_per",
            "name",
            "percent",
            "amount_cents",
        ),
        *("zone", "at", "from", "until", "weekdays", "taxed", "to_driver", "place_tolerance_m"),
        *("time_tolerance_share", "time_tolerance_s", "above_quote_share_max", "waiting_free_s"),
        *("waiting_per_minute_cents", "wait_s", "fee_cents", "commission_percent", "surge_commission_percent"),
    }
