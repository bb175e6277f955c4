from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pricing.model import Point, SurgeParams, Tariff

SECTION = {
    "currency": "USD",
    "base_cents": 250,
    "per_km_cents": 125,
    "per_minute_cents": 35,
    "minimum_cents": 700,
    "rounding_cents": 5,
}


def test_a_tariff_is_read_from_the_section_of_a_city() -> None:
    assert Tariff.from_section(SECTION) == Tariff("USD", 250, 125, 35, 700, 5)


def test_an_unknown_key_is_refused_by_name_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"\[tariff\] has an unknown key 'per_mile_cents'; expected only currency, ba"):
        Tariff.from_section({**SECTION, "per_mile_cents": 200})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[tariff\] lacks 'per_km_cents'"):
        Tariff.from_section({key: value for key, value in SECTION.items() if key != "per_km_cents"})


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("base_cents", 2.5, TypeError, "base_cents must be a whole number of minor units, such as 250, not 2.5"),
        ("base_cents", True, TypeError, "base_cents must be a whole number"),
        ("per_km_cents", -1, ValueError, "per_km_cents must not be negative, but is -1"),
        ("per_minute_cents", "35", TypeError, "per_minute_cents must be a whole number"),
        ("rounding_cents", 0, ValueError, "rounding_cents must be at least 1"),
        ("minimum_cents", 702, ValueError, r"minimum_cents must be a multiple of rounding_cents \(5\), not 702"),
        ("currency", "usd", ValueError, "currency must be three capital letters"),
        ("currency", "US", ValueError, "currency must be three letters"),
        ("currency", 840, ValueError, "currency must be three letters"),
    ],
)
def test_a_tariff_refuses_nonsense_at_birth(key: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Tariff.from_section({**SECTION, key: value})


def test_surge_params_are_read_from_a_section_and_keep_their_defaults() -> None:
    assert SurgeParams.from_section({"surge_cap": 2}) == replace(SurgeParams(), surge_cap=2)
    with pytest.raises(ValueError, match=r"\[surge\] has an unknown key 'cap'; expected only demand_elasticity"):
        SurgeParams.from_section({"cap": 2.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("demand_elasticity", 0.0),
        ("supply_elasticity", math.nan),
        ("demand_half_life_s", math.inf),
        ("surge_step_max", -0.1),
        ("surge_hysteresis", "5 %"),
        ("minimum_requests", 0),
        ("surge_floor", 1.0),
        ("surge_floor", 0.899),
        ("surge_cap", 1.0),
        ("surge_cap", 2.505),
        ("price_life_s", 59.0),
        ("tick_s", True),
    ],
)
def test_surge_params_refuse_nonsense_at_birth_and_name_it(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        SurgeParams(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("lat_deg", "lng_deg"), [(math.nan, 0.0), (91.0, 0.0), (0.0, 181.0), (0.0, math.inf)])
def test_a_point_off_the_globe_is_refused(lat_deg: float, lng_deg: float) -> None:
    with pytest.raises(ValueError, match="_deg must be"):
        Point(lat_deg, lng_deg)
