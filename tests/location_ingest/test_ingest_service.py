"""The ingestion worker's service, with cells and dead letters that fail on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from geo.cells import resolution_of
from location_ingest.adapters.ping_codec import MessagePackPings, decode_columns, encode_columns, encode_letter
from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import PingColumns, PositionColumns
from location_ingest.errors import UndecodableMessage
from location_ingest.metrics import IngestMetrics
from location_ingest.model import DeadLetter, DriverPing, PingGroup, RawMessage, Reason, StoreParams, UnbelievedPing
from location_ingest.service import IngestService
from location_ingest.service.ingest import unbelieved

NOW_S = 1_700_000_000.0


class ScriptedCells:
    def __init__(self) -> None:
        self.puts: list[tuple[str, PositionColumns]] = []
        self.rejected: Counter[Reason] = Counter()
        self.sweeps: list[tuple[str, float, float]] = []
        self.failures: list[Exception] = []

    async def put(self, region_id: str, positions: PositionColumns, rejected: Mapping[Reason, int]) -> int:
        if self.failures:
            raise self.failures.pop()
        self.puts.append((region_id, positions))
        self.rejected.update(rejected)
        return len(positions) + len(positions.earlier_place)

    async def sweep(self, region_id: str, *, before_s: float, after_s: float) -> int:
        self.sweeps.append((region_id, before_s, after_s))
        return 1


class KeptLetters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def append(self, letter: DeadLetter) -> None:
        self.letters.append(letter)


def make_service(cells: ScriptedCells, letters: KeptLetters | None = None, **params: float) -> IngestService:
    return IngestService(
        ColumnEngine(),
        MessagePackPings(),
        cells,
        letters or KeptLetters(),
        resolution_of_region={"east": 9, "west": 8},
        metrics=IngestMetrics(CollectorRegistry()),
        params=StoreParams(**params),
    )


def make_ping(driver_id: str, t_s: float = NOW_S) -> DriverPing:
    return DriverPing(driver_id, t_s, 40.75, -73.98)


def message(*pings: DriverPing, region_id: str = "east", offset: int = 0, received_s: float = NOW_S) -> RawMessage:
    return RawMessage(0, offset, encode_columns(PingColumns.of(PingGroup(region_id, received_s, pings))))


async def test_each_region_is_stored_in_one_call_at_its_own_resolution() -> None:
    cells = ScriptedCells()
    messages = [message(make_ping("a")), message(make_ping("b"), region_id="west"), message(make_ping("c"))]
    await make_service(cells).process(messages, NOW_S)
    assert [(region_id, positions.driver_ids) for region_id, positions in cells.puts] == [
        ("east", ["a", "c"]),
        ("west", ["b"]),
    ]
    assert [resolution_of(positions.cell[0]) for _, positions in cells.puts] == [9, 8]
    assert cells.puts[0][1].packed["heading_cdeg"].tolist() == [0xFFFF, 0xFFFF]


async def test_a_large_batch_is_stored_in_bounded_calls() -> None:
    cells = ScriptedCells()
    await make_service(cells).process([message(*[make_ping(f"{m}-{n}") for n in range(999)]) for m in range(3)], NOW_S)
    assert [len(positions) for _, positions in cells.puts] == [1_000, 1_000, 997]


async def test_of_several_pings_of_a_driver_the_newest_is_stored_and_the_others_count() -> None:
    cells = ScriptedCells()
    service = make_service(cells, batch_positions_max=2)
    names = [*"abcd", *"dcb", "d"]
    drive = [DriverPing(name, NOW_S + n, 40.75 + (ord(name) - 97) / 100, -73.98) for n, name in enumerate(names)]
    await service.process([message(*drive, received_s=NOW_S + 9)], NOW_S + 9)
    stored = {d: t for _, part in cells.puts for d, t in zip(part.driver_ids, part.packed["t_ms"] / 1e3, strict=True)}
    assert stored == {"a": NOW_S, "b": NOW_S + 6, "c": NOW_S + 5, "d": NOW_S + 7}
    earlier = [
        (part.driver_ids[place], t_ms / 1e3)
        for _, part in cells.puts
        for place, t_ms in zip(part.earlier_place.tolist(), part.earlier_t_ms.tolist(), strict=True)
    ]
    assert sorted(earlier) == [("b", NOW_S + 1), ("c", NOW_S + 2), ("d", NOW_S + 3), ("d", NOW_S + 4)]
    assert all((np.diff(part.cell.astype(np.int64)) >= 0).all() for _, part in cells.puts)


async def test_rejections_are_counted_by_reason_and_replays_are_not() -> None:
    cells = ScriptedCells()
    service = make_service(cells)
    batch = [message(make_ping("a"), make_ping("a"), make_ping("b", NOW_S - 9_999))]
    await service.process(batch, NOW_S)
    assert cells.rejected == {Reason.TOO_OLD: 1}
    await service.process([message(make_ping("a"))], NOW_S)
    assert len(cells.puts) == 1


async def test_a_batch_that_could_not_be_stored_is_stored_by_the_next_try() -> None:
    cells, letters = ScriptedCells(), KeptLetters()
    cells.failures = [ConnectionError("away"), AttributeError("leaked")]
    service = make_service(cells, letters)
    batch = [message(make_ping("a"), make_ping("b")), RawMessage(1, 7, b"garbage")]
    for failure in (AttributeError, ConnectionError):
        with pytest.raises(failure):
            await service.process(batch, NOW_S)
    await service.process(batch, NOW_S)
    assert cells.puts[0][1].driver_ids == ["a", "b"]
    assert [letter.message for letter in letters.letters] == [batch[1]]


async def test_a_message_of_an_unknown_region_is_a_dead_letter() -> None:
    cells, letters = ScriptedCells(), KeptLetters()
    lost = message(make_ping("a"), region_id="atlantis")
    await make_service(cells, letters).process([lost], NOW_S)
    assert letters.letters == [DeadLetter("unknown region 'atlantis'", lost)]
    assert cells.puts == []


async def test_the_sweep_removes_stale_positions_and_those_in_the_future() -> None:
    cells = ScriptedCells()
    assert await make_service(cells, remove_after_s=60.0).sweep(NOW_S) == 2
    assert cells.sweeps == [("east", NOW_S - 60, NOW_S + 10), ("west", NOW_S - 60, NOW_S + 10)]


@given(st.binary())
def test_bytes_are_a_group_or_undecodable_and_nothing_else(value: Any) -> None:
    with suppress(UndecodableMessage):
        assert decode_columns(value).region_id


optional = st.one_of(st.none(), st.floats(allow_nan=False))


@given(
    st.lists(
        st.builds(
            DriverPing,
            st.text(min_size=1, max_size=64),
            st.floats(allow_nan=False),
            st.floats(allow_nan=False),
            st.floats(allow_nan=False),
            optional,
            optional,
            optional,
        ),
        max_size=20,
    )
)
def test_a_group_survives_the_wire(pings: Any) -> None:
    group = PingGroup("manhattan", NOW_S, tuple(pings))
    decoded = decode_columns(encode_columns(PingColumns.of(group)))
    assert PingGroup(decoded.region_id, decoded.received_s, decoded.pings) == group


def test_a_huge_message_fits_into_a_letter() -> None:
    assert len(encode_letter(DeadLetter("too large", RawMessage(0, 0, b"x" * 5_000_000)))) < 900_000


def test_the_newest_ping_of_a_driver_is_told_if_it_was_not_believed_for_a_reason_of_the_worker() -> None:
    pings = (
        DriverPing("parked", NOW_S, 40.75, -73.98),
        DriverPing("jumped", NOW_S, 40.75, -73.98),
        DriverPing("jumped", NOW_S + 4, 41.75, -73.98),
        DriverPing("back", NOW_S, 40.75, -73.98),
        DriverPing("back", NOW_S + 4, 41.75, -73.98),
        DriverPing("back", NOW_S + 8, 40.75, -73.98),
        DriverPing("coarse", NOW_S, 40.75, -73.98, accuracy_m=5_000.0),
        DriverPing("coarse", NOW_S - 900, 40.75, -73.98),
    )
    verdicts = ColumnEngine().handle([PingColumns.of(PingGroup("north", NOW_S + 8, pings))], NOW_S + 8)
    assert unbelieved(verdicts) == [
        UnbelievedPing("jumped", Reason.IMPOSSIBLE_JUMP, NOW_S + 4),
        UnbelievedPing("coarse", Reason.TOO_COARSE, NOW_S),
    ]
