"""The pricing engine of one region: demand and busy drivers remembered, prices set at each tick."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from pricing.commands import AdoptPrices, Command, CountRequest, MarkDriverBusy, MarkDriverFree, RideCommand, Tick
from pricing.events import Event, SurgeChanged
from pricing.model import SurgeParams
from pricing.rules import surge

# Redelivery reaches back minutes; 100,000 rides are hours of the busiest city, in about 20 MB.
RIDES_REMEMBERED_MAX = 100_000
# More drivers on rides at once than any one region has.
BUSY_RIDES_MAX = 100_000
# No trip in a city takes so long: the end of such a ride was missed, and its driver must not be lost for ever.
BUSY_S_MAX = 4 * 3600.0


class PricingEngine:
    """Decides the surge multiplier of each cell. Waits for nothing; the caller brings the time.

    A command about a ride is a repetition if its sequence is not greater than the last one seen for that ride.
    """

    def __init__(self, cells: npt.NDArray[np.uint64], params: SurgeParams) -> None:
        """``cells`` (c,) are the H3 ids that dense cell indices stand for."""
        self._cells = cells
        self._params = params
        self._requests = np.zeros(len(cells))
        #: The moment that the counts in `_requests` are decayed to.
        self._requests_at_s = -np.inf
        self._log_multiplier = np.zeros(len(cells))
        self._last_sequence: OrderedDict[str, int] = OrderedDict()
        #: ride -> (driver, since when), oldest first.
        self._busy: OrderedDict[str, tuple[str, float]] = OrderedDict()

    @property
    def multiplier(self) -> npt.NDArray[np.float64]:
        """The multipliers (c,) as of the last tick."""
        return surge.multipliers(self._log_multiplier, self._params)

    @property
    def busy_drivers(self) -> frozenset[str]:
        """Who is on a live ride, as far as the events say."""
        return frozenset(driver_id for driver_id, _ in self._busy.values())

    def handle(self, command: Command, now_s: float) -> list[Event]:
        """Take one command in at city time ``now_s`` and return what it changed for riders.

        Raises ValueError for an array that is not one number per cell, or a cell index that does not exist.
        """
        match command:
            case Tick():
                return self._tick(self._per_cell("idle_per_cell", command.idle_per_cell), now_s)
            case AdoptPrices():
                adopted = self._per_cell("multiplier", command.multiplier)
                bounded = np.clip(adopted, self._params.surge_floor, self._params.surge_cap)
                self._log_multiplier = np.log(bounded)
            case CountRequest(cell_index=index) if not 0 <= index < len(self._cells):
                raise ValueError(f"cell_index must be 0 to {len(self._cells) - 1}, not {index}")
            case CountRequest() | MarkDriverBusy() | MarkDriverFree():
                if self._is_news(command):
                    self._note(command, now_s)
        return []

    def _is_news(self, command: RideCommand) -> bool:
        last = self._last_sequence.get(command.ride_id)
        if last is not None and command.sequence <= last:
            return False
        self._last_sequence[command.ride_id] = command.sequence
        self._last_sequence.move_to_end(command.ride_id)
        if len(self._last_sequence) > RIDES_REMEMBERED_MAX:
            self._last_sequence.popitem(last=False)
        return True

    def _note(self, command: RideCommand, now_s: float) -> None:
        match command:
            case CountRequest():
                self._count(command.cell_index, command.at_s, now_s)
            case MarkDriverBusy():
                self._busy[command.ride_id] = (command.driver_id, min(command.at_s, now_s))
                self._busy.move_to_end(command.ride_id)
                if len(self._busy) > BUSY_RIDES_MAX:
                    self._busy.popitem(last=False)
            case MarkDriverFree():
                self._busy.pop(command.ride_id, None)

    def _count(self, cell_index: int, at_s: float, now_s: float) -> None:
        """Add a request with its age; one from the future counts as one of now."""
        self._decay_to(now_s)
        age_s = self._requests_at_s - at_s
        self._requests[cell_index] += surge.decay_factor(age_s, self._params.demand_half_life_s)

    def _decay_to(self, now_s: float) -> None:
        """Bring the counts to ``now_s``; a clock that steps back leaves them."""
        if now_s > self._requests_at_s:
            self._requests *= surge.decay_factor(now_s - self._requests_at_s, self._params.demand_half_life_s)
            self._requests_at_s = now_s

    def _tick(self, idle_per_cell: npt.NDArray[np.float64], now_s: float) -> list[Event]:
        self._decay_to(now_s)
        self._forget_endless_rides(now_s)
        target = surge.target_log_multiplier(self._requests, idle_per_cell, self._params)
        before = self.multiplier
        self._log_multiplier = surge.next_log_multiplier(self._log_multiplier, target, self._params)
        after = self.multiplier
        return [
            SurgeChanged(
                cell=int(self._cells[index]),
                multiplier=float(after[index]),
                multiplier_before=float(before[index]),
                requests=float(self._requests[index]),
                idle_drivers=float(idle_per_cell[index]),
                at_s=now_s,
            )
            for index in np.flatnonzero(after != before)
        ]

    def _forget_endless_rides(self, now_s: float) -> None:
        endless = [ride_id for ride_id, (_, since_s) in self._busy.items() if now_s - since_s > BUSY_S_MAX]
        for ride_id in endless:
            del self._busy[ride_id]

    def _per_cell(self, name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        array = np.asarray(values, dtype=np.float64)
        if array.shape != self._cells.shape or not (array >= 0).all():
            raise ValueError(f"{name} must be {len(self._cells)} numbers that are not negative, one per cell")
        return array
