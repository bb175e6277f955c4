"""Commands to the pricing engine. It gets each once: repeated messages are dropped before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A rider asked for a ride in this cell: demand, and evidence of it."""

    cell_index: int
    at_s: float


@dataclass(frozen=True, slots=True)
class CountQuote:
    """A rider asked what a ride from this cell costs: demand before the order."""

    cell_index: int
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Restore:
    """Forget what was counted and go on from this: decayed counts (c,) as of ``at_s``."""

    requests: npt.ArrayLike
    quotes: npt.ArrayLike
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class AdoptPrices:
    """Go on from the multipliers (c,) that riders see now, as a new process must.

    ``recorded`` (c,) are those that were told last; where they differ, the next tick tells the change from them.
    """

    multiplier: npt.ArrayLike
    recorded: npt.ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class FreezePrices:
    """Set every price to 1.0 at once and keep it there, on an operator's order."""


@dataclass(frozen=True, slots=True)
class UnfreezePrices:
    """Let prices move again, by steps, from 1.0."""


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """Set the prices from the demand counted so far and the idle drivers (c,) per cell."""

    idle_per_cell: npt.ArrayLike


Signal = CountRequest | CountQuote
Command = Signal | Restore | AdoptPrices | FreezePrices | UnfreezePrices | Tick
