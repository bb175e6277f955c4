"""Errors of predicted trip durations on drives that were kept out of learning."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray
from geo.learning.map_matching import Drives

# A drive is judged in stretches of about a taxi trip; what is shorter than the least is mostly error of the receiver.
TRIP_S = 600.0
TRIP_S_MIN = 120.0


@dataclass(frozen=True)
class TripErrors:
    """How far predicted durations were off, as shares of the actual ones; NaN without trips."""

    trips: int
    median: float
    mean: float

    @classmethod
    def of(cls, predicted_s: FloatArray, actual_s: FloatArray) -> "TripErrors":
        """Compare predictions with what happened, (n,) seconds each."""
        if actual_s.shape[0] == 0:
            return cls(0, float("nan"), float("nan"))
        share = np.abs(predicted_s - actual_s) / actual_s
        return cls(actual_s.shape[0], float(np.median(share)), float(share.mean()))


def trips_of(drives: Drives, vehicle: npt.ArrayLike) -> IntArray:
    """Return the trip (s,) of every step, numbered from 0; -1 for steps of trips that are too short.

    ``vehicle (s,)`` is whose each step is. A trip is an unbroken sequence of steps of one vehicle, of about ``TRIP_S``.
    """
    count = drives.started_s.shape[0]
    if count == 0:
        return np.empty(0, np.int64)
    driver = np.asarray(vehicle)
    end_s = drives.started_s + drives.elapsed_s
    breaks = np.ones(count, np.bool_)
    breaks[1:] = (driver[1:] != driver[:-1]) | (np.abs(drives.started_s[1:] - end_s[:-1]) > 1e-3)
    drive = np.cumsum(breaks) - 1
    since_s = drives.started_s - drives.started_s[breaks][drive]
    stretch = (since_s // TRIP_S).astype(np.int64)
    _, trip = np.unique(np.column_stack([drive, stretch]), axis=0, return_inverse=True)
    trip = trip.reshape(-1)
    is_long = np.bincount(trip, drives.elapsed_s) >= TRIP_S_MIN
    number = np.where(is_long, np.cumsum(is_long) - 1, -1)
    return number[trip]


def trip_durations_s(drives: Drives, trip: IntArray, factor_of_part: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (predicted, actual), seconds (n,) of each trip.

    ``factor_of_part (q,)`` is by how many times each part of a step takes longer than in free flow.
    """
    count = int(trip.max(initial=-1)) + 1
    in_trip, part_trip = trip >= 0, trip[drives.step]
    of_part = part_trip >= 0
    actual_s = np.bincount(trip[in_trip], drives.elapsed_s[in_trip], count)
    predicted_s = np.bincount(part_trip[of_part], (drives.free_flow_s * factor_of_part)[of_part], count)
    return np.asarray(predicted_s, np.float64), np.asarray(actual_s, np.float64)
