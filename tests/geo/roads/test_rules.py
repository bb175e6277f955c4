from __future__ import annotations

from typing import Any

import pytest

from geo.roads.rules import COUNTRIES, KMH_PER_MPH, SHARE_OF_LIMIT, Drivable, judge, limit_kmh


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"highway": "footway"}, "not a road for cars"),
        ({"highway": "construction"}, "not a road for cars"),
        ({"highway": "service", "area": "yes"}, "an area, not a line"),
        ({"highway": "service", "service": "driveway"}, "driveway or part of a car park"),
        ({"highway": "residential", "access": "private"}, "no public access"),
        ({"highway": "residential", "access": "yes", "motor_vehicle": "no"}, "no public access"),
        ({"highway": "primary", "oneway": "reversible"}, "direction changes with the time of day"),
    ],
)
def test_ways_that_taxis_may_not_drive_are_left_out_with_a_reason(tags: Any, reason: Any) -> None:
    assert judge(tags) == reason


@pytest.mark.parametrize(
    "tags",
    [
        {"highway": "residential", "access": "no", "taxi": "yes"},
        {"highway": "service", "service": "alley"},
        {"highway": "living_street", "access": "destination"},
        {"highway": "primary_link", "motorcar": "yes", "vehicle": "no"},
    ],
)
def test_the_most_specific_access_tag_decides(tags: Any) -> None:
    assert isinstance(judge(tags), Drivable)


@pytest.mark.parametrize(
    ("tags", "forward", "backward"),
    [
        ({"highway": "residential"}, True, True),
        ({"highway": "residential", "oneway": "yes"}, True, False),
        ({"highway": "residential", "oneway": "-1"}, False, True),
        ({"highway": "residential", "junction": "roundabout"}, True, False),
        ({"highway": "motorway"}, True, False),
        ({"highway": "motorway", "oneway": "no"}, True, True),
        ({"highway": "residential", "oneway": "yes", "oneway:motorcar": "no"}, True, True),
    ],
)
def test_one_way_streets_are_open_one_way(tags: Any, forward: Any, backward: Any) -> None:
    judged = judge(tags)
    assert (judged.forward_kmh > 0, judged.backward_kmh > 0) == (forward, backward)


def test_a_tagged_limit_decides_the_speed_in_each_direction() -> None:
    judged = judge({"highway": "primary", "maxspeed": "50", "maxspeed:backward": "30 mph"})
    assert judged.forward_kmh == 50 * SHARE_OF_LIMIT
    assert judged.backward_kmh == pytest.approx(30 * KMH_PER_MPH * SHARE_OF_LIMIT)


def test_without_a_limit_class_and_country_decide() -> None:
    assert judge({"highway": "motorway"}, "GB").forward_kmh == 110.0
    assert judge({"highway": "motorway"}, "US").forward_kmh == pytest.approx(65 * KMH_PER_MPH)
    assert judge({"highway": "motorway_link"}, "US").forward_kmh == 60.0
    assert judge({"highway": "tertiary"}, "US").forward_kmh == pytest.approx(25 * KMH_PER_MPH)
    assert judge({"highway": "living_street"}, "AT").forward_kmh == 10.0
    with pytest.raises(ValueError, match="known: AT, CH"):
        judge({"highway": "motorway"}, "XX")


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("50", 50.0),
        ("25 mph", 25 * KMH_PER_MPH),
        ("30 km/h", 30.0),
        ("60;40", 60.0),
        ("CH:urban", COUNTRIES["CH"].urban),
        ("XX:rural", 90.0),
        ("walk", 7.0),
        ("none", None),
        ("signals", None),
        ("5000", None),
        ("0", None),
        ("", None),
    ],
)
def test_speed_limits_are_read_in_all_common_spellings(text: str, kmh: Any) -> None:
    assert limit_kmh(text, None) == (None if kmh is None else pytest.approx(kmh))
