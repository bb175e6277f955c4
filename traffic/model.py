"""Learned travel times: their parameters, the weights in force, and what an update stood on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from geo.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class LearnedTrafficParams:
    """How travel times follow the traffic. Durations are city seconds; a *factor* is travel time over free flow."""

    SECTION: ClassVar[str] = "learned_traffic"

    #: Whether this region's travel times are learned at all.
    is_on: bool = True
    #: File in the city's folder with the usual traffic by hour of the week, from `hexhail city learn-traffic`; without
    #: it, free flow is what edges return to.
    profile: str = ""
    #: Time between two updates.
    update_every_s: float = 300.0
    #: Weights that nobody has renewed for so long are dropped: the profile, or free flow, counts again.
    keep_s: float = 1800.0
    #: What nobody has driven since returns half of the way to the profile in this time.
    half_life_s: float = 1800.0
    #: How long a drive waits for others over the same edge: a quiet street has few drivers in one update.
    window_s: float = 900.0
    #: An edge, or a cell, moves only if so many different drivers drove it within the window: their median counts, so
    #: that it takes half of them, and at least two, to make it up.
    drivers_min: int = 3
    #: An update needs so many different drivers in the region.
    region_drivers_min: int = 10
    #: What is expected of an edge weighs as much as this many drivers.
    prior_drivers: float = 2.0
    #: No edge is faster than free flow by more than the one, or slower by more than the other.
    faster_max: float = 2.5
    slower_max: float = 8.0
    #: Evidence that the whole region is on average faster or slower than this is not believed. Midtown Manhattan at
    #: its worst (7.6 km/h where 40 are allowed) is 5.3, the whole of Manhattan below 4.
    region_faster_max: float = 1.8
    region_slower_max: float = 5.0
    #: In one update no edge changes by more than this factor, and the region on average (by length) by no more than
    #: that one.
    edge_change_max: float = 1.5
    region_change_max: float = 1.2
    #: Every so many drivers, one is held back from an update to judge it...
    held_back_one_in: int = 5
    #: ...and their drives may be predicted worse than by the weights in force by this share: that much is chance with
    #: some twenty drivers.
    held_back_slack: float = 0.05

    def __post_init__(self) -> None:
        for name in ("update_every_s", "keep_s", "half_life_s", "window_s", "prior_drivers"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in (
            "faster_max",
            "slower_max",
            "region_faster_max",
            "region_slower_max",
            "edge_change_max",
            "region_change_max",
        ):
            if not 1.0 < getattr(self, name) <= 100.0:
                raise ValueError(f"{name} must be a factor above 1 and at most 100, not {getattr(self, name)}")
        if self.drivers_min < 2 or self.region_drivers_min < self.drivers_min:
            raise ValueError(
                f"drivers_min must be at least 2 and at most region_drivers_min, not {self.drivers_min} "
                f"and {self.region_drivers_min}"
            )
        if self.held_back_one_in < 2 or not 0.0 <= self.held_back_slack < 1.0:
            raise ValueError("held_back_one_in must be at least 2, and held_back_slack a share from 0 to below 1")
        if self.window_s < self.update_every_s:
            raise ValueError(f"window_s must be at least update_every_s, not {self.window_s:g}")
        if self.keep_s < 3.0 * self.update_every_s:
            raise ValueError(
                f"keep_s must be at least three times update_every_s, so that one late update drops no weights, "
                f"not {self.keep_s:g}"
            )


class Refusal(StrEnum):
    """Why an update was refused: the first check that it did not pass, in this order."""

    COVERAGE = "coverage"
    BOUNDS = "bounds"
    REGION_PACE = "region_pace"
    CHANGE = "change"
    HELD_BACK = "held_back"


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Travel times as factors over free flow, as they were put in force.

    Attributes:
        version: grows by one with each update; 0 before the first.
        epoch: the term of the process that made them; a later process has a higher one.
        made_s: city time.
        factor: (m,) of each edge.
    """

    version: int
    epoch: int
    made_s: float
    factor: FloatArray


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an update stood on. Errors are mean absolute errors of the logarithm of a step's duration."""

    drivers: int
    steps: int
    #: Edges that drivers of their own moved.
    edges: int
    #: Factor of the region on average (by length) that the drives alone ask for, before changes are limited.
    pace: float
    held_back_steps: int
    #: None where no steps were held back.
    error_in_force: float | None
    error_candidate: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Weights that are proposed: factors (m,) beside those in force, and the evidence for them."""

    factor: FloatArray
    in_force: FloatArray
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class TrafficFigures:
    """What operators see of a region's learned traffic; times are city seconds."""

    version: int
    epoch: int
    made_s: float | None
    #: Of the last update, whatever became of it; None before the first.
    judged_s: float | None
    refusal: str | None
    evidence: Evidence | None
    #: Updates refused so far, by reason.
    refused: dict[str, int]
