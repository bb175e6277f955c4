"""How long a trip will take, with an honest spread: the time over the road network, corrected by trips like it.

The network knows where the roads are and how fast they flow; past trips between the same parts of the town know
what it does not: minutes at the kerb, turns, signals, short cuts. The correction works on the logarithm of the
duration: by the hour of the week; then by pairs of ever finer cells, each shrunk toward the coarser; then by pairs and
part of the day.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import CellArray, FloatArray, IntArray, coordinates, float_vector, positions
from geo.cells import latlng_to_cells
from geo.distances import great_circle_m
from geo.learning.shrinkage import Chain, Keys, joint_key
from geo.learning.traffic import FIRST_WEEKEND_HOUR
from kernel.local_time import HOURS_PER_WEEK

# Seconds that every trip takes beside driving, on the logarithmic scale that the corrections work on.
OVERHEAD_S = 120.0
# Both ends may snap to one node: no trip is expected to be faster than the straight line at this speed.
STRAIGHT_MPS = 15.0
# A trip that took a third more or less than expected counts no further: it waited, or the meter was left on.
RESIDUAL_MAX = 0.3
# Trips that a pair or an hour must have seen before half of what it saw is believed.
PRIOR_TRIPS_HOUR, PRIOR_TRIPS_PAIR = 20.0, 10.0
PAIR_RESOLUTIONS = (6, 7, 8, 9)
TIMED_PAIR_RESOLUTION = 7
HOURS_PER_PART = 4
# The spread is learned by length of trip; the bounds in seconds are about equally full in San Francisco.
SPREAD_BOUNDS_S = (240.0, 360.0, 480.0, 660.0, 900.0, 1_300.0)
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Trips:
    """Trips to be predicted or learned from; checked at birth.

    Attributes:
        origin_deg, destination_deg: (n, 2) lat, lng.
        hour_of_week: (n,) local hour of the start, 0 is Monday 00:00.
        network_s: (n,) seconds over the road network in that hour.
    """

    origin_deg: FloatArray
    destination_deg: FloatArray
    hour_of_week: IntArray
    network_s: FloatArray

    def __post_init__(self) -> None:
        positions("hour_of_week", self.hour_of_week, HOURS_PER_WEEK)
        float_vector("network_s", self.network_s)
        for name in ("origin_deg", "destination_deg"):
            place = getattr(self, name)
            if place.shape != (self.network_s.shape[0], 2):
                raise ValueError(f"{name} must have shape ({self.network_s.shape[0]}, 2), not {place.shape}")
            coordinates(place[:, 0], place[:, 1])

    def where(self, rows: npt.NDArray[np.generic]) -> "Trips":
        """Return the trips of some rows."""
        return Trips(self.origin_deg[rows], self.destination_deg[rows], self.hour_of_week[rows], self.network_s[rows])


@dataclass(frozen=True)
class Prediction:
    """Durations of trips: as many last longer than the median as not; four in five are between low and high.

    Attributes:
        median_s, low_s, high_s: (n,) seconds.
    """

    median_s: FloatArray
    low_s: FloatArray
    high_s: FloatArray


class TripDurations:
    """Learns durations trip by trip or years at once, and predicts."""

    def __init__(self) -> None:
        self._level = 0.0
        priors = ([PRIOR_TRIPS_HOUR], [PRIOR_TRIPS_PAIR] * len(PAIR_RESOLUTIONS), [PRIOR_TRIPS_PAIR])
        self._chains = [Chain(prior, neutral=0.0, reach=RESIDUAL_MAX) for prior in priors]
        self._spread = np.zeros((len(SPREAD_BOUNDS_S) + 1, len(QUANTILES)))

    def learn(self, trips: Trips, duration_s: npt.ArrayLike, kept_share: float = 1.0) -> None:
        """Take in trips and how long they took; what was known before counts for ``kept_share``.

        The first call also sets the general level. Raises ValueError for a duration that is not positive.
        """
        log_duration = _log_duration(duration_s)
        expected = _log_network(trips)
        if self._level == 0.0:
            self._level = float(np.median(log_duration - expected))
        expected += self._level
        for chain, keys in zip(self._chains, _keys(trips), strict=True):
            expected += chain.learn(keys, log_duration - expected, np.ones(expected.shape[0]), kept_share)

    def calibrate(self, trips: Trips, duration_s: npt.ArrayLike) -> None:
        """Learn the spread from trips that have *not* been learned from, or it would look too good."""
        expected = self._expected(trips)
        residual, row = _log_duration(duration_s) - expected, np.digitize(np.exp(expected), SPREAD_BOUNDS_S)
        for length in range(self._spread.shape[0]):
            own = residual[row == length]
            self._spread[length] = np.quantile(own if own.size else residual, QUANTILES)

    def predict(self, trips: Trips) -> Prediction:
        """Return the durations to expect; before ``calibrate``, low, median and high are equal."""
        expected = self._expected(trips)
        spread = self._spread[np.digitize(np.exp(expected), SPREAD_BOUNDS_S)]
        low_s, median_s, high_s = np.exp(expected[:, None] + spread).T
        return Prediction(median_s, low_s, high_s)

    def _expected(self, trips: Trips) -> FloatArray:
        expected = _log_network(trips) + self._level
        for chain, keys in zip(self._chains, _keys(trips), strict=True):
            expected += chain.estimate(keys)
        return expected


def _log_duration(duration_s: npt.ArrayLike) -> FloatArray:
    durations = float_vector("duration_s", duration_s)
    if not (durations > 0.0).all():
        raise ValueError("duration_s must be positive")
    logarithm: FloatArray = np.log(durations)
    return logarithm


def _log_network(trips: Trips) -> FloatArray:
    straight_s = great_circle_m(*trips.origin_deg.T, *trips.destination_deg.T) / STRAIGHT_MPS
    logarithm: FloatArray = np.log(np.maximum(trips.network_s, straight_s) + OVERHEAD_S)
    return logarithm


def _keys(trips: Trips) -> tuple[list[Keys], list[Keys], list[Keys]]:
    """Return the keys of every level of every chain: the hour; pairs of cells; pairs by part of the day."""
    pairs: dict[int, tuple[CellArray, CellArray]] = {}
    for resolution in PAIR_RESOLUTIONS:
        origin = latlng_to_cells(trips.origin_deg[:, 0], trips.origin_deg[:, 1], resolution)
        destination = latlng_to_cells(trips.destination_deg[:, 0], trips.destination_deg[:, 1], resolution)
        pairs[resolution] = (origin, destination)
    part = trips.hour_of_week % 24 // HOURS_PER_PART + 24 * (trips.hour_of_week >= FIRST_WEEKEND_HOUR)
    return (
        [joint_key(trips.hour_of_week)],
        [joint_key(*pairs[resolution]) for resolution in PAIR_RESOLUTIONS],
        [joint_key(*pairs[TIMED_PAIR_RESOLUTION], part)],
    )
