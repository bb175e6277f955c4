"""The pricing engine of one region: it counts demand and sets the prices at each tick."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pricing.commands import (
    AdoptPrices,
    Command,
    CountQuote,
    CountRequest,
    FreezePrices,
    Restore,
    Tick,
    UnfreezePrices,
)
from pricing.events import Event, SurgeChanged
from pricing.model.surge import SurgeParams
from pricing.rules import surge
from pricing.rules.grid import SurgeGrid

FloatArray = npt.NDArray[np.float64]


class PricingEngine:
    """Decides the surge multiplier of each cell. Waits for nothing; the caller brings the time."""

    def __init__(self, grid: SurgeGrid, params: SurgeParams) -> None:
        self._grid = grid
        self._params = params
        self._version = surge.version_of(params)
        self._requests = np.zeros(len(grid))
        self._quotes = np.zeros(len(grid))
        #: The moment that the counts are decayed to.
        self._counted_to_s = -np.inf
        self._log_multiplier = np.zeros(len(grid))
        #: The exponentials, but for adopted prices that have not moved: these are kept to the last bit.
        self._multiplier = np.ones(len(grid))
        #: The multipliers as of the last event: the next one begins with them.
        self._told = self._multiplier
        self._is_faded = np.zeros(len(grid), np.bool_)
        self._is_frozen = False

    @property
    def multiplier(self) -> FloatArray:
        """The multipliers (c,) as of the last tick."""
        return self._multiplier

    @property
    def is_frozen(self) -> bool:
        """Whether an operator holds every price at 1.0."""
        return self._is_frozen

    def handle(self, command: Command, now_s: float) -> list[Event]:
        """Take one command in at city time ``now_s`` and return what it changed for riders.

        Raises ValueError for an array that is not one number per cell, or a cell index that does not exist.
        """
        match command:
            case Tick():
                return self._tick(self._per_cell("idle_per_cell", command.idle_per_cell), now_s)
            case FreezePrices():
                return self._freeze(now_s)
            case UnfreezePrices():
                self._is_frozen = False
            case AdoptPrices():
                self._adopt(command)
            case Restore():
                self._restore(command)
            case CountRequest():
                self._count(self._requests, command, now_s)
            case CountQuote():
                self._count(self._quotes, command, now_s)
        return []

    def _adopt(self, command: AdoptPrices) -> None:
        adopted = self._per_cell("multiplier", command.multiplier)
        bounded = np.clip(adopted, self._params.surge_floor, self._params.surge_cap)
        self._log_multiplier = surge.adopted_log_multiplier(self._grid, adopted, self._params)
        is_kept = self._log_multiplier == np.log(bounded)
        self._multiplier = np.where(is_kept, bounded, surge.multipliers(self._log_multiplier, self._params))
        recorded = self._multiplier if command.recorded is None else command.recorded
        self._told = self._per_cell("recorded", recorded)
        self._is_faded = self._told != self._multiplier

    def _restore(self, command: Restore) -> None:
        self._requests = self._per_cell("requests", command.requests).copy()
        self._quotes = self._per_cell("quotes", command.quotes).copy()
        self._counted_to_s = command.at_s

    def _count(self, counts: FloatArray, command: CountRequest | CountQuote, now_s: float) -> None:
        """Add one with its age; one from the future counts as one of now."""
        if not 0 <= command.cell_index < len(self._grid):
            raise ValueError(f"cell_index must be 0 to {len(self._grid) - 1}, not {command.cell_index}")
        self._decay_to(now_s)
        age_s = self._counted_to_s - command.at_s
        counts[command.cell_index] += surge.decay_factor(age_s, self._params.demand_half_life_s)

    def _decay_to(self, now_s: float) -> None:
        """Bring the counts to ``now_s``; a clock that steps back leaves them."""
        if now_s > self._counted_to_s:
            kept = surge.decay_factor(now_s - self._counted_to_s, self._params.demand_half_life_s)
            self._requests *= kept
            self._quotes *= kept
            self._counted_to_s = now_s

    def _tick(self, idle_per_cell: FloatArray, now_s: float) -> list[Event]:
        self._decay_to(now_s)
        if self._is_frozen:
            return []
        signals = surge.Signals(self._requests, self._quotes, self._grid.reach.supply(idle_per_cell))
        move = surge.next_log_multiplier(self._grid, self._log_multiplier, signals, self._params)
        self._move_to(move.log_multiplier)
        return self._changed(idle_per_cell, signals, move, now_s)

    def _move_to(self, log_multiplier: FloatArray) -> None:
        has_moved = log_multiplier != self._log_multiplier
        self._multiplier = np.where(has_moved, surge.multipliers(log_multiplier, self._params), self._multiplier)
        self._log_multiplier = log_multiplier

    def _freeze(self, now_s: float) -> list[Event]:
        """At once, not by steps: that is what an emergency brake is for."""
        self._is_frozen = True
        base = np.zeros(len(self._grid))
        self._move_to(base)
        signals = surge.Signals(self._requests, self._quotes, base)
        return self._changed(base, signals, surge.Move(base, base, base, base.astype(np.uint8)), now_s)

    def _changed(
        self, idle_per_cell: FloatArray, signals: surge.Signals, move: surge.Move, now_s: float
    ) -> list[Event]:
        before, after = self._told, self._multiplier
        bounds = move.bounds | np.where(self._is_faded, surge.Bound.FADED, 0).astype(np.uint8)
        self._told, self._is_faded = after, np.zeros(len(self._grid), np.bool_)
        at = np.flatnonzero(after != before)
        if not at.size:
            return []
        return [
            SurgeChanged(
                at_s=now_s,
                version=self._version,
                is_frozen=self._is_frozen,
                cell=self._grid.cell[at],
                multiplier=after[at],
                multiplier_before=before[at],
                requests=signals.requests[at],
                quotes=signals.quotes[at],
                idle_drivers=idle_per_cell[at],
                supply=signals.supply[at],
                target=np.exp(move.target[at]),
                wanted=np.exp(move.wanted[at]),
                bounds=bounds[at],
            )
        ]

    def _per_cell(self, name: str, values: npt.ArrayLike) -> FloatArray:
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (len(self._grid),) or not (array >= 0).all():
            raise ValueError(f"{name} must be {len(self._grid)} numbers that are not negative, one per cell")
        return array
