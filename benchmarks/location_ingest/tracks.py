"""Pings of many drivers as arrays, which of them are honest, and which the filter rejects."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.distances import great_circle_m
from location_ingest.model import DriverPing, IngestParams
from location_ingest.rules import Track, judge

#: A ping is honest if a car at this speed can have come from the ping before and gone to the next: the record has
#: errors of its own, and whoever believes them all is no better.
HONEST_MPS = 40.0
HONEST_SLACK_M = 150.0
#: The arrays of `Tracks`.
COLUMNS = ("driver", "t_s", "received_s", "lat_deg", "lng_deg", "speed_mps", "spoofed", "honest")

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The n pings of all drivers, by driver and then by time.

    Attributes:
        driver: (n,) number of the driver. t_s: (n,) when the phone says it was; received_s: (n,) when it was told.
        lat_deg, lng_deg: (n,). speed_mps: (n,) as the phone says, NaN if it does not.
        spoofed, honest: (n,) bool; pings that are neither are errors of the record.
        every_s: what usually lies between two pings.
    """

    driver: npt.NDArray[np.int64]
    t_s: npt.NDArray[np.float64]
    received_s: npt.NDArray[np.float64]
    lat_deg: npt.NDArray[np.float64]
    lng_deg: npt.NDArray[np.float64]
    speed_mps: npt.NDArray[np.float64]
    spoofed: Bools
    honest: Bools
    every_s: float


def rejected_by(tracks: Tracks, params: IngestParams) -> Bools:
    """Return (n,) whether each ping is not believed; the pings of a driver in the order they were told."""
    rejected = np.zeros(len(tracks.t_s), bool)
    columns = (tracks.driver, tracks.t_s, tracks.received_s, tracks.lat_deg, tracks.lng_deg, tracks.speed_mps)
    track: Track | None = None
    last_driver = None
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for at, (driver, t_s, received_s, lat_deg, lng_deg, speed_mps) in enumerate(rows):
        if driver != last_driver:
            track, last_driver = None, driver
        known_mps = None if np.isnan(speed_mps) else speed_mps
        reason, track = judge(DriverPing("d", t_s, lat_deg, lng_deg, None, known_mps), track, received_s, params)
        rejected[at] = reason is not None
    return rejected


def tracks_of(
    driver: npt.NDArray[np.int64],
    t_s: npt.NDArray[np.float64],
    lat_deg: npt.NDArray[np.float64],
    lng_deg: npt.NDArray[np.float64],
    every_s: float,
) -> Tracks:
    """Return pings (n,) of drivers, by driver and then by time, received when they were taken."""
    away_m = great_circle_m(lat_deg[:-1], lng_deg[:-1], lat_deg[1:], lng_deg[1:])
    sound = (driver[:-1] != driver[1:]) | (away_m <= HONEST_SLACK_M + HONEST_MPS * np.diff(t_s))
    honest = np.ones(len(t_s), bool)
    honest[1:] &= sound
    honest[:-1] &= sound
    return Tracks(
        driver.astype(np.int64),
        t_s.copy(),
        t_s.copy(),
        lat_deg.copy(),
        lng_deg.copy(),
        np.full(len(t_s), np.nan),
        np.zeros(len(t_s), bool),
        honest,
        every_s,
    )
