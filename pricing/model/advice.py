"""Advice to idle drivers: its parameters, and what one driver is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from geo.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class RepositioningParams:
    """How advice is made. Durations are city seconds."""

    SECTION: ClassVar[str] = "advice"

    #: Whether drivers are advised at all.
    is_on: bool = True
    #: Time between two plans.
    every_s: float = 300.0
    #: How long a driver counts as on the way to, or waiting at, the advised place.
    valid_s: float = 900.0
    #: File in the city's folder with the usual demand of a day, from `hexhail city learn-demand`; without it the
    #: demand of the last minutes is expected to go on.
    demand_profile: str = ""
    #: Drivers wanted in each zone where anybody is expected, before the rest is spread.
    floor: int = 1
    #: Drivers beyond the floor are spread by demand to this power: less than in proportion, as drivers in a busy zone
    #: are near more riders (Besbes, Castro and Lobel 2022, doi:10.1287/opre.2021.2112).
    demand_power: float = 0.67
    #: Nobody is asked to drive for longer.
    reach_s: float = 600.0
    #: What a missing driver costs, in driving seconds; more than `reach_s`, so that reach alone decides.
    missing_s: float = 3600.0
    #: Scale of the noise in a driver's choice, in driving seconds.
    indifference_s: float = 60.0
    #: What a zone loses, in driving seconds, that already holds as many drivers as it wants.
    crowding_s: float = 600.0

    def __post_init__(self) -> None:
        for name in ("every_s", "valid_s", "demand_power", "reach_s", "missing_s", "indifference_s", "crowding_s"):
            if not 0.0 < getattr(self, name) < 1e6:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.floor < 0:
            raise ValueError(f"floor must not be negative, but is {self.floor}")


@dataclass(frozen=True, slots=True)
class DriverAdvice:
    """Where an idle driver had better wait, and until when that holds."""

    lat_deg: float
    lng_deg: float
    #: Free-flow driving time from the middle of the driver's zone.
    drive_s: float
    given_s: float
    expires_s: float


@dataclass(frozen=True, slots=True, eq=False)
class IdleDrivers:
    """The idle drivers by the rule of `kernel.supply`, sorted by id; arrays have shape (n,)."""

    driver_id: tuple[str, ...]
    lat_deg: FloatArray
    lng_deg: FloatArray

    def __post_init__(self) -> None:
        if not len(self.driver_id) == np.size(self.lat_deg) == np.size(self.lng_deg):
            raise ValueError("driver_id, lat_deg and lng_deg must have one value for each driver")
