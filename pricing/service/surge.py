"""Prices one region: takes in rides and quotes, reads the supply at each tick, and publishes multipliers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from geo.city import Region
from kernel.points import Point
from pricing.commands import AdoptPrices, FreezePrices, Tick, UnfreezePrices
from pricing.engine import PricingEngine
from pricing.events import Event
from pricing.metrics import PricingMetrics
from pricing.model.messages import QuoteAsked, RideEvent
from pricing.model.surge import BASE_MULTIPLIER, SupplySnapshot, SurgeParams
from pricing.ports import CountedSignals, KeyedSignal, PriceRecord, Supply, SurgePrices
from pricing.rules import surge
from pricing.rules.cells import cell_indices
from pricing.rules.grid import SurgeGrid
from pricing.rules.price_changes import changes_of
from pricing.rules.signals import quote_ident, quote_signal, request_wish, ride_signal


class PricingService:
    """Feeds the engine of one region and publishes what it decides.

    `CountedSignals` owns the demand. The engine holds a copy, which is read when the process starts and
    again after every call whose outcome is unknown. A crash therefore costs the missed ticks alone, and an event that
    comes twice or late counts as if it had come once and in time.

    Only one pricer may price a region at a time: two would move the same prices.
    """

    def __init__(
        self,
        region: Region,
        grid: SurgeGrid,
        params: SurgeParams,
        *,
        prices: SurgePrices,
        signals: CountedSignals,
        supply: Supply,
        record: PriceRecord,
        metrics: PricingMetrics,
    ) -> None:
        self.region_id = region.region_id
        self.tick_s = params.tick_s
        self._surge_resolution = region.surge_resolution
        self._cells = grid.cell
        self._engine = PricingEngine(grid, params)
        self._prices = prices
        self._signals = signals
        self._supply = supply
        self._record = record
        self._version = (surge.version_of(params), repr(params))
        self._metrics = metrics
        self._log = structlog.get_logger(__name__).bind(region=region.region_id)
        #: Held from the call that counts signals until the engine has them: nobody may read all counts in between.
        self._in_step = asyncio.Lock()
        self._is_restored = False
        self._has_adopted = False
        #: What moved and is not on record yet; no price is published before it is.
        self._unrecorded: list[Event] = []
        #: Cells whose last change has not reached the store yet.
        self._unwritten: set[int] = set()

    async def process_rides(self, messages: Sequence[RideEvent | None], now_s: float) -> None:
        """Take in messages of ride.events; None stands for one that could not be decoded: it is counted and skipped.

        Raises only what the store raises; doing it all again then is safe, as nothing counts twice.
        """
        outcomes, signals, outside = Counter[str](), list[KeyedSignal](), 0
        for event in messages:
            if event is None or event.region_id != self.region_id:
                outcomes["undecodable" if event is None else "other_region"] += 1
                continue
            cell_index = self._cell_index(event.pickup)
            outside += event.event == "RideRequested" and cell_index < 0
            # No event is later than now: one with a wrong time must not make the store forget the others.
            at_s = min(event.at_s, now_s)
            signal = ride_signal(event, cell_index)
            wish = "" if signal is None else request_wish(event, cell_index)
            signals.append(KeyedSignal(event.ride_id, event.sequence, at_s, signal, wish))
        await self._take(self._signals.count_rides, signals, outcomes, now_s)
        for outcome, count in outcomes.items():
            self._metrics.ride_events.labels(self.region_id, outcome).inc(count)
        self._metrics.requests_outside.labels(self.region_id).inc(outside)
        self._warn_of_undecodable(outcomes, "ride_events_undecodable")

    async def process_quotes(self, messages: Sequence[QuoteAsked | None], now_s: float) -> None:
        """Take in messages of quotes.asked, as `process_rides` does those of ride.events."""
        outcomes, signals = Counter[str](), list[KeyedSignal]()
        for event in messages:
            if event is None or event.region_id != self.region_id:
                outcomes["undecodable" if event is None else "other_region"] += 1
                continue
            cell_index = self._cell_index(event.pickup)
            ident, signal = quote_ident(event, cell_index), quote_signal(event, cell_index)
            signals.append(KeyedSignal(ident, 1, min(event.at_s, now_s), signal))
        await self._take(self._signals.count_quotes, signals, outcomes, now_s)
        for outcome, count in outcomes.items():
            self._metrics.quotes_asked.labels(self.region_id, outcome).inc(count)
        self._warn_of_undecodable(outcomes, "quotes_undecodable")

    async def _take(
        self,
        count: Callable[[Sequence[KeyedSignal]], Awaitable[list[int]]],
        signals: Sequence[KeyedSignal],
        outcomes: Counter[str],
        now_s: float,
    ) -> None:
        """Have the signals counted, and give the engine those that were new."""
        if not signals:
            return
        async with self._in_step:
            await self._restore(now_s)
            self._is_restored = False  # until the answer is here, the outcome of the call is unknown
            new = await count(signals)
            for place in new:
                signal = signals[place].signal if place >= 0 else None  # below 0: new, and a wish that was counted
                if signal is not None:
                    self._engine.handle(signal, now_s)
            self._is_restored = True
        outcomes["new"] = len(new)
        outcomes["repeated"] = len(signals) - len(new)

    async def _restore(self, now_s: float) -> None:
        if not self._is_restored:
            self._engine.handle(await self._signals.read(now_s), now_s)
            self._is_restored = True

    def _cell_index(self, pickup: Point | None) -> int:
        if pickup is None:
            return -1
        return int(cell_indices(self._cells, self._surge_resolution, [pickup.lat_deg], [pickup.lng_deg])[0])

    def _warn_of_undecodable(self, outcomes: Counter[str], warning: str) -> None:
        if outcomes["undecodable"]:
            self._log.warning(warning, count=outcomes["undecodable"])

    async def tick(self, now_s: float) -> list[Event]:
        """Set the prices and return what moved. Raises what the stores raise; the next tick catches up.

        Without a single fresh position in the region nothing is priced: the stream of pings is broken then, and the
        present prices fade by their life.
        """
        try:
            with self._metrics.tick_seconds.labels(self.region_id).time():
                await self._put_on_record()
                supply = await self._read(now_s)
                events = await self._apply_newest_order(now_s)
                if supply.fresh_drivers:
                    events += self._engine.handle(Tick(supply.idle_per_cell), now_s)
                self._unrecorded += events
                await self._put_on_record()
                if supply.fresh_drivers:
                    await self._publish(now_s)
        except Exception:
            self._metrics.ticks.labels(self.region_id, "failed").inc()
            raise
        self._report_tick(events, supply)
        return events

    async def _read(self, now_s: float) -> SupplySnapshot:
        """Read the supply; before the first tick also the counts and the present prices, to continue from them."""
        async with self._in_step:
            await self._restore(now_s)
        if not self._has_adopted:
            present = await self._prices.read_many(self._cells.tolist(), now_s)
            self._engine.handle(AdoptPrices([price.multiplier for price in present]), now_s)
            await self._record.add_version(*self._version)
            self._has_adopted = True
        return await self._supply.snapshot(now_s)

    async def _apply_newest_order(self, now_s: float) -> list[Event]:
        """Freeze or unfreeze by the newest order on record: it must hold after this process and Redis have died."""
        newest = await self._record.orders(self.region_id, 1)
        is_frozen = bool(newest) and newest[0].is_frozen
        await self._prices.set_frozen(is_frozen=is_frozen)
        if is_frozen == self._engine.is_frozen:
            return []
        self._log.warning("surge_frozen" if is_frozen else "surge_unfrozen", reason=newest[0].reason)
        return self._engine.handle(FreezePrices() if is_frozen else UnfreezePrices(), now_s)

    async def _put_on_record(self) -> None:
        """Record what moved. If that fails, nothing new is decided or published, and the present prices fade."""
        for event in self._unrecorded:
            await self._record.add_changes(self.region_id, changes_of(event))
            self._unwritten.update(event.cell.tolist())
        self._unrecorded.clear()

    async def _publish(self, now_s: float) -> None:
        """Write what moved, and renew every price other than the base price before it fades."""
        priced = zip(self._cells.tolist(), self._engine.multiplier.tolist(), strict=True)
        wanted = {cell: value for cell, value in priced if value != BASE_MULTIPLIER or cell in self._unwritten}
        if wanted:
            await self._prices.write(wanted, now_s)
        self._unwritten.clear()

    def _report_tick(self, events: list[Event], supply: SupplySnapshot) -> None:
        outcome = "priced" if supply.fresh_drivers else "no_positions"
        moved = sum(map(len, events))
        self._metrics.ticks.labels(self.region_id, outcome).inc()
        self._metrics.surge_changes.labels(self.region_id).inc(moved)
        self._metrics.fresh_drivers.labels(self.region_id).set(supply.fresh_drivers)
        self._metrics.idle_drivers.labels(self.region_id).set(float(supply.idle_per_cell.sum()))
        highest = float(self._engine.multiplier.max())
        self._metrics.surge_multiplier_max.labels(self.region_id).set(highest)
        if events:
            self._log.info("surge_changed", cells=moved, highest=highest)
