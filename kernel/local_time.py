"""Hours of the week, and dates, by the clocks of a region."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike, NDArray

HOURS_PER_WEEK = 168
#: Offsets of time zones change at multiples of this: a quarter of an hour.
_OFFSET_STEP_S = 900
_ORDINAL_1970 = date(1970, 1, 1).toordinal()


def quarters_of_hour(day: date, hour: int, timezone: str) -> list[int]:
    """Return when the quarters (Unix seconds, ascending) of a clock hour begin that the clocks of a region show.

    ``hour`` counts from the midnight of ``day``; 24 and more are of the night after. Four quarters as a rule; eight of
    an hour that the clocks show twice, fewer or none where they are put forward.
    """
    zone, wanted = ZoneInfo(timezone), (day + timedelta(days=hour // 24), hour % 24)
    as_utc_s = int(datetime(wanted[0].year, wanted[0].month, wanted[0].day, wanted[1], tzinfo=UTC).timestamp())
    # Offsets lie within a day of UTC.
    steps = range(as_utc_s - 86_400, as_utc_s + 90_000, _OFFSET_STEP_S)
    moments = ((step, datetime.fromtimestamp(step, zone)) for step in steps)
    return [step for step, moment in moments if (moment.date(), moment.hour) == wanted]


def hours_of_week(t_s: ArrayLike, timezone: str) -> NDArray[np.int64]:
    """Return the local hour of the week (n,), 0 to 167, of moments (n,) in Unix seconds; 0 is Monday 00:00.

    ``timezone`` is an IANA name. Raises ValueError for a moment that is not finite or no date.
    """
    return _by_local_moment(t_s, timezone, lambda moment: moment.weekday() * 24 + moment.hour)


def local_days(t_s: ArrayLike, timezone: str) -> NDArray[np.int64]:
    """Return the local dates (n,) of moments (n,) in Unix seconds, as days since 1970-01-01; raises as above."""
    return _by_local_moment(t_s, timezone, lambda moment: moment.toordinal() - _ORDINAL_1970)


def _by_local_moment(t_s: ArrayLike, timezone: str, of: Callable[[datetime], int]) -> NDArray[np.int64]:
    moments = np.atleast_1d(np.asarray(t_s, np.float64))
    if not np.isfinite(moments).all():
        raise ValueError("a moment is not a finite number")
    zone = ZoneInfo(timezone)
    steps, row = np.unique(np.floor(moments / _OFFSET_STEP_S).astype(np.int64), return_inverse=True)
    try:
        found = [of(datetime.fromtimestamp(step * _OFFSET_STEP_S, zone)) for step in steps.tolist()]
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"a moment is no date: {error}") from error
    return np.array(found, np.int64)[row]
