"""Surge: its parameters, the multiplier of a cell, the drivers it is computed from, and orders to freeze it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import numpy.typing as npt

#: Surge is shown and charged in hundredths, so the bounds must be hundredths too.
MULTIPLIER_DECIMALS = 2
#: What a cell costs when nothing is known about it.
BASE_MULTIPLIER = 1.0


@dataclass(frozen=True, slots=True)
class SurgeParams:
    """How the multiplier of a cell follows its demand and supply. All durations are city seconds.

    The elasticities are starting values to be calibrated; the rest bounds what a wrong one can do.
    Raises ValueError at birth, naming the field and what was expected.
    """

    SECTION: ClassVar[str] = "surge"

    #: How strongly riders stay away as the price rises, and drivers come: clearing wants (D/S)^(1/(sum of the two)).
    demand_elasticity: float = 1.0
    supply_elasticity: float = 1.0
    #: A request counts half after this long: long enough that chance hardly shows in the prices of ordinary cells.
    demand_half_life_s: float = 450.0
    #: What a quote counts as demand, beside the request that may follow it: few look twice without wanting a ride.
    quote_weight: float = 0.2
    #: So much demand, decayed, may one idle driver have before the price moves up: with trips of ten minutes, the base
    #: price holds where two drivers are on rides for one who waits. Goes with `demand_half_life_s`.
    requests_per_driver: float = 3.0
    #: Below this many decayed requests there is no evidence, and no price above 1.0.
    minimum_requests: float = 3.0
    #: A driver is supply of other cells by exp(-seconds to drive there / this).
    reach_s: float = 120.0
    #: What a cell's parent says weighs as much as so many drivers of its own.
    prior_drivers: float = 10.0
    #: How much a target is drawn to those of the cells around it: kappa of (I + kappa L)^-1.
    smoothing: float = 0.1
    #: Next door a price is at most so many times as high: about what a short walk saves.
    neighbour_ratio_max: float = 1.25
    #: The multiplier is multiplied or divided by at most 1 + this in a tick.
    surge_step_max: float = 0.1
    #: A price this close to the wanted one, as a share of it, stays: most of what chance does is smaller.
    surge_hysteresis: float = 0.15
    surge_floor: float = 0.9
    surge_cap: float = 3.0
    tick_s: float = 15.0
    #: A price that nobody has renewed fades after half of this, and counts as 1.0 after all of it.
    price_life_s: float = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _require_positive(field.name, getattr(self, field.name))
        if not self.surge_floor < BASE_MULTIPLIER:
            raise ValueError(f"surge_floor must be below 1, not {self.surge_floor}")
        if not self.surge_cap > BASE_MULTIPLIER:
            raise ValueError(f"surge_cap must be above 1, not {self.surge_cap}")
        for name in ("surge_floor", "surge_cap"):
            value = getattr(self, name)
            if round(value, MULTIPLIER_DECIMALS) != value:
                raise ValueError(f"{name} must be a whole number of hundredths, not {value}")
        if not self.neighbour_ratio_max > 1:
            raise ValueError(f"neighbour_ratio_max must be above 1, not {self.neighbour_ratio_max}")
        if self.price_life_s < 4 * self.tick_s:
            raise ValueError(
                f"price_life_s must be at least four ticks ({4 * self.tick_s:g} s), so that one late tick fades no "
                f"price, not {self.price_life_s:g}"
            )


@dataclass(frozen=True, slots=True)
class FreezeOrder:
    """An operator's word that all prices of a region be held at the base, or let go again, and why."""

    at_s: float
    is_frozen: bool
    reason: str
    operator: str


@dataclass(frozen=True, slots=True)
class SurgePrice:
    """The multiplier of a cell as it counts at the moment of reading."""

    cell: int
    multiplier: float
    #: City time of the tick that set or renewed it; None if no tick ever has.
    updated_s: float | None


@dataclass(frozen=True, slots=True)
class RecordedPrice:
    """The multiplier that a cell has by the record, and the city time of the change that set it."""

    multiplier: float
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class SupplySnapshot:
    """The drivers of a region at one moment."""

    #: Idle drivers per cell (c,), in the order of the region's surge cells; each counts by `rules.driver_weights`.
    idle_per_cell: npt.NDArray[np.float64]
    #: All drivers with a fresh position, busy ones too; 0 means that positions do not arrive.
    fresh_drivers: int


def _require_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, not {value}")
