"""The vectorised engine comes to the same verdicts as the reference engine, ping by ping."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import PingColumns
from location_ingest.commands import RecordPings
from location_ingest.engine import IngestEngine
from location_ingest.events import PositionAccepted
from location_ingest.kernels import REASONS, index_entries
from location_ingest.model import DriverPing, IngestParams, PingGroup, Reason

NOW_S = 1_700_000_000.0

odd = st.sampled_from(
    [None, float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 2.9, 3.0, 30.0, 359.9, 361.0, 499.0, 501.0]
)
pings = st.builds(
    DriverPing,
    driver_id=st.sampled_from("ab"),
    t_s=st.one_of(
        st.floats(NOW_S - 400, NOW_S + 30), st.integers(-20, 20).map(lambda n: NOW_S + 20 * n), st.just(float("nan"))
    ),
    lat_deg=st.one_of(st.floats(40.7, 40.8), st.sampled_from([40.75, 40.7501, 41.2, 91.0, float("nan")])),
    lng_deg=st.sampled_from([-73.98, -73.9801, -73.5, -181.0, 179.9999, -179.9999, 179.6]),
    heading_deg=odd,
    speed_mps=odd,
    accuracy_m=odd,
)
groups = st.lists(
    st.builds(
        lambda received_s, found: PingGroup("manhattan", received_s, tuple(found)),
        st.integers(0, 8).map(lambda n: NOW_S + 250 * n),
        st.lists(pings, max_size=20),
    ),
    min_size=1,
    max_size=6,
)


def shifted(group: PingGroup) -> PingGroup:
    """The same with its pings near the time of receipt, so that they are not too old."""
    by_s = group.received_s - NOW_S
    return replace(group, pings=tuple(replace(ping, t_s=ping.t_s + by_s) for ping in group.pings))


def by_the_slow_twin(engine: IngestEngine, found: list[PingGroup], now_s: float) -> list[Reason | None]:
    events = [
        event
        for group in found
        for event in engine.handle(RecordPings(group.region_id, group.received_s, group.pings), now_s)
    ]
    return [None if isinstance(event, PositionAccepted) else event.reason for event in events]


def by_columns(engine: ColumnEngine, found: list[PingGroup], now_s: float) -> list[Reason | None]:
    verdict = engine.handle([PingColumns.of(group) for group in found], now_s).verdict
    return [REASONS[number - 1] if number else None for number in verdict.tolist()]


@given(groups, st.sampled_from([IngestParams(), IngestParams(quarantine_s=30.0, repeats_max=2, frozen_s_max=20.0)]))
def test_verdicts_equal_those_of_the_reference_engine(found: Any, params: Any) -> None:
    found = sorted(map(shifted, found), key=lambda group: group.received_s)
    assert by_columns(ColumnEngine(params), found, NOW_S + 1e4) == by_the_slow_twin(
        IngestEngine(params), found, NOW_S + 1e4
    )


@pytest.mark.parametrize("seed", range(5))
def test_long_drives_with_jumps_stops_and_silence_are_judged_alike(seed: int) -> None:
    rng = random.Random(seed)
    place, found, t_s = [40.75, -73.98], [], NOW_S
    for step in range(4_000):
        t_s += rng.choice([1.0, 4.0, 4.0, 4.0, 60.0, 1_000.0 if rng.random() < 0.02 else 4.0])
        if step // 50 % 2:
            place = [place[0] + rng.uniform(-2e-4, 2e-4), place[1] + rng.uniform(-2e-4, 2e-4)]
        if rng.random() < 0.02:
            place = [40.75 + rng.uniform(-0.5, 0.5), -73.98]
        speed_mps = rng.choice([None, 0.0, 5.0])
        ping = DriverPing(rng.choice("abc"), t_s + rng.choice([0.0, 0.0, -9.0]), *place, None, speed_mps, 10.0)
        found.append(PingGroup("manhattan", t_s + 1.0, (ping,)))
    expected = by_the_slow_twin(IngestEngine(), found, t_s + 10)
    assert by_columns(ColumnEngine(), found, t_s + 10) == expected
    assert {None, Reason.IMPOSSIBLE_JUMP, Reason.REPEATED_COORDINATES, Reason.OUT_OF_ORDER} <= set(expected)


@given(groups, groups)
def test_after_restore_the_same_pings_are_judged_alike_again(earlier: Any, later: Any) -> None:
    engine = ColumnEngine()
    by_columns(engine, earlier, NOW_S)
    first = engine.handle([PingColumns.of(group) for group in later], NOW_S)
    engine.restore(first)
    assert by_columns(engine, later, NOW_S) == [REASONS[n - 1] if n else None for n in first.verdict.tolist()]


def crowd(names: range, t_s: float) -> PingColumns:
    pings = tuple(DriverPing(f"d{n}", t_s, 40.75, -73.98) for n in names)
    return PingColumns.of(PingGroup("manhattan", t_s, pings))


def test_the_memory_is_bounded_and_the_longest_silent_are_forgotten_first() -> None:
    engine = ColumnEngine(IngestParams(drivers_max=3_000))
    for step in range(40):
        assert not engine.handle([crowd(range(500 * step, 500 * step + 500), NOW_S + step)], NOW_S + 100).verdict.any()
        assert len(engine) <= 3_000
    again = engine.handle([crowd(range(500 * 39, 500 * 40), NOW_S + 39)], NOW_S + 100)
    assert {REASONS[n - 1] for n in again.verdict.tolist()} == {Reason.DUPLICATE_TIME}


def test_tracks_too_old_to_affect_a_verdict_are_dropped() -> None:
    engine = ColumnEngine()
    for step in range(30):
        now_s = NOW_S + 2_000 * step
        engine.handle([crowd(range(1_000 * step, 1_000 * step + 1_000), now_s)], now_s)
    assert len(engine) <= 4_000


def test_regions_do_not_touch_one_another() -> None:
    engine = ColumnEngine()
    east = PingColumns.of(PingGroup("east", NOW_S, (DriverPing("d", NOW_S, 40.75, -73.98),)))
    west = PingColumns.of(PingGroup("west", NOW_S, east.pings))
    assert [engine.handle([group], NOW_S).verdict.tolist() for group in (east, west, east)] == [
        [0],
        [0],
        [1 + REASONS.index(Reason.DUPLICATE_TIME)],
    ]


def test_index_entries_name_the_cell_and_the_time() -> None:
    entries = index_entries(np.array([0x892A100D2C3FFFF], np.uint64), np.array([1_700_000_000_123]))
    assert entries.tobytes() == b"892a100d2c3ffff|1700000000123"
    assert index_entries(np.array([1], np.uint64), np.array([-5])).tobytes() == b"000000000000001|0000000000000"
