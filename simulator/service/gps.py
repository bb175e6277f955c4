"""GPS error model: correlated position errors, occasional outliers, and gaps without a fix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geo.arrays import BoolArray, FloatArray

#: Seed-sequence key that separates these draws from those of people, demand and experiments.
_GPS = 7
#: The radius that holds 68 % of the errors, which phones give as their accuracy, over their deviation along one axis.
ACCURACY_PER_DEVIATION = math.sqrt(-2.0 * math.log(0.32))


@dataclass(frozen=True, slots=True)
class GpsParams:
    """Parameters of the GPS error model. Off by default; durations are in city seconds."""

    #: Standard deviation along each axis: some metres under an open sky, tens of metres between high buildings
    #: (Jiménez-Martínez et al. 2021, doi:10.3390/rs13061149).
    noise_m: float = 0.0
    #: An error fades with this time constant, as an Ornstein-Uhlenbeck process, which fits records of receivers at rest
    #: better than white noise (doi:10.3390/s20216050). A model's number: how long errors last depends on the street.
    noise_s: float = 60.0
    #: Share of outliers and their deviation along each axis: as many as the shipped filter rejects of the real pings
    #: of the San Francisco record (decision 032). Only if `noise_m` is positive.
    spike_share: float = 0.0008
    spike_m: float = 2_000.0
    #: Share of the time without a fix, and the mean length of a gap: tunnels, garages, busy phones.
    gap_share: float = 0.0
    gap_s_mean: float = 60.0
    #: Time between two pings, as in the demo.
    ping_s: float = 4.0

    def __post_init__(self) -> None:
        for name in ("noise_m", "spike_m"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of metres from 0, not {getattr(self, name)}")
        for name in ("noise_s", "gap_s_mean", "ping_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number of seconds, not {getattr(self, name)}")
        for name in ("spike_share", "gap_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be a share from 0 to below 1, not {getattr(self, name)}")

    @property
    def is_on(self) -> bool:
        """Whether positions differ from the truth at all."""
        return self.noise_m > 0.0 or self.gap_share > 0.0


class Fixes(NamedTuple):
    """The measurements of receivers (n,) at one time: errors in metres, and whether there is a fix."""

    east_m: FloatArray
    north_m: FloatArray
    has_fix: BoolArray


class Receivers:
    """Draws the errors of n receivers ping by ping, always for all, so that one receiver never affects another."""

    def __init__(self, params: GpsParams, count: int, seed: int) -> None:
        self._params = params
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _GPS))))
        self._error_m = params.noise_m * self._generator.standard_normal((2, count))
        self._has_fix: BoolArray = self._generator.random(count) >= params.gap_share
        # Both processes are stationary from the first ping on.
        self._kept = math.exp(-params.ping_s / params.noise_s)
        self._ends = -math.expm1(-params.ping_s / params.gap_s_mean)
        self._begins = self._ends * params.gap_share / (1.0 - params.gap_share)

    def next(self) -> Fixes:
        """The fixes of the next ping, `ping_s` after the last."""
        params, generator, count = self._params, self._generator, self._has_fix.shape[0]
        drawn = generator.standard_normal((2, count))
        self._error_m = self._kept * self._error_m + params.noise_m * math.sqrt(1.0 - self._kept**2) * drawn
        changes = generator.random(count)
        self._has_fix = np.where(self._has_fix, changes >= self._begins, changes < self._ends)
        is_spike = (generator.random(count) < params.spike_share) & (params.noise_m > 0.0)
        spike_m = params.spike_m * generator.standard_normal((2, count))
        east_m, north_m = np.where(is_spike, spike_m, self._error_m)
        return Fixes(east_m, north_m, self._has_fix)
