"""How a day is run: everything about it that is not its city, its people or its policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dispatch.model import DispatchParams
from kernel.params import read_params
from simulator.service.gps import GpsParams


class Acceptance(StrEnum):
    """How people answer: by the model's dice, or always yes and with the patience of the service itself."""

    MODEL = "model"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class DayParams:
    """How a day is run. All durations are city seconds."""

    seed: int = 1
    boarding_s: float = 0.0
    #: After the last request the service stays open for so long; then only trips that have begun are finished.
    drain_s: float = 1800.0
    #: In place of those of the city's file, section `[dispatch]`, which holds where these are None.
    max_wait_s: float | None = None
    batch_window_s: float | None = None
    chain_within_s: float | None = None
    acceptance: Acceptance = Acceptance.MODEL
    is_surge_on: bool = True
    #: Errors of the phones' positions, see `simulator.service.gps.GpsParams`; without them the service knows the truth.
    gps_noise_m: float = 0.0
    gps_gap_share: float = 0.0
    #: Whether the fleet and the hour slow the city down; its file's section `[traffic]` says how.
    is_congestion_on: bool = False
    #: Further parameters in place of the file's, by the keys of `[dispatch]`; `score` holds `[dispatch.score]`.
    dispatch_changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("boarding_s", "drain_s"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of seconds from 0, not {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, but is {self.seed}")
        self.dispatch({})
        self.gps()

    def gps(self) -> GpsParams:
        """How receivers err. Raises ValueError."""
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
