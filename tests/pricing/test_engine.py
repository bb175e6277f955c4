from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing import engine as engine_module
from pricing.commands import AdoptPrices, CountRequest, MarkDriverBusy, MarkDriverFree, RideCommand, Tick
from pricing.engine import BUSY_S_MAX, PricingEngine
from pricing.events import SurgeChanged
from pricing.model import SurgeParams

CELLS = np.array([0x882A100D61FFFFF, 0x882A100D63FFFFF, 0x882A100D65FFFFF], dtype=np.uint64)
NOW_S = 1_400_000_000.0


def engine(params: SurgeParams | None = None) -> PricingEngine:
    return PricingEngine(CELLS, params or SurgeParams())


def ask(
    pricing: PricingEngine, count: int, cell_index: int = 0, at_s: float = NOW_S, now_s: float = NOW_S, tag: str = "r"
) -> None:
    for number in range(count):
        pricing.handle(CountRequest(f"{tag}{number}", 1, cell_index, at_s), now_s)


def test_demand_without_supply_raises_the_price_of_its_cell_only() -> None:
    pricing = engine()
    ask(pricing, 12, cell_index=1)
    [event] = pricing.handle(Tick([5, 1, 0]), NOW_S)
    assert isinstance(event, SurgeChanged)
    assert event.cell == int(CELLS[1])
    assert event.multiplier_before == 1.0
    assert event.multiplier == pytest.approx(1.1)
    assert (event.requests, event.idle_drivers, event.at_s) == (12.0, 1.0, NOW_S)
    assert pricing.multiplier == pytest.approx([1.0, 1.1, 1.0])


def test_only_what_moves_is_told() -> None:
    pricing = engine(SurgeParams(demand_half_life_s=1e9))
    ask(pricing, 9)
    told = [len(pricing.handle(Tick([4, 0, 0]), NOW_S + 15.0 * tick)) for tick in range(10)]
    assert told == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert pricing.multiplier[0] == pytest.approx(1.1**4)


def test_prices_return_to_one_when_demand_ends() -> None:
    pricing = engine()
    ask(pricing, 40)
    for tick in range(400):
        pricing.handle(Tick([0, 0, 0]), NOW_S + 15.0 * tick)
    assert pricing.multiplier.tolist() == [1.0, 1.0, 1.0]


def test_a_repeated_request_changes_nothing() -> None:
    once, twice = engine(), engine()
    for pricing, times in ((once, 1), (twice, 3)):
        for _ in range(times):
            ask(pricing, 8)
    assert once.handle(Tick([1, 1, 1]), NOW_S) == twice.handle(Tick([1, 1, 1]), NOW_S)


def test_a_late_request_counts_with_its_age_as_if_it_had_come_in_time() -> None:
    in_time, late = engine(), engine()
    ask(in_time, 20, at_s=NOW_S, now_s=NOW_S)
    in_time.handle(Tick([9, 9, 9]), NOW_S + 15.0)
    late.handle(Tick([9, 9, 9]), NOW_S + 15.0)
    ask(late, 20, at_s=NOW_S, now_s=NOW_S + 20.0)
    [on_time] = in_time.handle(Tick([1, 1, 1]), NOW_S + 30.0)
    [belated] = late.handle(Tick([1, 1, 1]), NOW_S + 30.0)
    assert on_time.requests == pytest.approx(20 * 0.5 ** (30.0 / 300.0))
    assert belated.requests == pytest.approx(on_time.requests)


def test_a_request_from_the_future_counts_as_one_of_now() -> None:
    pricing = engine()
    ask(pricing, 20, at_s=NOW_S + 1e9)
    [event] = pricing.handle(Tick([1, 1, 1]), NOW_S)
    assert event.requests == 20.0


def test_a_clock_that_steps_back_does_not_swell_demand() -> None:
    pricing = engine()
    ask(pricing, 20)
    [event] = pricing.handle(Tick([1, 1, 1]), NOW_S - 3600.0)
    assert event.requests == 20.0


def test_a_driver_is_busy_from_the_acceptance_to_the_end_of_the_ride() -> None:
    pricing = engine()
    pricing.handle(MarkDriverBusy("ride", 3, "driver", NOW_S), NOW_S)
    assert pricing.busy_drivers == {"driver"}
    pricing.handle(MarkDriverFree("ride", 6, NOW_S + 600.0), NOW_S + 600.0)
    assert pricing.busy_drivers == frozenset()


def test_a_redelivered_acceptance_does_not_take_the_driver_again() -> None:
    pricing = engine()
    accepted = MarkDriverBusy("ride", 3, "driver", NOW_S)
    for command in (accepted, MarkDriverFree("ride", 6, NOW_S), accepted):
        pricing.handle(command, NOW_S)
    assert pricing.busy_drivers == frozenset()


def test_a_ride_given_back_frees_its_driver_and_the_next_one_is_busy() -> None:
    pricing = engine()
    pricing.handle(MarkDriverBusy("ride", 3, "first", NOW_S), NOW_S)
    pricing.handle(MarkDriverFree("ride", 4, NOW_S), NOW_S)
    pricing.handle(MarkDriverBusy("ride", 6, "second", NOW_S), NOW_S)
    assert pricing.busy_drivers == {"second"}


def test_a_ride_whose_end_was_missed_does_not_keep_its_driver_for_ever() -> None:
    pricing = engine()
    pricing.handle(MarkDriverBusy("ride", 3, "driver", NOW_S), NOW_S)
    pricing.handle(Tick([0, 0, 0]), NOW_S + BUSY_S_MAX)
    assert pricing.busy_drivers == {"driver"}
    pricing.handle(Tick([0, 0, 0]), NOW_S + BUSY_S_MAX + 1.0)
    assert pricing.busy_drivers == frozenset()


def test_memory_is_bounded_and_the_oldest_rides_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "RIDES_REMEMBERED_MAX", 50)
    monkeypatch.setattr(engine_module, "BUSY_RIDES_MAX", 20)
    pricing = engine()
    for number in range(200):
        pricing.handle(MarkDriverBusy(f"ride{number}", 1, f"driver{number}", NOW_S), NOW_S)
    assert list(pricing._last_sequence) == [f"ride{number}" for number in range(150, 200)]
    assert pricing.busy_drivers == {f"driver{number}" for number in range(180, 200)}


def test_a_new_engine_goes_on_from_the_prices_that_stand_within_floor_and_cap() -> None:
    pricing = engine(SurgeParams(surge_floor=0.9, surge_cap=3.0))
    assert pricing.handle(AdoptPrices([2.0, 9.0, 0.1]), NOW_S) == []
    assert pricing.multiplier == pytest.approx([2.0, 3.0, 0.9])
    events = pricing.handle(Tick([0, 0, 0]), NOW_S)
    assert [event.multiplier for event in events] == pytest.approx([2.0 / 1.1, 3.0 / 1.1, 0.9 * 1.1])


@pytest.mark.parametrize("idle", [[1, 2], [1, 2, -1], [1, 2, math.nan], 3])
def test_a_tick_with_anything_but_a_count_per_cell_is_refused(idle: object) -> None:
    with pytest.raises(ValueError, match="idle_per_cell must be 3 numbers"):
        engine().handle(Tick(idle), NOW_S)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell_index", [-1, 3])
def test_a_request_in_a_cell_that_does_not_exist_is_refused_and_leaves_no_trace(cell_index: int) -> None:
    pricing = engine()
    with pytest.raises(ValueError, match="cell_index must be 0 to 2"):
        pricing.handle(CountRequest("ride", 1, cell_index, NOW_S), NOW_S)
    assert not pricing._last_sequence


rides = st.sampled_from(["a", "b", "c"])
drivers = st.sampled_from(["x", "y"])
moments = st.floats(NOW_S - 1_000.0, NOW_S + 10.0)


@st.composite
def histories(draw: st.DrawFn) -> list[RideCommand]:
    """Commands of three rides, each ride's in the order of its sequences."""
    sequence: dict[str, int] = {}
    history: list[RideCommand] = []
    for ride_id in draw(st.lists(rides, max_size=25)):
        sequence[ride_id] = sequence.get(ride_id, 0) + draw(st.integers(1, 3))
        number, at_s = sequence[ride_id], draw(moments)
        history.append(
            draw(
                st.one_of(
                    st.builds(CountRequest, st.just(ride_id), st.just(number), st.integers(0, 2), st.just(at_s)),
                    st.builds(MarkDriverBusy, st.just(ride_id), st.just(number), drivers, st.just(at_s)),
                    st.builds(MarkDriverFree, st.just(ride_id), st.just(number), st.just(at_s)),
                )
            )
        )
    return history


@settings(max_examples=200)
@given(histories(), st.data())
def test_rewinding_the_stream_at_any_points_changes_nothing(history: list[RideCommand], data: st.DataObject) -> None:
    plain, rewound = engine(), engine()
    for command in history:
        plain.handle(command, NOW_S)
    for end in range(1, len(history) + 1):
        start = data.draw(st.integers(0, end - 1))
        for command in history[start:end]:
            rewound.handle(command, NOW_S)
    assert plain.busy_drivers == rewound.busy_drivers
    assert plain._requests == pytest.approx(rewound._requests, rel=1e-12)
    assert plain._last_sequence == rewound._last_sequence
