from __future__ import annotations

import math

import numpy as np
import pytest

from pricing.commands import (
    AdoptPrices,
    CountQuote,
    CountRequest,
    FreezePrices,
    Restore,
    Tick,
    UnfreezePrices,
)
from pricing.engine import PricingEngine
from pricing.events import SurgeChanged
from pricing.model.surge import SurgeParams
from pricing.rules.surge import Bound
from tests.pricing.regions import PATCH

NOW_S = 1_400_000_000.0
COUNT = len(PATCH)
NOBODY = np.zeros(COUNT)
MIDDLE = int(np.argmax((PATCH.neighbour >= 0).sum(axis=1)))


def engine(params: SurgeParams | None = None) -> PricingEngine:
    return PricingEngine(PATCH, params or SurgeParams())


def ask(
    pricing: PricingEngine, count: int, cell_index: int = MIDDLE, at_s: float = NOW_S, now_s: float = NOW_S
) -> None:
    for _ in range(count):
        pricing.handle(CountRequest(cell_index, at_s), now_s)


def requests_after(pricing: PricingEngine, now_s: float) -> float:
    [event] = pricing.handle(Tick(NOBODY), now_s)
    return float(event.requests[event.cell == PATCH.cell[MIDDLE]][0])


def test_demand_without_supply_raises_prices_where_it_is_most() -> None:
    pricing = engine()
    ask(pricing, 30)
    told = [pricing.handle(Tick(NOBODY), NOW_S) for _ in range(20)]
    [first] = told[0]
    assert isinstance(first, SurgeChanged)
    assert PATCH.cell[MIDDLE] in first.cell
    assert first.multiplier.max() == pytest.approx(1.1)
    assert (first.multiplier_before == 1.0).all()
    assert first.bounds[first.cell == PATCH.cell[MIDDLE]] & Bound.STEP
    assert pricing.multiplier[MIDDLE] > 1.2 * pricing.multiplier.mean()
    # Once there, nothing is told any more.
    assert told[-1] == []


def test_idle_drivers_bring_prices_below_the_base_and_not_below_the_floor() -> None:
    pricing = engine(SurgeParams(surge_floor=0.8))
    for _ in range(10):
        pricing.handle(Tick(NOBODY + 5.0), NOW_S)
    assert ((pricing.multiplier >= 0.8) & (pricing.multiplier <= 0.9)).all()


def test_drivers_next_door_are_supply_too() -> None:
    alone, helped = engine(), engine()
    next_door = NOBODY.copy()
    next_door[PATCH.neighbour[MIDDLE][0]] = 20.0
    for pricing, idle in ((alone, NOBODY), (helped, next_door)):
        ask(pricing, 12)
        for _ in range(20):
            pricing.handle(Tick(idle), NOW_S)
    assert helped.multiplier[MIDDLE] < alone.multiplier[MIDDLE]


def test_prices_return_to_one_when_demand_ends() -> None:
    pricing = engine()
    ask(pricing, 40)
    for tick in range(400):
        pricing.handle(Tick(NOBODY), NOW_S + 15.0 * tick)
    assert pricing.multiplier.tolist() == [1.0] * COUNT


def test_quotes_add_to_demand_but_are_no_evidence() -> None:
    only_quotes, both, only_requests = (engine(SurgeParams(surge_cap=8.0)) for _ in range(3))
    for pricing, requests, quotes in ((only_quotes, 0, 500), (both, 20, 100), (only_requests, 20, 0)):
        ask(pricing, requests)
        for _ in range(quotes):
            pricing.handle(CountQuote(MIDDLE, NOW_S), NOW_S)
        for _ in range(30):
            pricing.handle(Tick(NOBODY), NOW_S)
    assert only_quotes.multiplier.tolist() == [1.0] * COUNT
    assert both.multiplier[MIDDLE] > only_requests.multiplier[MIDDLE] > 1.0


def test_a_late_request_counts_with_its_age_as_if_it_had_come_in_time() -> None:
    in_time, late = engine(), engine()
    ask(in_time, 20, at_s=NOW_S, now_s=NOW_S)
    ask(late, 20, at_s=NOW_S, now_s=NOW_S + 20.0)
    kept = 20 * 0.5 ** (30.0 / SurgeParams().demand_half_life_s)
    assert requests_after(in_time, NOW_S + 30.0) == pytest.approx(kept)
    assert requests_after(late, NOW_S + 30.0) == pytest.approx(kept)


def test_a_request_from_the_future_counts_as_one_of_now() -> None:
    pricing = engine()
    ask(pricing, 20, at_s=NOW_S + 1e9)
    assert requests_after(pricing, NOW_S) == 20.0


def test_a_clock_that_steps_back_does_not_swell_demand() -> None:
    pricing = engine()
    ask(pricing, 20)
    assert requests_after(pricing, NOW_S - 3600.0) == 20.0


def test_a_new_engine_goes_on_from_the_prices_that_stand_within_all_bounds() -> None:
    pricing = engine(SurgeParams(surge_floor=0.9, surge_cap=3.0, neighbour_ratio_max=1.25))
    standing = np.full(COUNT, 1.5)
    standing[MIDDLE] = 9.0
    assert pricing.handle(AdoptPrices(standing), NOW_S) == []
    assert pricing.multiplier[MIDDLE] == pytest.approx(1.5 * 1.25)
    assert np.delete(pricing.multiplier, MIDDLE) == pytest.approx(1.5)
    pricing.handle(AdoptPrices(NOBODY + 0.1), NOW_S)
    assert pricing.multiplier == pytest.approx(0.9)


def test_an_engine_that_takes_over_tells_changes_from_the_prices_on_record_to_the_last_bit() -> None:
    """The next change began with the exponential of a logarithm, or with a faded price that nobody had told."""
    pricing = engine()
    standing = np.full(COUNT, 1.2345678901234567)
    recorded = standing.copy()
    standing[MIDDLE], recorded[MIDDLE] = 1.1, 1.3
    assert pricing.handle(AdoptPrices(standing, recorded), NOW_S) == []
    assert pricing.multiplier.tolist() == standing.tolist()
    [event] = pricing.handle(Tick(NOBODY), NOW_S + 15.0)
    before = dict(zip(event.cell.tolist(), event.multiplier_before.tolist(), strict=True))
    assert before == {cell: recorded[index] for index, cell in enumerate(PATCH.cell.tolist()) if cell in before}
    faded = dict(zip(event.cell.tolist(), (event.bounds & Bound.FADED).tolist(), strict=True))
    middle = int(PATCH.cell[MIDDLE])
    assert faded[middle]
    assert not any(value for cell, value in faded.items() if cell != middle)
    [next_event] = pricing.handle(Tick(NOBODY), NOW_S + 30.0)
    assert not (next_event.bounds & Bound.FADED).any()


def test_an_engine_restored_from_what_was_counted_goes_on_as_the_one_that_counted() -> None:
    lived, restored = engine(), engine()
    ask(lived, 40)
    lived.handle(CountQuote(MIDDLE, NOW_S), NOW_S)
    requests, quotes = NOBODY.copy(), NOBODY.copy()
    requests[MIDDLE], quotes[MIDDLE] = 40.0, 1.0
    ask(restored, 7, cell_index=0)
    restored.handle(Restore(requests, quotes, NOW_S), NOW_S)
    for tick in range(1, 10):
        for pricing in (lived, restored):
            pricing.handle(Tick(NOBODY), NOW_S + 15.0 * tick)
    assert restored.multiplier == pytest.approx(lived.multiplier, rel=1e-12)


def test_a_freeze_puts_every_price_to_one_at_once_and_keeps_it_there() -> None:
    pricing = engine()
    ask(pricing, 60)
    for _ in range(5):
        pricing.handle(Tick(NOBODY), NOW_S)
    moved = int((pricing.multiplier != 1.0).sum())
    [event] = pricing.handle(FreezePrices(), NOW_S)
    assert event.is_frozen
    assert len(event) == moved
    assert (event.multiplier == 1.0).all()
    assert pricing.handle(FreezePrices(), NOW_S) == []
    assert pricing.handle(Tick(NOBODY), NOW_S) == []
    assert pricing.multiplier.tolist() == [1.0] * COUNT


def test_after_a_freeze_prices_walk_from_one_by_steps() -> None:
    pricing = engine()
    ask(pricing, 60)
    pricing.handle(FreezePrices(), NOW_S)
    pricing.handle(UnfreezePrices(), NOW_S)
    [event] = pricing.handle(Tick(NOBODY), NOW_S)
    assert event.multiplier.max() == pytest.approx(1.1)


@pytest.mark.parametrize("idle", [[1, 2], [*[1.0] * (COUNT - 1), -1], [*[1.0] * (COUNT - 1), math.nan], 3])
def test_a_tick_with_anything_but_a_count_per_cell_is_refused(idle: object) -> None:
    with pytest.raises(ValueError, match="idle_per_cell must be 19 numbers"):
        engine().handle(Tick(idle), NOW_S)


@pytest.mark.parametrize("cell_index", [-1, COUNT])
def test_a_request_in_a_cell_that_does_not_exist_is_refused(cell_index: int) -> None:
    with pytest.raises(ValueError, match="cell_index must be 0 to 18"):
        engine().handle(CountRequest(cell_index, NOW_S), NOW_S)
