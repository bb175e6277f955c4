from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kernel.local_time import hours_of_week, local_days, quarters_of_hour


def at(*moment: int, zone: str = "Europe/Zurich") -> float:
    return datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()


def test_the_week_begins_on_monday_by_the_regions_clocks() -> None:
    t_s = [at(2026, 1, 5, 0, 0), at(2026, 1, 5, 23, 59), at(2026, 1, 11, 23, 59), at(2026, 7, 6, 8, 30)]
    assert hours_of_week(t_s, "Europe/Zurich").tolist() == [0, 23, 167, 8]


def test_summer_time_and_odd_offsets_are_heeded() -> None:
    before = at(2026, 3, 29, 1, 59, 59)
    assert hours_of_week([before, before + 1.0], "Europe/Zurich").tolist() == [145, 147]
    assert hours_of_week([0.0], "Asia/Kathmandu").tolist() == [3 * 24 + 5]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_every_moment_has_the_hour_and_the_date_that_the_standard_library_says(zone: str) -> None:
    t_s = np.random.default_rng(1).uniform(1.7e9, 1.8e9, 500)
    local = [datetime.fromtimestamp(moment, ZoneInfo(zone)) for moment in t_s.tolist()]
    assert hours_of_week(t_s, zone).tolist() == [moment.weekday() * 24 + moment.hour for moment in local]
    assert local_days(t_s, zone).tolist() == [(moment.date() - date(1970, 1, 1)).days for moment in local]


def test_moments_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        hours_of_week([float("nan")], "UTC")
    with pytest.raises(ValueError, match="no date"):
        hours_of_week([1e18], "UTC")
    assert hours_of_week([datetime(2026, 1, 5, 7, tzinfo=UTC).timestamp()], "UTC").tolist() == [7]


def test_a_clock_hour_is_as_long_as_the_clocks_show_it() -> None:
    def hour(day: date, hour: int, zone: str) -> list[float]:
        return [
            (step - at(day.year, day.month, day.day, zone=zone)) / 900 for step in quarters_of_hour(day, hour, zone)
        ]

    assert hour(date(2026, 1, 5), 8, "Europe/Zurich") == [32, 33, 34, 35]
    assert hour(date(2026, 1, 5), 25, "Europe/Zurich") == [100, 101, 102, 103]
    assert hour(date(2026, 3, 29), 2, "Europe/Zurich") == []
    assert hour(date(2026, 3, 29), 3, "Europe/Zurich") == [8, 9, 10, 11]
    assert hour(date(2026, 10, 25), 2, "Europe/Zurich") == list(range(8, 16))
    assert hour(date(2026, 4, 5), 1, "Australia/Lord_Howe") == [4, 5, 6, 7, 8, 9]
    assert hour(date(2011, 12, 30), 8, "Pacific/Apia") == []  # a day that Samoa left out
