"""The ping gateway, with a scripted log and scripted cells."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from geo.arrays import FloatArray, IntArray
from location_ingest.columns import PingColumns
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import DriverPing, GatewayParams, Reason
from location_ingest.service import PingGateway
from tests.patience import PATIENCE_S, until

NOW_S = 1_700_000_000.0


class ScriptedLog:
    """Keeps the groups that it gets; fails or waits as a test sets it."""

    def __init__(self) -> None:
        self.groups: list[PingColumns] = []
        self.failure: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, group: PingColumns) -> None:
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.groups.append(group)


class ScriptedCells:
    """Answers with given last times; counts the calls, and fails as a test sets it."""

    def __init__(self, **last_t_s: float) -> None:
        self.last_t_s = last_t_s
        self.questions: list[Sequence[str]] = []
        self.failure: Exception | None = None

    async def last_times_s(self, region_id: str, driver_ids: Sequence[str]) -> dict[str, float]:
        self.questions.append(list(driver_ids))
        await asyncio.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        return {name: self.last_t_s[name] for name in driver_ids if name in self.last_t_s}


def east_or_west(lat_deg: FloatArray, lng_deg: FloatArray) -> IntArray:
    """Two regions with a border at 74 degrees west; the southern half of the world belongs to none."""
    return np.where(lat_deg < 0, -1, np.where(lng_deg < -74.0, 1, 0))


def make_ping(driver_id: str = "d", t_s: float = NOW_S, lat_deg: float = 40.75, lng_deg: float = -73.98) -> DriverPing:
    return DriverPing(driver_id, t_s, lat_deg, lng_deg)


def make_gateway(log: ScriptedLog, cells: ScriptedCells | None = None, **params: float) -> PingGateway:
    given = replace(GatewayParams(submit_s_max=PATIENCE_S, last_times_s_max=PATIENCE_S), **params)
    metrics = GatewayMetrics(CollectorRegistry())
    return PingGateway(log, cells or ScriptedCells(), ["east", "west"], east_or_west, metrics=metrics, params=given)


async def test_of_a_batch_with_bad_pings_the_good_ones_count_and_each_bad_one_is_named() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log, ScriptedCells(old=NOW_S))
    batch = [
        make_ping("good"),
        make_ping(lat_deg=float("nan")),
        make_ping(lat_deg=91.0),
        make_ping(t_s=NOW_S + 60),
        make_ping(t_s=NOW_S - 3_600),
        make_ping(lat_deg=-33.0),
        make_ping("old"),
        make_ping("old", NOW_S - 1),
        make_ping("good", NOW_S - 1),
    ]
    bad = (
        (1, Reason.NOT_FINITE, "lat_deg"),
        (2, Reason.OUT_OF_RANGE, "lat_deg"),
        (3, Reason.FROM_THE_FUTURE, "t_s"),
        (4, Reason.TOO_OLD, "t_s"),
        (5, Reason.OFF_REGION, "lat_deg,lng_deg"),
        (6, Reason.DUPLICATE_TIME, "t_s"),
        (7, Reason.OUT_OF_ORDER, "t_s"),
        (8, Reason.OUT_OF_ORDER, "t_s"),
    )
    assert await gateway.submit(batch, NOW_S) == (1, bad)
    assert [group.pings for group in log.groups] == [(make_ping("good"),)]
    assert gateway.pings_held == 0


async def test_a_batch_without_a_good_ping_is_refused_and_changes_nothing() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log)
    with pytest.raises(PingsRefused) as refused:
        await gateway.submit([replace(make_ping(), accuracy_m=-1.0), make_ping(t_s=NOW_S - 3_600)], NOW_S)
    assert refused.value.refusals == ((0, Reason.OUT_OF_RANGE, "accuracy_m"), (1, Reason.TOO_OLD, "t_s"))
    assert log.groups == []
    assert gateway.pings_held == 0
    assert await gateway.submit([make_ping()], NOW_S) == (1, ())


async def test_coarse_fixes_and_jumps_pass_the_gateway() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log)
    coarse = replace(make_ping("coarse"), accuracy_m=5_000.0)
    await gateway.submit([coarse, make_ping("d", NOW_S - 1), make_ping("d", NOW_S, 48.0)], NOW_S)
    assert len(log.groups[0].pings) == 3


async def test_pings_of_many_phones_travel_in_one_group_for_each_region() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log)
    batches = [[make_ping(f"e{n}"), make_ping(f"w{n}", lng_deg=-75.0)] for n in range(20)]
    await asyncio.gather(*[gateway.submit(batch, NOW_S) for batch in batches])
    assert sorted((group.region_id, len(group.pings)) for group in log.groups) == [("east", 20), ("west", 20)]


async def test_a_full_group_does_not_wait_and_none_is_larger() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log, flush_pings_max=10, group_pings_max=10, group_wait_s=3_600.0)
    await gateway.submit([make_ping(str(n)) for n in range(25)], NOW_S)
    assert [len(group.pings) for group in log.groups] == [10, 10, 5]


async def test_an_empty_batch_is_taken_at_once() -> None:
    log = ScriptedLog()
    await make_gateway(log).submit([], NOW_S)
    assert log.groups == []


async def test_what_was_acknowledged_is_not_taken_twice_and_what_was_not_is() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log)
    log.failure = ConnectionError("away")
    with pytest.raises(PingLogUnavailable):
        await gateway.submit([make_ping()], NOW_S)
    log.failure = None
    await gateway.submit([make_ping()], NOW_S)
    with pytest.raises(PingsRefused):
        await gateway.submit([make_ping()], NOW_S)
    assert len(log.groups) == 1


async def test_a_slow_broker_costs_bounded_time_and_memory() -> None:
    log = ScriptedLog()
    log.open.clear()
    gateway = make_gateway(log, submit_s_max=0.2, held_pings_max=100, group_pings_max=10)
    batches = [[make_ping(f"{b}-{n}") for n in range(30)] for b in range(10)]
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*[gateway.submit(batch, NOW_S) for batch in batches], return_exceptions=True)
    assert all(isinstance(answer, PingLogUnavailable) for answer in answers)
    assert gateway.pings_held == 90
    log.open.set()
    await until(lambda: gateway.pings_held == 0)


async def test_a_cancelled_submit_does_not_affect_other_phones() -> None:
    log = ScriptedLog()
    gateway = make_gateway(log, group_wait_s=0.2)
    gone = asyncio.create_task(gateway.submit([make_ping("gone")], NOW_S))
    stays = asyncio.create_task(gateway.submit([make_ping("stays")], NOW_S))
    await asyncio.sleep(0.1)
    gone.cancel()
    await stays
    assert {ping.driver_id for ping in log.groups[0].pings} == {"gone", "stays"}


async def test_the_store_is_asked_once_for_each_driver_and_pings_go_on_without_it() -> None:
    log, cells = ScriptedLog(), ScriptedCells(d=NOW_S - 5)
    gateway = make_gateway(log, cells)
    await gateway.submit([make_ping()], NOW_S)
    await gateway.submit([make_ping(t_s=NOW_S + 1)], NOW_S + 1)
    assert cells.questions == [["d"]]
    cells.failure = ConnectionError("away")
    await gateway.submit([make_ping("new")], NOW_S)


async def test_many_new_drivers_at_once_cost_a_few_store_requests() -> None:
    cells = ScriptedCells(**{f"d{n}": NOW_S for n in range(0, 300, 2)})
    gateway = make_gateway(ScriptedLog(), cells)
    sent = [gateway.submit([make_ping(f"d{n}")], NOW_S) for n in range(300)]
    answers = await asyncio.gather(*sent, return_exceptions=True)
    assert [isinstance(answer, PingsRefused) for answer in answers] == [n % 2 == 0 for n in range(300)]
    assert len(cells.questions) <= 2


async def test_a_stored_time_in_the_future_locks_no_driver_out() -> None:
    log = ScriptedLog()
    await make_gateway(log, ScriptedCells(d=NOW_S + 86_400)).submit([make_ping()], NOW_S)
    assert len(log.groups) == 1


async def test_the_memory_of_last_times_is_bounded() -> None:
    gateway = make_gateway(ScriptedLog(), drivers_max=5)
    for number in range(20):
        await gateway.submit([make_ping(str(number))], NOW_S)
    assert len(gateway._last_t_ms) == 5


async def test_closing_gives_up_on_a_broker_that_is_away() -> None:
    log = ScriptedLog()
    log.open.clear()
    gateway = make_gateway(log, submit_s_max=0.2)
    waiting = asyncio.create_task(gateway.submit([make_ping()], NOW_S))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE_S):
        await gateway.close()
    with pytest.raises(PingLogUnavailable):
        await waiting
    assert gateway.pings_held == 0
