from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kernel.section_reader import read_params
from pricing.model.surge import SurgeParams


def test_surge_params_are_read_from_a_section_and_keep_their_defaults() -> None:
    assert read_params({"surge": {"surge_cap": 2}}, SurgeParams) == replace(SurgeParams(), surge_cap=2)
    with pytest.raises(ValueError, match=r"\[surge\] cap is not a key of this section"):
        read_params({"surge": {"cap": 2.0}}, SurgeParams)


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
def test_invalid_surge_parameters_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        SurgeParams(**{name: value})
