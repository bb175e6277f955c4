"""Parameters of a simulated day, apart from its city, its people and its policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dispatch.model import DispatchParams
from kernel.section_reader import read_params
from simulator.service.gps import GpsParams


class Acceptance(StrEnum):
    """How people answer: drawn from the behaviour model, or always yes until the service's own time limit."""

    MODEL = "model"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class DayParams:
    """Parameters of a simulated day. All durations are in city seconds."""

    seed: int = 1
    boarding_s: float = 0.0
    #: The service stays open this long after the last request; then only trips under way are finished.
    drain_s: float = 1800.0
    #: Override section `[dispatch]` of the city's file; None keeps its value.
    max_wait_s: float | None = None
    batch_window_s: float | None = None
    chain_within_s: float | None = None
    acceptance: Acceptance = Acceptance.MODEL
    is_surge_on: bool = True
    #: GPS errors, see `simulator.service.gps.GpsParams`; if both are 0, the service sees true positions.
    gps_noise_m: float = 0.0
    gps_gap_share: float = 0.0
    #: Share of the drivers whose phones die for good, each at a random time before the last request.
    dead_phone_share: float = 0.0
    #: Whether the fleet and the time of day slow traffic; configured by section `[traffic]` of the city's file.
    is_congestion_on: bool = False
    #: Further overrides, by the keys of `[dispatch]`; `score` overrides `[dispatch.score]`.
    dispatch_changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("boarding_s", "drain_s"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of seconds from 0, not {getattr(self, name)}")
        if not 0.0 <= self.dead_phone_share <= 1.0:
            raise ValueError(f"dead_phone_share must be from 0 to 1, not {self.dead_phone_share}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, but is {self.seed}")
        self.dispatch({})
        self.gps()

    def gps(self) -> GpsParams:
        """Parameters of the GPS error model. Raises ValueError."""
        return GpsParams(noise_m=self.gps_noise_m, gap_share=self.gps_gap_share)

    def dispatch(self, sections: Mapping[str, Any]) -> DispatchParams:
        """The parameters of the dispatch engine: the city's, with the changes of this day. Raises ParamsRefused."""
        given = {name: getattr(self, name) for name in ("max_wait_s", "batch_window_s", "chain_within_s")}
        changes = {name: value for name, value in given.items() if value is not None} | dict(self.dispatch_changes)
        # The file by itself first: its errors name a line.
        city = read_params(sections, DispatchParams)
        if not changes:
            return city
        own = sections.get(DispatchParams.SECTION, {})
        score = {**own.get("score", {}), **changes.get("score", {})}
        return read_params({DispatchParams.SECTION: {**own, **changes, "score": score}}, DispatchParams)
