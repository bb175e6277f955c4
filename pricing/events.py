"""What the pricing engine says has happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SurgeChanged:
    """The multiplier of a cell moved, and what it was decided on."""

    cell: int
    multiplier: float
    multiplier_before: float
    #: Decayed requests in the cell.
    requests: float
    idle_drivers: float
    at_s: float


Event = SurgeChanged
