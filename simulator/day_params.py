"""How a day is run: everything about it that is not its city, its people or its policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dispatch.model import DispatchParams
from simulator.people.gps import GpsParams


class Acceptance(StrEnum):
    """How people answer: by the model's dice, or always yes and with the patience of the service itself."""

    MODEL = "model"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class DayParams:
    """How a day is run. All durations are city seconds."""

    seed: int = 1
    #: A rider without a driver after this long is sent away; one who always says yes waits no longer for a driver.
    max_wait_s: float = 600.0
    boarding_s: float = 0.0
    #: After the last request the service stays open for so long; then only trips that have begun are finished.
    drain_s: float = 1800.0
    batch_window_s: float = DispatchParams().batch_window_s
    chain_within_s: float = DispatchParams().chain_within_s
    acceptance: Acceptance = Acceptance.MODEL
    is_surge_on: bool = True
    #: Errors of the phones' positions, see `simulator.people.gps.GpsParams`; without them the service knows the truth.
    gps_noise_m: float = 0.0
    gps_gap_share: float = 0.0
    #: Whether the fleet and the hour slow the city down; its file's section `[traffic]` says how.
    is_congestion_on: bool = False
    #: Of the dispatch engine, by name, where they are not its defaults.
    dispatch_changes: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("boarding_s", "drain_s"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of seconds from 0, not {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, but is {self.seed}")
        self.dispatch()
        self.gps()

    def gps(self) -> GpsParams:
        """How receivers err. Raises ValueError."""
        return GpsParams(noise_m=self.gps_noise_m, gap_share=self.gps_gap_share)

    def dispatch(self) -> DispatchParams:
        """The parameters of the dispatch engine. Raises ValueError."""
        changes = {
            "max_wait_s": self.max_wait_s,
            "batch_window_s": self.batch_window_s,
            "chain_within_s": self.chain_within_s,
            **self.dispatch_changes,
        }
        return DispatchParams.from_section(changes)
