"""What the pricing engine can be asked to do.

Those about a ride carry its sequence: one that is not newer than the ride's last is a repetition and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A rider asked for a ride in this cell: demand."""

    ride_id: str
    sequence: int
    cell_index: int
    at_s: float


@dataclass(frozen=True, slots=True)
class MarkDriverBusy:
    """A driver took a ride: no supply until the ride lets go."""

    ride_id: str
    sequence: int
    driver_id: str
    at_s: float


@dataclass(frozen=True, slots=True)
class MarkDriverFree:
    """The ride ended, or was given back: its driver is supply again."""

    ride_id: str
    sequence: int
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class AdoptPrices:
    """Go on from the multipliers (c,) that riders see now, as a new process must."""

    multiplier: npt.ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """Set the prices from the demand counted so far and the idle drivers (c,) per cell."""

    idle_per_cell: npt.ArrayLike


RideCommand = CountRequest | MarkDriverBusy | MarkDriverFree
Command = RideCommand | AdoptPrices | Tick
