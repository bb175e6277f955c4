"""Reading tariff files, and the errors for invalid ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from hexhail.runtime.settings import MANHATTAN
from kernel.toml_lines import line_of
from pricing.adapters.tariff_file import read_tariff, tariff_of_text
from pricing.errors import TariffRefused
from pricing.model.tariff import AtDropoff, DriverShare, NoShow, Surcharge, Tariff, Tax, Zone
from tests.pricing.tariffs import tariffs

TEXT = """[region]
timezone = "Asia/Tokyo"
currency = "JPY"

# What a ride costs.
[tariff]
currency = "JPY"
base_cents = 500
per_km_cents = 420
per_minute_cents = 60
minimum_cents = 1000
rounding_cents = 10
rounding = "up"
surge_on = ["distance", "time"]

[tariff.tax]
rate_percent = 10
included = true

[tariff.zones]
harbour = [
    "882a100d65fffff",
    "882a100d67fffff",
]

[[tariff.surcharges]]
name = "night"
percent = 20
weekdays = ["fri", "sat"]
from = 22:00:00
until = 05:00:00

[[tariff.surcharges]]

# A bridge.
name = "bridge"
amount_cents = 310
zone = "harbour"
at = "way"
to_driver = true
taxed = false

[tariff.at_dropoff]
waiting_per_minute_cents = 50

[tariff.driver]
commission_percent = 22.5
"""


def test_a_whole_tariff_is_read() -> None:
    assert tariff_of_text(TEXT, "city.toml") == Tariff(
        "JPY",
        base_cents=500,
        per_km_cents=420,
        per_minute_cents=60,
        minimum_cents=1000,
        rounding_cents=10,
        rounding="up",
        surge_on=("distance", "time"),
        tax=Tax(10, is_included=True),
        zones=(Zone("harbour", 8, ("882a100d65fffff", "882a100d67fffff")),),
        surcharges=(
            Surcharge("night", percent=20, weekdays=("fri", "sat"), from_s=79_200.0, until_s=18_000.0),
            Surcharge("bridge", amount_cents=310, zone="harbour", at="way", is_drivers=True, is_taxed=False),
        ),
        at_dropoff=AtDropoff(waiting_per_minute_cents=50),
        driver=DriverShare(commission_percent=22.5),
    )


def test_the_shipped_city_has_a_tariff() -> None:
    assert read_tariff(MANHATTAN / "city.toml").currency == "USD"


def test_a_version_stands_for_the_content_and_not_for_its_layout() -> None:
    version = tariff_of_text(TEXT, "city.toml").version
    assert tariff_of_text(TEXT.replace("# A bridge.\n", "").replace(" = ", "="), "other.toml").version == version
    assert tariff_of_text(TEXT.replace("= 310", "= 311"), "city.toml").version != version


@settings(max_examples=50, deadline=None)
@given(tariffs())
def test_a_tariff_comes_back_from_an_archive_as_the_same_version(tariff: Tariff) -> None:
    back = msgspec.json.decode(msgspec.json.encode(tariff), type=Tariff)
    assert back == tariff
    assert back.version == tariff.version


@pytest.mark.parametrize(
    ("right", "wrong", "line", "told"),
    [
        ("base_cents = 500", "base_cents = 5.5", 8, "tariff.base_cents is 5.5; expected a whole number of minor units"),
        ("base_cents = 500", "base_cents = true", 8, "tariff.base_cents is True; expected a whole number"),
        ("per_km_cents = 420", "per_km_cents = -1", 9, "tariff.per_km_cents is -1; expected a whole number"),
        ("per_km_cents = 420\n", "", 6, "tariff.per_km_cents is missing; expected per_km_cents in [tariff]"),
        ("per_km_cents", "per_mile_cents", 9, "tariff.per_mile_cents is not a key of this section; expected only"),
        ("minimum_cents = 1000", "minimum_cents = 1001", 11, "tariff.minimum_cents is 1001; expected a multiple of"),
        ("rounding_cents = 10", "rounding_cents = 0", 12, "tariff.rounding_cents is 0; expected a whole number of min"),
        ('rounding = "up"', 'rounding = "down"', 13, "tariff.rounding is 'down'; expected one of half_up, half_even"),
        ('["distance", "time"]', '["tax"]', 14, "tariff.surge_on is 'tax'; expected some of base, distance"),
        ('["distance", "time"]', '["minimum", "time"]', 14, "tariff.surge_on is ['minimum', 'time']; expected"),
        ('["distance", "time"]', "3", 14, "tariff.surge_on is 3; expected a list of words in quotes"),
        ("rate_percent = 10", "rate_percent = 8.87654", 17, "tariff.tax.rate_percent is 8.87654; expected a perc"),
        ("included = true", 'included = "no"', 18, "tariff.tax.included is 'no'; expected true or false"),
        ("[tariff.tax]\nrate_percent = 10\nincluded = true", "tax = 8", 16, "tariff.tax is 8; expected a section"),
        ("882a100d67fffff", "892a100d65bffff", 21, "tariff.zones.harbour is 'of the resolutions [8, 9]'; expected c"),
        ("882a100d67fffff", "tokyo", 21, "tariff.zones.harbour is 'tokyo'; expected H3 cells as hex"),
        ("percent = 20", "percent = 0", 28, "tariff.surcharges.0.percent is 0; expected either percent or amount"),
        ('"fri", "sat"', '"friday"', 29, "tariff.surcharges.0.weekdays is 'friday'; expected some of mon, tue"),
        ("from = 22:00:00", 'from = "22:00"', 30, "tariff.surcharges.0.from is '22:00'; expected a local time without"),
        ("until = 05:00:00", "until = 22:00:00", 31, "tariff.surcharges.0.until is 'the same as from'; expected anoth"),
        ("from = 22:00:00\n", "", 30, "tariff.surcharges.0.until is 'without from'; expected both or neither"),
        ('name = "bridge"', 'name = "night"', 36, "tariff.surcharges.1.name is 'night'; expected another name: it is"),
        ('zone = "harbour"', 'zone = "port"', 38, "tariff.surcharges.1.zone is 'port'; expected one of harbour"),
        ('at = "way"', 'at = "exit"', 39, "tariff.surcharges.1.at is 'exit'; expected one of pickup, dropoff"),
        ("taxed = false", "taxd = false", 41, "tariff.surcharges.1.taxd is not a key of this section; expected only"),
        ("= 22.5", "= 122.5", 47, "tariff.driver.commission_percent is 122.5; expected a number from 0 to 100"),
        ('"Asia/Tokyo"', '"Asia/Edo"', 2, "region.timezone is 'Asia/Edo'; expected an IANA time zone"),
        ('"JPY"\nbase', '"EUR"\nbase', 7, "tariff.currency is 'EUR'; expected the region's currency, which is"),
        ('"JPY"\nbase', '"YEN"\nbase', 7, "tariff.currency is 'YEN'; expected a currency of ISO 4217"),
        ("included = true", "included = yes", 18, "the text is not TOML (Invalid value (at line 18, column 12)); ex"),
        ("[tariff]", "[price]", 1, "tariff is missing; expected a section [tariff]"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_line_and_what_was_expected(
    right: str, wrong: str, line: int, told: str
) -> None:
    assert TEXT.count(right) >= 1
    with pytest.raises(TariffRefused) as raised:
        tariff_of_text(TEXT.replace(right, wrong, 1) if right != "[tariff]" else TEXT.replace("[tariff", "[price"), "f")
    assert str(raised.value).startswith(f"f, line {line}: {told}")
    assert raised.value.line == line


def test_every_line_of_a_file_is_found_by_its_key() -> None:
    """Twenty surcharges, some with keys over several lines."""
    blocks = [
        f'[[tariff.surcharges]]\n# {number}\nname = "s{number}"\nweekdays = [\n  "mon",\n  "tue",\n]\npercent = 5\n'
        for number in range(20)
    ]
    text = "\n".join(blocks)
    for number in range(20):
        for key, offset in (("name", 3), ("weekdays", 4), ("percent", 8)):
            assert line_of(text, ("tariff", "surcharges", number, key)) == number * 9 + offset
        assert line_of(text, ("tariff", "surcharges", number)) == number * 9 + 1


def test_a_file_that_is_not_there_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tariff(tmp_path / "city.toml")


def test_the_archive_keeps_all_there_is_in_a_tariff() -> None:
    """A field that has no type msgspec can read back would only be missed when a ride is settled."""
    assert {field.name for field in fields(Tariff)} == set(msgspec.to_builtins(tariff_of_text(TEXT, "")))


def test_rules_for_no_shows_are_read_and_tariffs_without_them_keep_their_version() -> None:
    plain = tariff_of_text(TEXT, "city.toml")
    ruled = tariff_of_text(TEXT + "\n[tariff.no_show]\nwait_s = 240.0\nfee_cents = 500\n", "city.toml")
    assert (plain.no_show, ruled.no_show) == (None, NoShow(240.0, 500))
    assert ruled.version != plain.version
    without = {name: value for name, value in asdict(plain).items() if name != "no_show"}
    content = json.dumps(without, sort_keys=True, separators=(",", ":"))
    assert plain.version == hashlib.sha256(content.encode()).hexdigest()[:16]
    with pytest.raises(TariffRefused, match=r"tariff\.no_show\.fee_cents is 2\.5"):
        tariff_of_text(TEXT + "\n[tariff.no_show]\nfee_cents = 2.5\n", "city.toml")
