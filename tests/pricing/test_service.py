from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from backing.sql.database import Database
from backing.sql.scripts import Statement, one
from geo.city import City
from pricing.adapters.event_codec import decode_quote, decode_ride
from pricing.adapters.redis_signals import RedisSignals
from pricing.adapters.sql.record import SqlPriceRecord
from pricing.commands import Restore
from pricing.errors import PricerSuperseded
from pricing.metrics import PricingMetrics
from pricing.model.surge import FreezeOrder, SupplySnapshot, SurgeParams, SurgePrice
from pricing.ports import KeyedSignal
from pricing.rules.price_changes import PriceChange, Reason
from pricing.rules.reach import grid_of
from pricing.rules.surge import Bound
from pricing.service.surge import PricingService

pytestmark = pytest.mark.servers

NOW_S = 1_400_000_000.0


class MemoryPrices:
    """The port `SurgePrices` in memory, and a switch that takes it away."""

    def __init__(self) -> None:
        self.multiplier_of: dict[int, float] = {}
        self.updated_s: dict[int, float] = {}
        self.epoch = 0
        self.writes: list[dict[int, float]] = []
        self.is_away = self.is_frozen = False

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        return (await self.read_many([cell], now_s))[0]

    async def read_many(self, cells: Iterable[int], now_s: float) -> list[SurgePrice]:
        self._answer()
        return [SurgePrice(cell, self.multiplier_of.get(cell, 1.0), self.updated_s.get(cell)) for cell in cells]

    async def write(self, multiplier_of: Mapping[int, float], now_s: float, epoch: int) -> None:
        self._answer()
        self._check(epoch)
        self.updated_s |= dict.fromkeys(multiplier_of, now_s)
        self.writes.append(dict(multiplier_of))
        self.multiplier_of.update(multiplier_of)

    async def set_frozen(self, *, is_frozen: bool, epoch: int | None = None) -> None:
        self._answer()
        self._check(epoch)
        self.is_frozen = is_frozen

    def _check(self, epoch: int) -> None:
        if epoch < self.epoch:
            raise PricerSuperseded("grid", epoch)
        self.epoch = epoch

    def _answer(self) -> None:
        if self.is_away:
            raise ConnectionError("away")


class LosingSignals:
    """Real signals whose answers, or calls, get lost on command."""

    def __init__(self, signals: RedisSignals) -> None:
        self._signals = signals
        self.loses_answer = self.loses_call = False
        self.at_s_seen: list[float] = []

    async def count_rides(self, events: Sequence[KeyedSignal]) -> list[int]:
        self.at_s_seen += [event.at_s for event in events]
        return await self._counted(self._signals.count_rides, events)

    async def count_quotes(self, events: Sequence[KeyedSignal]) -> list[int]:
        return await self._counted(self._signals.count_quotes, events)

    async def _counted(
        self, count: Callable[[Sequence[KeyedSignal]], Awaitable[list[int]]], events: Sequence[KeyedSignal]
    ) -> list[int]:
        if self.loses_call:
            raise ConnectionError("away")
        new = await count(events)
        if self.loses_answer:
            raise ConnectionError("away")
        return new

    async def read(self, now_s: float) -> Restore:
        return await self._signals.read(now_s)


class MortalRecord:
    """The real record, and a switch that takes it away."""

    def __init__(self, record: SqlPriceRecord) -> None:
        self._record = record
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise ConnectionError("away")
        return getattr(self._record, name)


class DrawnSupply:
    def __init__(self, cell_count: int) -> None:
        self.fresh_drivers = 1
        self.idle_per_cell = np.zeros(cell_count, np.int64)

    async def snapshot(self, now_s: float) -> SupplySnapshot:
        return SupplySnapshot(self.idle_per_cell, self.fresh_drivers)


class Pricer:
    """A service with its ports, for one life of the process."""

    def __init__(self, city: City, redis: Redis, prices: MemoryPrices, record: SqlPriceRecord) -> None:
        self.record = MortalRecord(record)
        params = SurgeParams()
        self.prices = prices
        self.signals = LosingSignals(RedisSignals(redis, "grid", city.surge_cells, params.demand_half_life_s))
        self.supply = DrawnSupply(len(city.surge_cells))
        self.registry = CollectorRegistry()
        self.service = PricingService(
            city.region,
            grid_of(city, params.reach_s),
            params,
            prices=prices,
            signals=self.signals,
            supply=self.supply,
            record=self.record,
            metrics=PricingMetrics(self.registry),
        )

    async def process_rides(self, values: Sequence[bytes | None], now_s: float) -> None:
        await self.service.process_rides([decode_ride(value) for value in values], now_s)

    async def process_quotes(self, values: Sequence[bytes | None], now_s: float) -> None:
        await self.service.process_quotes([decode_quote(value) for value in values], now_s)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"hexhail_pricing_{name}", {"region": "grid", **labels})

    async def demand(self, now_s: float = NOW_S) -> float:
        """The requests that the engine prices by, all cells together."""
        await self.service.tick(now_s)
        return float(self.service._engine._requests.sum())


@pytest.fixture
async def record(sqlite_database: Database) -> SqlPriceRecord:
    return SqlPriceRecord(sqlite_database)


@pytest.fixture
def pricer(grid_city: City, empty_redis: Redis, record: SqlPriceRecord) -> Pricer:
    return Pricer(grid_city, empty_redis, MemoryPrices(), record)


def requested(number: int, **changes: object) -> bytes:
    event = {
        "event": "RideRequested",
        "ride_id": f"ride{number}",
        "sequence": 1,
        "at_s": NOW_S,
        "region_id": "grid",
        "pickup": {"lat_deg": 40.751, "lng_deg": -73.979, "node": 0},
    }
    return json.dumps({**event, **changes}).encode()


async def test_requests_without_drivers_raise_the_price_where_they_are(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(10)], NOW_S)
    [event] = await pricer.service.tick(NOW_S)
    assert pricer.prices.multiplier_of == dict(zip(event.cell.tolist(), event.multiplier.tolist(), strict=True))
    assert pricer.metric("surge_changes_total") == len(event)
    assert pricer.metric("surge_multiplier_max") == event.multiplier.max() == pytest.approx(1.1)


async def test_one_rider_is_demand_once_however_many_rides_are_requested(pricer: Pricer) -> None:
    """150 requests of one rider were 150 riders' demand before, and raised the price."""
    alone = [requested(number, rider_id="alice") for number in range(150)]
    for batch in (alone[:70], alone[70:], alone):
        await pricer.process_rides(batch, NOW_S)
    assert await pricer.demand() == 1.0
    assert set(pricer.prices.multiplier_of.values()) <= {1.0}
    assert pricer.metric("ride_events_total", outcome="new") == 150.0
    later = [requested(number, rider_id="alice", at_s=NOW_S + 301.0) for number in range(150, 160)]
    await pricer.process_rides(later, NOW_S + 301.0)
    assert 1.0 < await pricer.demand(NOW_S + 301.0) < 2.0


async def test_as_many_riders_are_as_much_demand(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number, rider_id=f"rider{number}") for number in range(150)], NOW_S)
    assert await pricer.demand() == 150.0
    assert max(pricer.prices.multiplier_of.values()) > 1.0


async def test_what_cannot_be_decoded_is_counted_and_skipped(pricer: Pricer) -> None:
    values = [b"\x00", requested(1), None, requested(2, region_id="elsewhere"), b"{}", requested(3)]
    await pricer.process_rides(values, NOW_S)
    assert pricer.metric("ride_events_total", outcome="undecodable") == 3.0
    assert pricer.metric("ride_events_total", outcome="other_region") == 1.0
    assert pricer.metric("ride_events_total", outcome="new") == 2.0
    assert await pricer.demand() == 2.0


async def test_a_request_outside_every_surge_cell_is_consumed_but_is_no_demand(pricer: Pricer) -> None:
    away = {"lat_deg": 10.0, "lng_deg": 10.0}
    await pricer.process_rides([requested(number, pickup=away) for number in range(20)], NOW_S)
    assert await pricer.service.tick(NOW_S) == []
    assert pricer.metric("requests_outside_total") == 20.0
    assert pricer.metric("ride_events_total", outcome="new") == 20.0


async def test_an_event_from_the_future_is_handed_on_as_one_of_now(pricer: Pricer) -> None:
    """The store forgets rides by the time of the events: a wrong one must not make it forget them all."""
    await pricer.process_rides([requested(1, at_s=NOW_S + 1e9), requested(2, at_s=NOW_S - 60.0)], NOW_S)
    assert pricer.signals.at_s_seen == [NOW_S, NOW_S - 60.0]


async def test_a_redelivered_batch_is_repeated_everywhere_and_counts_nowhere(pricer: Pricer) -> None:
    batch = [requested(number) for number in range(10)]
    for _ in range(3):
        await pricer.process_rides(batch, NOW_S)
    assert await pricer.demand() == 10.0
    assert pricer.metric("ride_events_total", outcome="new") == 10.0
    assert pricer.metric("ride_events_total", outcome="repeated") == 20.0


@pytest.mark.parametrize("loss", ["loses_call", "loses_answer"])
async def test_a_batch_whose_call_or_answer_got_lost_counts_once_when_it_is_done_again(
    pricer: Pricer, loss: str
) -> None:
    """After a lost answer nobody knows whether it was counted: the engine then reads anew what was."""
    batch = [requested(number) for number in range(10)]
    await pricer.process_rides(batch[:3], NOW_S)
    setattr(pricer.signals, loss, True)
    with pytest.raises(ConnectionError):
        await pricer.process_rides(batch, NOW_S)
    setattr(pricer.signals, loss, False)
    await pricer.process_rides(batch, NOW_S)
    assert await pricer.demand() == 10.0


async def test_quotes_become_demand_once_for_each_wish(pricer: Pricer) -> None:
    def asked(rider: str, at_s: float = NOW_S) -> bytes:
        event = {
            "event": "QuoteAsked",
            "quote_id": f"{rider}{at_s}",
            "rider_id": rider,
            "at_s": at_s,
            "region_id": "grid",
        }
        return json.dumps({**event, "pickup": {"lat_deg": 40.751, "lng_deg": -73.979}}).encode()

    await pricer.process_quotes([asked("a"), asked("b"), asked("a"), asked("a", NOW_S + 1.0), b"x"], NOW_S + 1.0)
    await pricer.service.tick(NOW_S + 1.0)
    assert pricer.service._engine._quotes.sum() == pytest.approx(2.0, rel=0.01)
    assert pricer.metric("quotes_asked_total", outcome="repeated") == 2.0
    assert pricer.metric("quotes_asked_total", outcome="undecodable") == 1.0


async def test_idle_and_fresh_drivers_are_reported_at_each_tick(pricer: Pricer) -> None:
    pricer.supply.idle_per_cell[:2], pricer.supply.fresh_drivers = 3, 9
    await pricer.service.tick(NOW_S)
    assert (pricer.metric("idle_drivers"), pricer.metric("fresh_drivers")) == (6.0, 9.0)


async def test_without_any_fresh_position_nothing_is_priced(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(10)], NOW_S)
    pricer.supply.fresh_drivers = 0
    assert await pricer.service.tick(NOW_S) == []
    assert pricer.prices.writes == []
    assert pricer.metric("ticks_total", outcome="no_positions") == 1.0


async def test_a_standing_price_is_renewed_at_each_tick_and_a_base_price_is_left_alone(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(9)], NOW_S)
    for _ in range(8):
        await pricer.service.tick(NOW_S)
    standing = {cell: price for cell, price in pricer.prices.multiplier_of.items() if price != 1.0}
    assert pricer.prices.writes[-1] == pricer.prices.writes[-2] == standing


async def test_a_store_that_lost_its_prices_does_not_interrupt_the_walk(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(60)], NOW_S)
    [first] = await pricer.service.tick(NOW_S)
    pricer.prices.multiplier_of.clear()
    pricer.prices.updated_s.clear()
    [second] = await pricer.service.tick(NOW_S + 15.0)
    assert second.multiplier.max() == pytest.approx(first.multiplier.max() * 1.1)
    assert max(pricer.prices.multiplier_of.values()) == second.multiplier.max()


async def test_prices_are_written_until_they_reach_the_base(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(10)], NOW_S)
    for tick in range(200):
        await pricer.service.tick(NOW_S + 15.0 * tick)
    assert set(pricer.prices.multiplier_of.values()) == {1.0}
    assert len(pricer.prices.writes) < 200


async def test_a_price_that_could_not_be_written_is_written_at_the_next_tick(pricer: Pricer) -> None:
    """The last step home to 1.0 fails: nothing renews base prices, so only the memory of the failure saves it."""
    await pricer.process_rides([requested(number) for number in range(10)], NOW_S)
    await pricer.service.tick(NOW_S)
    pricer.prices.is_away = True
    with pytest.raises(ConnectionError):
        await pricer.service.tick(NOW_S + 86_400.0)
    assert pricer.metric("ticks_total", outcome="failed") == 1.0
    pricer.prices.is_away = False
    await pricer.service.tick(NOW_S + 86_415.0)
    assert set(pricer.prices.multiplier_of.values()) == {1.0}


async def test_a_pricer_that_died_leaves_nothing_behind_and_the_next_one_prices_as_it_would_have(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    """One dies between two ticks with a batch not acknowledged; another lives through all of it."""
    log = [requested(number, at_s=NOW_S + number) for number in range(60)]
    log[40] = requested(3, event="OfferAccepted", sequence=2, driver_id="driver", at_s=NOW_S + 40.0)
    lived, died = MemoryPrices(), MemoryPrices()

    async def through(prices: MemoryPrices, *, dies: bool) -> None:
        await empty_redis.flushall()
        await record._database.run(lambda: one(Statement("DELETE FROM surge_newest")))
        pricer = Pricer(grid_city, empty_redis, prices, record)
        await pricer.process_rides(log[:30], NOW_S + 30.0)
        await pricer.service.tick(NOW_S + 30.0)
        await pricer.process_rides(log[30:50], NOW_S + 50.0)
        if dies:
            pricer = Pricer(grid_city, empty_redis, prices, record)
            await pricer.process_rides(log[20:50], NOW_S + 52.0)
        await pricer.process_rides(log[50:], NOW_S + 60.0)
        await pricer.service.tick(NOW_S + 60.0)

    await through(lived, dies=False)
    await through(died, dies=True)
    assert died.multiplier_of == pytest.approx(lived.multiplier_of, rel=1e-9)
    assert max(died.multiplier_of.values()) > 1.1


async def test_every_change_is_on_record_with_what_it_was_decided_on(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(60)], NOW_S)
    told = [event for tick in range(4) for event in await pricer.service.tick(NOW_S + 15.0 * tick)]
    cell = int(told[0].cell[told[0].requests.argmax()])
    history = await pricer.record.history("grid", cell, NOW_S, 100)
    assert [change.at_s for change in history] == [NOW_S + 45.0, NOW_S + 30.0, NOW_S + 15.0, NOW_S]
    assert [change.multiplier for change in history[1:]] == [change.multiplier_before for change in history[:-1]]
    first = history[-1]
    assert (first.reason, first.requests, first.multiplier_before) == (Reason.DEMAND, 60.0, 1.0)
    assert Bound.STEP in first.bounds_acted
    assert await pricer.record.history("grid", cell, NOW_S + 40.0, 100) == history[:1]
    assert await pricer.record.history("elsewhere", cell, NOW_S, 100) == []


async def test_no_price_is_published_that_is_not_on_record(pricer: Pricer) -> None:
    await pricer.process_rides([requested(number) for number in range(60)], NOW_S)
    await pricer.service.tick(NOW_S)
    published = len(pricer.prices.writes)
    pricer.record.is_away = True
    for tick in (1, 2, 3):
        with pytest.raises(ConnectionError):
            await pricer.service.tick(NOW_S + 15.0 * tick)
    assert len(pricer.prices.writes) == published
    pricer.record.is_away = False
    [event] = await pricer.service.tick(NOW_S + 60.0)
    assert event.multiplier.max() == pytest.approx(1.1**2)
    assert max(pricer.prices.multiplier_of.values()) == event.multiplier.max()


async def test_a_freeze_on_record_holds_every_price_also_for_the_next_pricer(
    pricer: Pricer, grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    await pricer.process_rides([requested(number) for number in range(60)], NOW_S)
    await pricer.service.tick(NOW_S)
    await record.add_order("grid", FreezeOrder(NOW_S + 1.0, True, "a flood", "olga"))
    [event] = await pricer.service.tick(NOW_S + 15.0)
    assert event.is_frozen
    assert pricer.prices.is_frozen
    assert set(pricer.prices.multiplier_of.values()) == {1.0}
    second = Pricer(grid_city, empty_redis, pricer.prices, record)
    for tick in range(2, 6):
        assert await second.service.tick(NOW_S + 15.0 * tick) == []
    await record.add_order("grid", FreezeOrder(NOW_S + 80.0, False, "the water is gone", "olga"))
    [event] = await second.service.tick(NOW_S + 90.0)
    assert not second.prices.is_frozen
    assert event.multiplier.max() == pytest.approx(1.1)
    history = await record.history("grid", int(event.cell[0]), NOW_S, 9)
    assert [change.reason for change in history] == [Reason.DEMAND, Reason.FROZEN, Reason.DEMAND]


class Chain:
    """The prices on record, cell by cell, and what riders are charged by."""

    def __init__(self, record: SqlPriceRecord, city: City) -> None:
        self.record, self.cells = record, city.surge_cells.tolist()

    async def broken(self) -> list[tuple[float, float]]:
        """Prices before a change that are not those that the change before left."""
        found = []
        for cell in self.cells:
            changes = (await self.record.history("grid", cell, 0.0, 1000))[::-1]
            before = [1.0, *(change.multiplier for change in changes)]
            found += [
                (left, change.multiplier_before)
                for left, change in zip(before, changes, strict=False)
                if left != change.multiplier_before
            ]
        return found


async def test_a_pricer_that_was_replaced_while_it_was_paused_changes_no_price(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    """Both moved the same prices before: a tenth of all records began with a price that was not the one before."""
    prices, chain = MemoryPrices(), Chain(record, grid_city)
    first, second = (Pricer(grid_city, empty_redis, prices, record) for _ in range(2))
    await first.process_rides([requested(number) for number in range(60)], NOW_S)
    for tick in range(3):
        await first.service.tick(NOW_S + 15.0 * tick)
    for tick in range(3, 6):
        await second.service.tick(NOW_S + 15.0 * tick)
    standing = dict(prices.multiplier_of)
    assert await first.service.tick(NOW_S + 82.0) == []
    assert prices.multiplier_of == standing
    assert first.metric("ticks_total", outcome="superseded") == 1.0
    assert await second.service.tick(NOW_S + 90.0)
    assert await chain.broken() == []
    assert max(prices.multiplier_of.values()) > max(standing.values()) == pytest.approx(1.1**6)


class Unfenced:
    """A record that takes changes of any epoch: what the tests must notice."""

    def __init__(self, record: SqlPriceRecord) -> None:
        self._record, self._newest = record, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)

    async def claim(self, region_id: str) -> int:
        self._newest = await self._record.claim(region_id)
        return self._newest

    async def add_changes(self, region_id: str, changes: Sequence[PriceChange], epoch: int) -> None:
        await self._record.add_changes(region_id, changes, self._newest)


async def test_without_the_epoch_the_same_pause_breaks_the_chain(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    prices, chain = MemoryPrices(), Chain(record, grid_city)
    first, second = (Pricer(grid_city, empty_redis, prices, Unfenced(record)) for _ in range(2))
    second.record._record = first.record._record
    prices._check = lambda epoch: None
    await first.process_rides([requested(number) for number in range(60)], NOW_S)
    for tick in range(8):
        await (first if tick % 3 else second).service.tick(NOW_S + 15.0 * tick)
    assert await chain.broken() != []


async def test_a_pricer_goes_on_from_what_another_counted_and_priced_meanwhile(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    """Messages are shared out among all pricers: each knew only the demand that it had counted itself before."""
    prices, chain = MemoryPrices(), Chain(record, grid_city)
    first, second = (Pricer(grid_city, empty_redis, prices, record) for _ in range(2))
    await first.service.tick(NOW_S)
    await second.process_rides([requested(number) for number in range(60)], NOW_S + 1.0)
    [event] = await first.service.tick(NOW_S + 15.0)
    assert event.requests.max() == pytest.approx(60.0, rel=0.1)
    for tick in range(2, 20):
        pricer, other = (first, second) if tick % 3 else (second, first)
        other.service.stand_by()
        pricer.service.stand_by()
        await pricer.service.tick(NOW_S + 15.0 * tick)
    assert await chain.broken() == []


async def test_a_change_that_was_recorded_and_not_published_is_where_the_next_pricer_begins(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    prices, chain = MemoryPrices(), Chain(record, grid_city)
    first, second = (Pricer(grid_city, empty_redis, prices, record) for _ in range(2))
    await first.process_rides([requested(number) for number in range(60)], NOW_S)
    await first.service.tick(NOW_S)

    async def dies(*_: object) -> None:
        raise ConnectionError("the process died here")

    prices.write, kept = dies, prices.write
    with pytest.raises(ConnectionError):
        await first.service.tick(NOW_S + 15.0)
    prices.write = kept
    [event] = await second.service.tick(NOW_S + 30.0)
    assert event.multiplier.max() == pytest.approx(1.1**3)
    assert await chain.broken() == []


async def test_prices_that_faded_while_nobody_priced_are_on_record_as_that(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    prices, chain = MemoryPrices(), Chain(record, grid_city)
    first, second = (Pricer(grid_city, empty_redis, prices, record) for _ in range(2))
    await first.process_rides([requested(number) for number in range(60)], NOW_S)
    [raised] = await first.service.tick(NOW_S)
    prices.multiplier_of.clear()
    prices.updated_s.clear()
    await empty_redis.flushall()
    [event] = await second.service.tick(NOW_S + 86_400.0)
    assert event.multiplier_before.tolist() == raised.multiplier.tolist()
    assert set(event.multiplier.tolist()) == {1.0}
    assert (event.bounds & Bound.FADED).all()
    assert await chain.broken() == []


async def test_the_next_pricers_clock_may_be_behind(
    grid_city: City, empty_redis: Redis, record: SqlPriceRecord
) -> None:
    prices, chain = MemoryPrices(), Chain(record, grid_city)
    first, second = (Pricer(grid_city, empty_redis, prices, record) for _ in range(2))
    await first.process_rides([requested(number) for number in range(60)], NOW_S)
    await first.service.tick(NOW_S)
    assert await second.service.tick(NOW_S - 0.5)
    assert await chain.broken() == []
