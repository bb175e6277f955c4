"""The probability that a driver accepts an offer: logistic regression, learned online from every answer.

p = 1 / (1 + exp(-theta.x)), then calibrated. At DiDi a logistic regression did as well as boosted trees
(Zhang et al. 2017, doi:10.1145/3097983.3098138), so that one dot product per pair is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatch.matching.calibration import AcceptanceFigures, Calibration, CalibrationState
from dispatch.matching.histories import Histories
from geo.jit import kernel

Floats = NDArray[np.float64]

#: x in its order, each about 1 where it is large: 1; pickup ETA in tens of minutes; refusals so far in fives; trip in
#: half hours; logarithm of the fare per second, with the empty way to the pickup and a way back as long as the trip,
#: against the usual; logit of the driver's own acceptance rate against the prior; and the hour of the day. The sine and
#: the cosine of the hour in Greenwich span those of any time zone.
FEATURES = ("constant", "pickup_eta", "refusals", "trip", "fare_rate", "history", "hour_sin", "hour_cos")
ETA_UNIT_S, REFUSALS_UNIT, TRIP_UNIT_S = 600.0, 5.0, 1800.0
#: Features are clipped here, so that one odd offer does not upset the model.
FEATURE_MAX = 3.0
#: Shorter work than this has no meaningful rate of pay.
WORK_S_MIN = 60.0
DAY_S = 86_400.0
#: Probabilities stay this far from 0 and 1.
SHARE_MIN = 0.01
#: Knots and corrections of a model without calibration.
_UNCHANGED = np.array([0.5]), np.zeros(1)


@dataclass(frozen=True, slots=True)
class AcceptanceParams:
    """How the model learns. Durations are city seconds."""

    #: The acceptance rate before any answer is seen.
    prior_share: float = 0.85
    #: Steps of the gradient: `rate / sqrt(1 + n / rate_half)` after n answers, never below `rate_min`, so that a city
    #: that changes is followed.
    rate: float = 0.1
    rate_half: float = 200.0
    rate_min: float = 0.005
    #: A driver's own acceptance rate starts at the prior, which weighs as much as so many answers, ...
    history_prior: float = 10.0
    #: ... and an answer counts half after so long.
    history_half_life_s: float = 7 * DAY_S
    #: The weight of each new offer in the running mean of the fare per second.
    usual_rate_step: float = 0.005

    def __post_init__(self) -> None:
        for name in ("prior_share", "usual_rate_step"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("rate", "rate_half", "rate_min", "history_prior", "history_half_life_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class OfferColumns:
    """Offers that are made or weighed at one moment, (e,); `refusals` are those of the ride so far."""

    driver_id: Sequence[str]
    pickup_eta_s: Floats
    refusals: Floats
    trip_s: Floats
    fare_cents: Floats
    at_s: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of one offer with its features, kept until the answer comes."""

    driver_id: str
    x: tuple[float, ...]
    uncalibrated: float
    share: float


@dataclass(frozen=True, slots=True)
class ModelState:
    """All that a model has learned."""

    theta: tuple[float, ...]
    answers: int
    #: None before the first offer.
    usual_log_rate: float | None
    histories: dict[str, tuple[float, float, float]]
    calibration: CalibrationState


class AcceptanceModel:
    """Forecasts answers and learns from them; the caller passes the time."""

    def __init__(self, params: AcceptanceParams | None = None, state: ModelState | None = None) -> None:
        self.params = params or AcceptanceParams()
        self._theta = np.zeros(len(FEATURES))
        self._theta[FEATURES.index("constant")] = _logit(self.params.prior_share)
        self._theta[FEATURES.index("history")] = 1.0
        self._usual_log_rate: float | None = None
        self._answers = 0
        self._histories = Histories(self.params.prior_share, self.params.history_prior, self.params.history_half_life_s)
        self._calibration = Calibration()
        if state is not None:
            self._take(state)

    @property
    def theta(self) -> dict[str, float]:
        """The coefficients by feature."""
        return dict(zip(FEATURES, self._theta.tolist(), strict=True))

    def features(self, offers: OfferColumns, driver: NDArray[np.int64]) -> Floats:
        """The features x (e, 8) of pairs (e,); `driver` (e,) are places in `offers.driver_id`."""
        history = self._histories.shares(offers.driver_id, offers.at_s)
        own = np.log(history / (1.0 - history)) - _logit(self.params.prior_share)
        angle = 2.0 * math.pi * (offers.at_s % DAY_S) / DAY_S
        usual = math.nan if self._usual_log_rate is None else self._usual_log_rate
        columns = offers.pickup_eta_s, offers.refusals, offers.trip_s, offers.fare_cents, own[driver]
        return offer_features(columns, usual, math.sin(angle), math.cos(angle))

    def probability(self, x: Floats) -> Floats:
        """The calibrated probability of acceptance (e,) for features (e, 8)."""
        return probabilities(x, self._theta, *self._calibration.knots)

    def forecast(self, offers: OfferColumns) -> Forecast:
        """The forecast of one offer that is sent; also updates the usual fare per second."""
        x = self.features(offers, np.zeros(1, np.int64))
        self._follow_rate(offers)
        uncalibrated = float(probabilities(x, self._theta, *_UNCHANGED)[0])
        return Forecast(offers.driver_id[0], tuple(x[0].tolist()), uncalibrated, float(self.probability(x)[0]))

    def observe(self, forecast: Forecast, *, accepted: bool, at_s: float) -> None:
        """Learn from one answer; an offer that expired counts as declined."""
        params = self.params
        rate = max(params.rate_min, params.rate / math.sqrt(1.0 + self._answers / params.rate_half))
        x = np.array(forecast.x)
        expected = float(probabilities(x[None], self._theta, *_UNCHANGED)[0])
        self._theta += rate * (accepted - expected) * x
        self._answers += 1
        self._histories.add(forecast.driver_id, accepted=accepted, at_s=at_s)
        self._calibration.add(forecast.uncalibrated, forecast.share, accepted=accepted)

    def figures(self) -> AcceptanceFigures:
        """How good the forecasts of the last answers were."""
        return self._calibration.figures(self._answers)

    def state(self) -> ModelState:
        """All that has been learned."""
        theta = tuple(self._theta.tolist())
        return ModelState(
            theta, self._answers, self._usual_log_rate, self._histories.state(), self._calibration.state()
        )

    def _take(self, state: ModelState) -> None:
        if len(state.theta) != len(FEATURES):
            raise ValueError(f"the state has {len(state.theta)} coefficients, the model {len(FEATURES)}")
        self._theta = np.array(state.theta, np.float64)
        self._answers, self._usual_log_rate = state.answers, state.usual_log_rate
        self._histories.take(state.histories)
        self._calibration = Calibration(state.calibration)

    def _follow_rate(self, offers: OfferColumns) -> None:
        rate = _log_rate(float(offers.fare_cents[0]), float(offers.pickup_eta_s[0]), float(offers.trip_s[0]))
        before = rate if self._usual_log_rate is None else self._usual_log_rate
        self._usual_log_rate = before + self.params.usual_rate_step * (rate - before)


@kernel
def _log_rate(fare_cents: float, pickup_eta_s: float, trip_s: float) -> float:
    """Logarithm of the fare in minor units per second of work: to the pickup, the trip, and a way back as long."""
    rate: float = np.log(max(fare_cents, 1.0) / max(pickup_eta_s + 2.0 * trip_s, WORK_S_MIN))
    return rate


@kernel
def offer_features(
    columns: tuple[Floats, Floats, Floats, Floats, Floats], usual_log_rate: float, hour_sin: float, hour_cos: float
) -> Floats:
    """Features (e, 8) as in `FEATURES`, from pickup ETA s, refusals, trip s, fare in minor units, own logit: (e,) each.

    With a `usual_log_rate` of NaN every fare is usual. NaN counts as 0.
    """
    pickup_eta_s, refusals, trip_s, fare_cents, own_logit = columns
    x = np.empty((len(pickup_eta_s), 8))
    for e in range(len(pickup_eta_s)):
        x[e, 0] = 1.0
        x[e, 1] = pickup_eta_s[e] / ETA_UNIT_S
        x[e, 2] = refusals[e] / REFUSALS_UNIT
        x[e, 3] = trip_s[e] / TRIP_UNIT_S
        x[e, 4] = _log_rate(fare_cents[e], pickup_eta_s[e], trip_s[e]) - usual_log_rate
        x[e, 5] = own_logit[e]
        x[e, 6] = hour_sin
        x[e, 7] = hour_cos
        for f in range(1, 8):
            x[e, f] = 0.0 if np.isnan(x[e, f]) else min(max(x[e, f], -FEATURE_MAX), FEATURE_MAX)
    return x


@kernel
def probabilities(x: Floats, theta: Floats, knot: Floats, correction: Floats) -> Floats:
    """The logistic of x·theta (e,) and a correction (k,) between knots (k,), ascending; beyond them the last one."""
    share = np.empty(len(x))
    for e in range(len(x)):
        z = 0.0
        for f in range(len(theta)):
            z += x[e, f] * theta[f]
        p = 1.0 / (1.0 + np.exp(-min(max(z, -30.0), 30.0)))
        k = 0
        while k < len(knot) and knot[k] < p:
            k += 1
        if k == 0:
            p += correction[0]
        elif k == len(knot):
            p += correction[k - 1]
        else:
            part = (p - knot[k - 1]) / (knot[k] - knot[k - 1])
            p += correction[k - 1] + part * (correction[k] - correction[k - 1])
        share[e] = min(max(p, SHARE_MIN), 1.0 - SHARE_MIN)
    return share


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))
