from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from geo.city import City
from pricing.metrics import PricingMetrics
from pricing.model import SupplySnapshot, SurgeParams, SurgePrice
from pricing.ports import ConsumedEvent
from pricing.service import PricingService

NOW_S = 1_400_000_000.0


class MemoryPrices:
    """The ports `SurgePrices` and `ConsumedEvents` in memory, and a switch that takes them away."""

    def __init__(self) -> None:
        self.multiplier_of: dict[int, float] = {}
        self.last_sequence: dict[str, int] = {}
        self.writes: list[dict[int, float]] = []
        self.counted_at_s: list[float] = []
        self.is_away = False

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        return (await self.read_many([cell], now_s))[0]

    async def read_many(self, cells: Iterable[int], now_s: float) -> list[SurgePrice]:
        self._answer()
        return [SurgePrice(cell, self.multiplier_of.get(cell, 1.0), None) for cell in cells]

    async def write(self, multiplier_of: Mapping[int, float], now_s: float) -> None:
        self._answer()
        self.writes.append(dict(multiplier_of))
        self.multiplier_of.update(multiplier_of)

    async def count(self, events: Sequence[ConsumedEvent]) -> int:
        self._answer()
        self.counted_at_s += [event.at_s for event in events]
        new = [event for event in events if event.sequence > self.last_sequence.get(event.ride_id, 0)]
        self.last_sequence.update({event.ride_id: event.sequence for event in new})
        return len(new)

    def _answer(self) -> None:
        if self.is_away:
            raise ConnectionError("away")


class DrawnSupply:
    def __init__(self, cell_count: int) -> None:
        self.fresh_drivers = 1
        self.idle_per_cell = np.zeros(cell_count, np.int64)
        self.busy_drivers: Collection[str] = ()

    async def snapshot(self, busy_drivers: Collection[str], now_s: float) -> SupplySnapshot:
        self.busy_drivers = busy_drivers
        return SupplySnapshot(self.idle_per_cell, self.fresh_drivers)


class Pricer:
    """A service with its ports, for one life of the process."""

    def __init__(self, city: City, prices: MemoryPrices) -> None:
        self.prices = prices
        self.supply = DrawnSupply(len(city.surge_cells))
        self.registry = CollectorRegistry()
        self.service = PricingService(
            city.region,
            city.surge_cells,
            SurgeParams(),
            prices=prices,
            consumed=prices,
            supply=self.supply,
            metrics=PricingMetrics(self.registry),
        )

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"hexhail_pricing_{name}", {"region": "grid", **labels})


@pytest.fixture
def pricer(grid_city: City) -> Pricer:
    return Pricer(grid_city, MemoryPrices())


def requested(number: int, **changes: object) -> bytes:
    event = {
        "event": "RideRequested",
        "ride_id": f"ride{number}",
        "sequence": 1,
        "at_s": NOW_S,
        "region": "grid",
        "pickup": {"lat_deg": 40.751, "lng_deg": -73.979, "node": 0},
    }
    return json.dumps({**event, **changes}).encode()


async def test_requests_without_drivers_raise_the_price_where_they_are(pricer: Pricer) -> None:
    await pricer.service.process([requested(number) for number in range(10)], NOW_S)
    [event] = await pricer.service.tick(NOW_S)
    assert pricer.prices.multiplier_of == {event.cell: pytest.approx(1.1)}
    assert pricer.metric("surge_changes_total") == 1.0
    assert pricer.metric("surge_multiplier_max") == pytest.approx(1.1)


async def test_what_cannot_be_decoded_is_counted_and_skipped(pricer: Pricer) -> None:
    values = [b"\x00", requested(1), None, requested(2, region="elsewhere"), b"{}", requested(3)]
    await pricer.service.process(values, NOW_S)
    assert pricer.metric("ride_events_total", outcome="undecodable") == 3.0
    assert pricer.metric("ride_events_total", outcome="other_region") == 1.0
    assert pricer.metric("ride_events_total", outcome="new") == 2.0
    assert pricer.prices.last_sequence == {"ride1": 1, "ride3": 1}


async def test_a_request_outside_every_surge_cell_is_consumed_but_is_no_demand(pricer: Pricer) -> None:
    away = {"lat_deg": 10.0, "lng_deg": 10.0}
    await pricer.service.process([requested(number, pickup=away) for number in range(20)], NOW_S)
    assert await pricer.service.tick(NOW_S) == []
    assert pricer.metric("requests_outside_total") == 20.0
    assert pricer.metric("ride_events_total", outcome="new") == 20.0


async def test_an_event_from_the_future_is_handed_on_as_one_of_now(pricer: Pricer) -> None:
    """The store forgets rides by the time of the events: a wrong one must not make it forget them all."""
    await pricer.service.process([requested(1, at_s=NOW_S + 1e9), requested(2, at_s=NOW_S - 60.0)], NOW_S)
    assert pricer.prices.counted_at_s == [NOW_S, NOW_S - 60.0]


async def test_a_redelivered_batch_is_repeated_everywhere_and_counts_nowhere(pricer: Pricer) -> None:
    batch = [requested(number) for number in range(10)]
    for _ in range(3):
        await pricer.service.process(batch, NOW_S)
    [event] = await pricer.service.tick(NOW_S)
    assert event.requests == 10.0
    assert pricer.metric("ride_events_total", outcome="new") == 10.0
    assert pricer.metric("ride_events_total", outcome="repeated") == 20.0


async def test_a_batch_that_failed_half_way_can_be_done_again(pricer: Pricer) -> None:
    batch = [requested(number) for number in range(10)]
    pricer.prices.is_away = True
    with pytest.raises(ConnectionError):
        await pricer.service.process(batch, NOW_S)
    pricer.prices.is_away = False
    await pricer.service.process(batch, NOW_S)
    [event] = await pricer.service.tick(NOW_S)
    assert event.requests == 10.0
    assert pricer.metric("ride_events_total", outcome="new") == 10.0


async def test_drivers_on_live_rides_are_no_supply(pricer: Pricer) -> None:
    accepted = requested(1, event="OfferAccepted", sequence=3, driver_id="driver")
    await pricer.service.process([requested(1), accepted], NOW_S)
    await pricer.service.tick(NOW_S)
    assert pricer.supply.busy_drivers == {"driver"}
    assert pricer.metric("busy_drivers") == 1.0
    await pricer.service.process([requested(1, event="RiderDroppedOff", sequence=6)], NOW_S)
    await pricer.service.tick(NOW_S)
    assert pricer.supply.busy_drivers == frozenset()


async def test_without_any_fresh_position_nothing_is_priced(pricer: Pricer) -> None:
    await pricer.service.process([requested(number) for number in range(10)], NOW_S)
    pricer.supply.fresh_drivers = 0
    assert await pricer.service.tick(NOW_S) == []
    assert pricer.prices.writes == []
    assert pricer.metric("ticks_total", outcome="no_positions") == 1.0


async def test_a_standing_price_is_renewed_at_each_tick_and_a_base_price_is_left_alone(pricer: Pricer) -> None:
    await pricer.service.process([requested(number) for number in range(6)], NOW_S)
    pricer.supply.idle_per_cell[:] = 4
    for tick in range(6):
        await pricer.service.tick(NOW_S + 15.0 * tick)
    assert [len(write) for write in pricer.prices.writes] == [1] * 6
    assert pricer.prices.writes[-1] == pricer.prices.writes[-2]


async def test_a_store_that_lost_its_prices_does_not_interrupt_the_walk(pricer: Pricer) -> None:
    await pricer.service.process([requested(number) for number in range(30)], NOW_S)
    [first] = await pricer.service.tick(NOW_S)
    pricer.prices.multiplier_of.clear()
    [second] = await pricer.service.tick(NOW_S + 15.0)
    assert second.multiplier == pytest.approx(first.multiplier * 1.1)
    assert pricer.prices.multiplier_of == {second.cell: second.multiplier}


async def test_the_way_home_is_written_to_its_end(pricer: Pricer) -> None:
    await pricer.service.process([requested(number) for number in range(10)], NOW_S)
    for tick in range(200):
        await pricer.service.tick(NOW_S + 15.0 * tick)
    assert list(pricer.prices.multiplier_of.values()) == [1.0]
    assert len(pricer.prices.writes) < 200


async def test_a_price_that_could_not_be_written_is_written_at_the_next_tick(pricer: Pricer) -> None:
    """The last step home to 1.0 fails: nothing renews base prices, so only the memory of the failure saves it."""
    await pricer.service.process([requested(number) for number in range(10)], NOW_S)
    [event] = await pricer.service.tick(NOW_S)
    pricer.prices.is_away = True
    with pytest.raises(ConnectionError):
        await pricer.service.tick(NOW_S + 86_400.0)
    assert pricer.metric("ticks_total", outcome="failed") == 1.0
    pricer.prices.is_away = False
    await pricer.service.tick(NOW_S + 86_415.0)
    assert pricer.prices.multiplier_of == {event.cell: 1.0}


async def test_the_next_pricer_goes_on_from_the_standing_prices_and_walks_home(grid_city: City) -> None:
    prices = MemoryPrices()
    first = Pricer(grid_city, prices)
    await first.service.process([requested(number) for number in range(30)], NOW_S)
    for tick in range(5):
        await first.service.tick(NOW_S + 15.0 * tick)
    standing = max(prices.multiplier_of.values())
    second = Pricer(grid_city, prices)
    [event] = await second.service.tick(NOW_S + 90.0)
    assert event.multiplier_before == pytest.approx(standing)
    assert event.multiplier == pytest.approx(standing / 1.1)


async def test_a_new_life_counts_no_event_of_the_old_one_again(grid_city: City) -> None:
    prices = MemoryPrices()
    batch = [requested(number) for number in range(10)]
    await Pricer(grid_city, prices).service.process(batch, NOW_S)
    second = Pricer(grid_city, prices)
    await second.service.process([*batch, requested(10)], NOW_S)
    assert second.metric("ride_events_total", outcome="new") == 1.0
