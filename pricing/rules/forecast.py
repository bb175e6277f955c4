"""How many requests a place will have in the next quarter of an hour, and how wrong such forecasts have been.

Two forms of one idea: the usual demand of a day, times a smoothed ratio of what was seen to what is usual.
`DemandForecast` is told of each quarter and keeps its own error. `requests_ahead` starts from counts that decay with
time, as the pricer keeps them, so that it needs no memory of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

QUARTER_S = 900.0
QUARTERS_OF_DAY = 96
#: Requests older than so many half-lives hardly count: a thousandth.
_HALF_LIVES_KEPT = 10


@dataclass(frozen=True, slots=True)
class ForecastParams:
    """How quickly a forecast believes that a day is another one than usual."""

    #: What was seen so many quarters ago counts half.
    half_life_quarters: float = 2.0
    #: What the whole region does weighs in each place as much as so many expected requests.
    prior_requests: float = 20.0

    def __post_init__(self) -> None:
        for name in ("half_life_quarters", "prior_requests"):
            if not 0.0 < getattr(self, name) < 1e6:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ForecastError:
    """The sum of absolute errors over the sum of what came, of forecasts made a quarter ahead; None before any came."""

    forecast: float | None
    #: Of the profile without correction, and of saying that the next quarter will be like this one.
    profile: float | None
    last_quarter: float | None


def profile_of(quarter: IntArray, place: IntArray, places: int, days: int) -> FloatArray:
    """Return the usual requests (96, places) of each quarter of a day, out of those of some days.

    ``quarter (n,)`` of the day and ``place (n,)`` say when and where each was made. Neighbouring quarters are averaged
    by 1:2:1, for a few days are few requests.
    """
    if days < 1:
        raise ValueError(f"days must be at least 1, not {days}")
    flat = np.bincount(quarter % QUARTERS_OF_DAY * places + place, minlength=QUARTERS_OF_DAY * places)
    counts = flat.reshape(QUARTERS_OF_DAY, places) / days
    return np.asarray((np.roll(counts, 1, axis=0) + 2.0 * counts + np.roll(counts, -1, axis=0)) / 4.0)


class DemandForecast:
    """A usual day, corrected by what today has been like: exponentially smoothed ratios of seen to usual.

    Each place's ratio is shrunk toward the region's, so that a place with few riders does not follow chance.
    """

    def __init__(self, profile: npt.ArrayLike, params: ForecastParams | None = None) -> None:
        """`profile` (96, places), see `profile_of`. Raises ValueError for another shape or a negative number."""
        usual = np.asarray(profile, np.float64)
        if usual.ndim != 2 or usual.shape[0] != QUARTERS_OF_DAY or not (usual >= 0.0).all():
            raise ValueError(f"profile must be ({QUARTERS_OF_DAY}, places) numbers from 0, not of shape {usual.shape}")
        self._profile = usual
        self._params = params or ForecastParams()
        self._seen = np.zeros(usual.shape[1])
        self._expected = np.zeros(usual.shape[1])
        self._last: FloatArray | None = None
        self._errors = np.zeros(3)
        self._came = 0.0

    def ahead(self, quarter: int) -> FloatArray:
        """Return the requests (places,) to expect in a quarter of the day."""
        prior = self._params.prior_requests
        region = (self._seen.sum() + prior) / (self._expected.sum() + prior)
        ratio = (self._seen + prior * region) / (self._expected + prior)
        return np.asarray(self._profile[quarter % QUARTERS_OF_DAY] * ratio)

    def observe(self, quarter: int, counts: npt.ArrayLike) -> None:
        """Learn what a quarter, now over, has brought (places,). Quarters are told in their order."""
        came = np.asarray(counts, np.float64)
        if came.shape != self._seen.shape or not (came >= 0.0).all():
            raise ValueError(f"counts must be {self._seen.shape[0]} numbers from 0, one for each place")
        usual = self._profile[quarter % QUARTERS_OF_DAY]
        if self._last is not None:
            guesses = (self.ahead(quarter), usual, self._last)
            self._errors += [np.abs(guess - came).sum() for guess in guesses]
            self._came += came.sum()
        kept = 0.5 ** (1.0 / self._params.half_life_quarters)
        self._seen = kept * self._seen + came
        self._expected = kept * self._expected + usual
        self._last = came

    @property
    def error(self) -> ForecastError:
        """How wrong forecasts have been, all quarters from the second on together."""
        if not self._came:
            return ForecastError(None, None, None)
        return ForecastError(*(self._errors / self._came).tolist())


def requests_ahead(
    seen: npt.ArrayLike, half_life_s: float, profile: FloatArray | None, day_s: float, prior_requests: float
) -> FloatArray:
    """Return the requests (places,) to expect in the next quarter of an hour.

    Args:
        seen: (places,) requests that were made, each halved every ``half_life_s`` seconds since.
        profile: (96, places) usual requests of each quarter of a day, see `profile_of`; None expects the present rate
            to go on.
        day_s: seconds since local midnight.
        prior_requests: the region's ratio of seen to usual weighs in each place as much as so many requests.
    """
    counts = np.asarray(seen, np.float64)
    if profile is None:
        return np.asarray(counts * (math.log(2.0) / half_life_s * QUARTER_S))
    usual = usually_seen(profile, half_life_s, day_s)
    region = (counts.sum() + prior_requests) / (usual.sum() + prior_requests)
    ratio = (counts + prior_requests * region) / (usual + prior_requests)
    return np.asarray(_between(profile, day_s, day_s + QUARTER_S) * ratio)


def usually_seen(profile: FloatArray, half_life_s: float, day_s: float) -> FloatArray:
    """Return what ``seen`` of `requests_ahead` (places,) is at this time of a usual day."""
    ages_s = np.arange(0.0, _HALF_LIVES_KEPT * half_life_s, half_life_s / 4.0)
    weight = 0.5 ** ((ages_s + half_life_s / 8.0) / half_life_s)
    steps = [_between(profile, day_s - age_s - half_life_s / 4.0, day_s - age_s) for age_s in ages_s]
    return np.asarray(weight @ np.stack(steps))


def _between(profile: FloatArray, begin_s: float, end_s: float) -> FloatArray:
    """The usual requests (places,) from one time of the day to another, each quarter by the part of it that counts."""
    first, last = math.floor(begin_s / QUARTER_S), math.ceil(end_s / QUARTER_S)
    quarters = np.arange(first, max(last, first + 1))
    begins_s = quarters * QUARTER_S
    share = np.clip(np.minimum(begins_s + QUARTER_S, end_s) - np.maximum(begins_s, begin_s), 0.0, None) / QUARTER_S
    return np.asarray(share @ profile[quarters % QUARTERS_OF_DAY])
