"""Prices one region: takes in rides and quotes, reads the supply at each tick, and publishes multipliers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from geo.city import Region
from kernel.points import Point
from pricing.commands import AdoptPrices, FreezePrices, Tick, UnfreezePrices
from pricing.engine import PricingEngine
from pricing.errors import PricerSuperseded
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
from pricing.rules.takeover import moment_after, resumed_multiplier


class PricingService:
    """Feeds the engine of one region and publishes what it decides.

    `CountedSignals` owns the demand, whichever process counted it; the engine reads it at each tick. A crash therefore
    costs the missed ticks alone, and an event that comes twice or late counts as if it had come once and in time.

    One pricer at a time sets the prices of a region. The first tick after `stand_by` claims an epoch and goes on from
    the prices on record. What a pricer of an older epoch decides is neither recorded nor published.
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
        self._grid = grid
        self._params = params
        self._engine = PricingEngine(grid, params)
        self._prices = prices
        self._signals = signals
        self._supply = supply
        self._record = record
        self._version = (surge.version_of(params), repr(params))
        self._metrics = metrics
        self._log = structlog.get_logger(__name__).bind(region=region.region_id)
        #: That of this process as the pricer of the region; None while it is not known to be that.
        self._epoch: int | None = None
        #: City time of the newest change on record when the epoch began.
        self._recorded_to_s = -math.inf
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
        await self._take(self._signals.count_rides, signals, outcomes)
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
        await self._take(self._signals.count_quotes, signals, outcomes)
        for outcome, count in outcomes.items():
            self._metrics.quotes_asked.labels(self.region_id, outcome).inc(count)
        self._warn_of_undecodable(outcomes, "quotes_undecodable")

    async def _take(
        self,
        count: Callable[[Sequence[KeyedSignal]], Awaitable[list[int]]],
        signals: Sequence[KeyedSignal],
        outcomes: Counter[str],
    ) -> None:
        """Have the signals counted, by any process that gets them: the next tick reads all of them."""
        if not signals:
            return
        new = await count(signals)
        outcomes["new"] = len(new)
        outcomes["repeated"] = len(signals) - len(new)

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
        present prices fade by their life. Nor is anything where another process has become the pricer: this one
        stands by then.
        """
        try:
            with self._metrics.tick_seconds.labels(self.region_id).time():
                epoch = await self._epoch_from(now_s)
                events, supply = await self._set_prices(moment_after(self._recorded_to_s, now_s), epoch)
        except PricerSuperseded as error:
            self._metrics.ticks.labels(self.region_id, "superseded").inc()
            self._log.warning("pricer_superseded", detail=str(error))
            self.stand_by()
            return []
        except Exception:
            self._metrics.ticks.labels(self.region_id, "failed").inc()
            raise
        self._report_tick(events, supply)
        return events

    def stand_by(self) -> None:
        """Forget to be the pricer of the region: the next tick becomes it anew, from what is on record then."""
        self._epoch = None
        self._metrics.owner.labels(self.region_id).set(0)

    async def _epoch_from(self, now_s: float) -> int:
        """Return the epoch of this process; claim one if it has none, and go on from the prices on record."""
        if self._epoch is not None:
            return self._epoch
        epoch = await self._record.claim(self.region_id)
        recorded = await self._record.newest_prices(self.region_id)
        published = await self._prices.read_many(self._cells.tolist(), now_s)
        resumed = [resumed_multiplier(recorded.get(price.cell), price, now_s, self._params) for price in published]
        told = [
            recorded[price.cell].multiplier if price.cell in recorded else multiplier
            for price, multiplier in zip(published, resumed, strict=True)
        ]
        self._engine = PricingEngine(self._grid, self._params)
        self._engine.handle(AdoptPrices(resumed, told), now_s)
        self._recorded_to_s = max((price.at_s for price in recorded.values()), default=-math.inf)
        self._unrecorded.clear()
        pairs = zip(published, resumed, strict=True)
        self._unwritten = {price.cell for price, multiplier in pairs if price.multiplier != multiplier}
        await self._record.add_version(*self._version)
        self._epoch = epoch
        self._metrics.owner.labels(self.region_id).set(1)
        self._log.info("pricing_taken", epoch=epoch)
        return epoch

    async def _set_prices(self, now_s: float, epoch: int) -> tuple[list[Event], SupplySnapshot]:
        await self._put_on_record(epoch)
        self._engine.handle(await self._signals.read(now_s), now_s)
        supply = await self._supply.snapshot(now_s)
        events = await self._apply_newest_order(now_s, epoch)
        if supply.fresh_drivers:
            events += self._engine.handle(Tick(supply.idle_per_cell), now_s)
        self._unrecorded += events
        await self._put_on_record(epoch)
        if supply.fresh_drivers:
            await self._publish(now_s, epoch)
        return events, supply

    async def _apply_newest_order(self, now_s: float, epoch: int) -> list[Event]:
        """Freeze or unfreeze by the newest order on record: it must hold after this process and Redis have died."""
        newest = await self._record.orders(self.region_id, 1)
        is_frozen = bool(newest) and newest[0].is_frozen
        await self._prices.set_frozen(is_frozen=is_frozen, epoch=epoch)
        if is_frozen == self._engine.is_frozen:
            return []
        self._log.warning("surge_frozen" if is_frozen else "surge_unfrozen", reason=newest[0].reason)
        return self._engine.handle(FreezePrices() if is_frozen else UnfreezePrices(), now_s)

    async def _put_on_record(self, epoch: int) -> None:
        """Record what moved. If that fails, nothing new is decided or published, and the present prices fade."""
        for event in self._unrecorded:
            await self._record.add_changes(self.region_id, changes_of(event), epoch)
            self._unwritten.update(event.cell.tolist())
        self._unrecorded.clear()

    async def _publish(self, now_s: float, epoch: int) -> None:
        """Write what moved, and renew every price other than the base price before it fades."""
        priced = zip(self._cells.tolist(), self._engine.multiplier.tolist(), strict=True)
        wanted = {cell: value for cell, value in priced if value != BASE_MULTIPLIER or cell in self._unwritten}
        if wanted:
            await self._prices.write(wanted, now_s, epoch)
        self._unwritten.clear()

    def _report_tick(self, events: list[Event], supply: SupplySnapshot) -> None:
        outcome = "priced" if supply.fresh_drivers else "no_positions"
        moved = sum(map(len, events))
        self._metrics.ticks.labels(self.region_id, outcome).inc()
        self._metrics.last_tick.labels(self.region_id).set_to_current_time()
        self._metrics.surge_changes.labels(self.region_id).inc(moved)
        self._metrics.fresh_drivers.labels(self.region_id).set(supply.fresh_drivers)
        self._metrics.idle_drivers.labels(self.region_id).set(float(supply.idle_per_cell.sum()))
        highest = float(self._engine.multiplier.max())
        self._metrics.surge_multiplier_max.labels(self.region_id).set(highest)
        if events:
            self._log.info("surge_changed", cells=moved, highest=highest)
