"""Seconds since 1970 on the clocks of a region."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from pricing.model.tariff import LocalTime


def local_time(timezone: str, at_s: float) -> LocalTime:
    """Return weekday and second of the day that clocks of the IANA zone show at ``at_s``, summer time included."""
    moment = datetime.fromtimestamp(at_s, ZoneInfo(timezone))
    second = moment.hour * 3600.0 + moment.minute * 60.0 + moment.second + moment.microsecond / 1e6
    return LocalTime(moment.weekday(), second)
