"""The pricer of one region: ride events in, supply read at each tick, multipliers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import structlog

from geo.city import Region
from pricing import wire
from pricing.commands import AdoptPrices, Tick
from pricing.engine import PricingEngine
from pricing.events import Event
from pricing.metrics import PricingMetrics
from pricing.model import BASE_MULTIPLIER, SupplySnapshot, SurgeParams
from pricing.ports import ConsumedEvent, ConsumedEvents, Supply, SurgePrices
from pricing.rules.cells import cell_indices


class PricingService:
    """Feeds the engine of one region and publishes what it decides.

    What a crash costs: the counted demand and the busy drivers are held in memory only. The next pricer goes on from
    the prices that stand, learns demand anew from the events that follow, and takes drivers whose ride began before
    for idle until that ride ends; prices move meanwhile by bounded steps. The count of consumed events is exact.

    One pricer prices a region at a time: two would each see their own demand.
    """

    def __init__(
        self,
        region: Region,
        surge_cells: npt.NDArray[np.uint64],
        params: SurgeParams,
        *,
        prices: SurgePrices,
        consumed: ConsumedEvents,
        supply: Supply,
        metrics: PricingMetrics,
    ) -> None:
        """``surge_cells`` (c,) are the region's, sorted (`City.surge_cells`)."""
        self.region_id = region.region_id
        self.tick_s = params.tick_s
        self._surge_resolution = region.surge_resolution
        self._cells = surge_cells
        self._engine = PricingEngine(surge_cells, params)
        self._prices = prices
        self._consumed = consumed
        self._supply = supply
        self._metrics = metrics
        self._log = structlog.get_logger(__name__).bind(region=region.region_id)
        self._has_adopted = False
        #: Cells whose last change has not reached the store yet.
        self._unwritten: set[int] = set()

    async def process(self, values: Sequence[bytes | None], now_s: float) -> None:
        """Take in messages of ride.events; what cannot be decoded is counted and skipped.

        Raises only what the store raises; doing it all again then is safe, as nothing counts twice.
        """
        outcomes: Counter[str] = Counter()
        outside = 0
        consumed: list[ConsumedEvent] = []
        for value in values:
            event = wire.decode(value)
            if event is None:
                outcomes["undecodable"] += 1
            elif event.region != self.region_id:
                outcomes["other_region"] += 1
            else:
                outside += self._apply(event, now_s)
                # No event is later than now: one with a wrong time must not make the store forget the others.
                consumed.append(ConsumedEvent(event.ride_id, event.sequence, min(event.at_s, now_s)))
        if consumed:
            outcomes["new"] = await self._consumed.count(consumed)
            outcomes["repeated"] = len(consumed) - outcomes["new"]
        self._report(outcomes, outside)

    def _apply(self, event: wire.RideEvent, now_s: float) -> bool:
        """Hand the event to the engine; says whether it was a request in none of the cells."""
        cell_index = -1
        if event.pickup is not None:
            places = [event.pickup.lat_deg], [event.pickup.lng_deg]
            cell_index = int(cell_indices(self._cells, self._surge_resolution, *places)[0])
        command = wire.to_command(event, cell_index)
        if command is not None:
            self._engine.handle(command, now_s)
        return event.event == "RideRequested" and cell_index < 0

    def _report(self, outcomes: Counter[str], outside: int) -> None:
        for outcome, count in outcomes.items():
            self._metrics.ride_events.labels(self.region_id, outcome).inc(count)
        self._metrics.requests_outside.labels(self.region_id).inc(outside)
        self._metrics.busy_drivers.labels(self.region_id).set(len(self._engine.busy_drivers))
        if outcomes["undecodable"]:
            self._log.warning("ride_events_undecodable", count=outcomes["undecodable"])

    async def tick(self, now_s: float) -> list[Event]:
        """Set the prices; returns what moved. Raises what the stores raise; the next tick makes up for it.

        Without a single fresh position in the region nothing is priced: that is a fault of the stream of pings, not
        a city without drivers, and the standing prices fade by their life.
        """
        try:
            with self._metrics.tick_seconds.labels(self.region_id).time():
                supply = await self._read(now_s)
                events = self._engine.handle(Tick(supply.idle_per_cell), now_s) if supply.fresh_drivers else []
                self._unwritten.update(event.cell for event in events)
                if supply.fresh_drivers:
                    await self._publish(now_s)
        except Exception:
            self._metrics.ticks.labels(self.region_id, "failed").inc()
            raise
        self._report_tick(events, supply)
        return events

    async def _read(self, now_s: float) -> SupplySnapshot:
        """Read the supply; before the first tick also the prices that stand, to go on from them."""
        if not self._has_adopted:
            standing = await self._prices.read_many(self._cells.tolist(), now_s)
            self._engine.handle(AdoptPrices([price.multiplier for price in standing]), now_s)
            self._has_adopted = True
        return await self._supply.snapshot(self._engine.busy_drivers, now_s)

    async def _publish(self, now_s: float) -> None:
        """Write what moved, and renew what stands away from the base price before it fades."""
        priced = zip(self._cells.tolist(), self._engine.multiplier.tolist(), strict=True)
        wanted = {cell: value for cell, value in priced if value != BASE_MULTIPLIER or cell in self._unwritten}
        if wanted:
            await self._prices.write(wanted, now_s)
        self._unwritten.clear()

    def _report_tick(self, events: list[Event], supply: SupplySnapshot) -> None:
        outcome = "priced" if supply.fresh_drivers else "no_positions"
        self._metrics.ticks.labels(self.region_id, outcome).inc()
        self._metrics.surge_changes.labels(self.region_id).inc(len(events))
        self._metrics.idle_drivers.labels(self.region_id).set(int(supply.idle_per_cell.sum()))
        highest = float(self._engine.multiplier.max())
        self._metrics.surge_multiplier_max.labels(self.region_id).set(highest)
        if events:
            self._log.info("surge_changed", cells=len(events), highest=highest)
