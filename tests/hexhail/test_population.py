"""The population against a small city behind real HTTP and WebSocket edges."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo.roads.graph import RoadGraph
from hexhail.demo.population import PopulationFigures, PopulationReport, PopulationSettings, run, run_population
from hexhail.demo.population.context import PopulationContext
from kernel.clock import CityClock
from simulator.demand.requests import Requests
from simulator.model import DriverParams, RiderParams
from tests.hexhail import stub_city
from tests.patience import PATIENCE_S, until

SPEED = 80.0
START_S = 1_000_000.0
N_RIDERS = 12
N_DRIVERS = 8
SIDE = 5
STEP_DEG = 0.0009
REGION = """
[region]
region_id = "town"
name = "Town"
timezone = "UTC"
currency = "USD"
search_resolution = 8
surge_resolution = 8
off_road_m_max = 200.0
attribution = "nobody"
"""
WILLING = DriverParams(
    acceptance_share=1.0, far_acceptance_share=1.0, silence_share=0.0, cancel_share=0.0, break_share=0.0,
    dark_share=0.0, thinking_s_mean=2.0, boarding_s=10.0, alighting_s=5.0,
)  # fmt: skip
MOODY = replace(
    WILLING, acceptance_share=0.7, far_acceptance_share=0.7, silence_share=0.1, cancel_share=0.2, break_share=0.05,
    dark_share=0.05, stay_s_mean=20.0, break_s_mean=20.0, dark_s_mean=20.0,
)  # fmt: skip
EAGER = RiderParams(
    acceptance_share=1.0, price_elasticity=0.0, change_of_mind_share=0.0, patience_s_median=1e5, patience_s_min=1e5,
    decision_s_mean=2.0,
)  # fmt: skip


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five by five corners, 100 m and 10 s apart, and a dozen people who want a ride within a minute."""
    folder = tmp_path_factory.mktemp("town")
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    steps = np.abs(np.subtract.outer(row, row)) + np.abs(np.subtract.outer(column, column))
    source, target = np.nonzero(steps == 1)
    size = len(source)
    RoadGraph.from_arrays(
        row * STEP_DEG, column * STEP_DEG, source, target, np.full(size, 100.0), np.full(size, 10.0)
    ).save(folder)
    generator = np.random.default_rng(5)
    pickup, dropoff = generator.permuted(np.tile(np.arange(SIDE), (N_RIDERS, 2, 1)), axis=2)[:, :, :2].swapaxes(0, 1)
    Requests(
        START_S + np.linspace(10.0, 70.0, N_RIDERS), pickup * STEP_DEG, dropoff * STEP_DEG,
        np.ones(N_RIDERS, np.uint8),
    ).save(folder)  # fmt: skip
    (folder / "city.toml").write_text(REGION)
    return folder


@pytest.fixture(autouse=True)
def _figures_are_written_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "FIGURES_WALL_S", 0.05)


@pytest.fixture
def clock() -> CityClock:
    return CityClock(SPEED, START_S, time.time())


@pytest.fixture
def settings(town: Any, clock: Any, tmp_path: Path) -> PopulationSettings:
    return PopulationSettings(
        api_url="", token_of=stub_city.token_of, city_folder=town, clock=clock, n_drivers=N_DRIVERS, start_s=START_S,
        rider_params=EAGER, driver_params=WILLING, figures_path=tmp_path / "figures.json",
    )  # fmt: skip


class Living:
    """A population at work, and what it has counted so far."""

    def __init__(self, settings: PopulationSettings, stub: Any) -> None:
        self.stop = asyncio.Event()
        self.settings = replace(settings, api_url=stub.url)
        self.stub = stub
        self.task = asyncio.create_task(run_population(self.settings, self.stop))

    async def until(self, reached: Callable[[], object]) -> None:
        def has_ended_or_reached() -> object:
            if self.task.done():
                self.task.result()
            return reached()

        await until(has_ended_or_reached)

    def counted(self) -> dict[str, Any]:
        """The figures as they are written while it lives; none before the first time."""
        path = self.settings.figures_path
        figures: dict[str, Any] = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        return figures

    def all_over(self) -> bool:
        """Whether every ride has ended and every rider knows."""
        rides = self.stub.rides.values()
        if len(rides) < N_RIDERS or not all(ride["state"] in stub_city.OVER for ride in rides):
            return False
        figures = self.counted()
        return bool(figures) and figures["completed"] + figures["cancelled_by_rider"] == N_RIDERS

    async def end(self) -> PopulationReport:
        self.stop.set()
        async with asyncio.timeout(PATIENCE_S):
            return await self.task


@contextlib.asynccontextmanager
async def living(settings: Any, stub: Any) -> AsyncIterator[Any]:
    people = Living(settings, stub)
    try:
        yield people
    finally:
        people.task.cancel()
        await asyncio.gather(people.task, return_exceptions=True)


async def test_every_rider_is_carried_and_counted(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock)
    async with stub.serving(), living(settings, stub) as people:
        await people.until(people.all_over)
        report = await people.end()
        assert stub.sockets == {}
    figures = report.figures
    assert [figures.riders_appeared, figures.quotes, figures.requests, figures.completed] == [N_RIDERS] * 4
    assert figures.accepted == figures.offers - figures.accepted_in_vain
    assert len(figures.pickup_waits_s) == N_RIDERS
    assert min(figures.pickup_waits_s) > 0.0
    assert (figures.failures, figures.http_errors, figures.frame_errors, report.riders_open) == (0, {}, {}, {})
    assert sum(report.drivers.values()) == N_DRIVERS
    written = json.loads(settings.figures_path.read_text())
    assert written["completed"] == N_RIDERS
    assert written["pickup_wait_s"]["mean"] > 0.0


async def test_no_ride_is_lost_or_doubled_when_the_api_dies_and_comes_back(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock)
    async with living(settings, stub) as people:
        async with stub.serving():
            await people.until(lambda: any(ride["state"] == "ON_TRIP" for ride in stub.rides.values()))
        await people.until(lambda: people.counted()["http_errors"] and people.counted()["stream_errors"])
        stub.online.clear()
        async with stub.serving():
            await people.until(people.all_over)
            await people.until(lambda: people.counted()["reconnects"] >= N_DRIVERS and len(stub.online) == N_DRIVERS)
            report = await people.end()
    assert Counter(ride["state"] for ride in stub.rides.values()) == {"COMPLETED": N_RIDERS}
    assert len({ride["rider_id"] for ride in stub.rides.values()}) == N_RIDERS
    assert (report.figures.completed, report.figures.failures) == (N_RIDERS, 0)
    assert report.figures.reconnects >= N_DRIVERS
    assert report.figures.stream_errors
    assert report.figures.http_errors
    assert len(stub.online) == N_DRIVERS


async def test_every_lost_reply_is_asked_for_again_and_takes_effect_once(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock, loses_first_replies=True)
    async with stub.serving(), living(settings, stub) as people:
        await people.until(people.all_over)
        await people.until(lambda: stub.asked["dropped-off"] == 2 * N_RIDERS)
        report = await people.end()
    assert len(stub.rides) == N_RIDERS
    assert [stub.asked[path] for path in ("rides", "arrived", "picked-up", "dropped-off")] == [2 * N_RIDERS] * 4
    assert (report.figures.completed, report.figures.failures) == (N_RIDERS, 0)
    assert report.figures.http_errors["503"] == len(stub.replies_lost)


async def test_cancellations_and_unexpected_events_break_nothing(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock)
    stub.offer_s = 80.0  # a wall second, for some drivers do not answer
    for number in range(N_DRIVERS):
        driver = f"driver:driver-{number:04d}"
        stub.tell(driver, "SomethingNew", ride_id="ride-x")
        stub.tell(driver, "OfferSent", offer_id="half an offer")
        stub.tell(driver, "OfferExpired", offer_id="never-seen", ride_id="ride-x")
        stub.tell(driver, "RideCancelled", ride_id="ride-x", by="rider")
        stub.tell(driver, "OfferAccepted", ride_id="ride-x", offer_id="never-seen")
    async with stub.serving(), living(replace(settings, driver_params=MOODY), stub) as people:
        await people.until(people.all_over)
        report = await people.end()
    figures = report.figures
    assert (figures.completed, figures.failures) == (N_RIDERS, 0)
    assert figures.declined + figures.silent + figures.cancelled_by_driver > 0


async def test_riders_without_a_socket_poll(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock)
    async with stub.serving(), living(replace(settings, rider_sockets_max=0), stub) as people:
        await people.until(people.all_over)
        assert not any(person.startswith("rider") for person in stub.sockets)
        report = await people.end()
    assert report.figures.completed == N_RIDERS
    assert len(report.figures.pickup_waits_s) == N_RIDERS


async def test_riders_give_up_where_there_is_no_driver_though_their_alarms_ring_early(
    settings: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = PopulationContext.wall_until_s
    monkeypatch.setattr(PopulationContext, "wall_until_s", lambda self, city_s: 0.9 * exact(self, city_s))
    hasty = replace(EAGER, patience_s_median=5.0, patience_s_min=5.0)
    stub = stub_city.StubCity(clock)
    async with stub.serving(), living(replace(settings, n_drivers=0, rider_params=hasty), stub) as people:
        await people.until(people.all_over)
        report = await people.end()
    assert report.figures.cancelled_by_rider == N_RIDERS
    assert {ride["cancelled_by"] for ride in stub.rides.values()} == {"rider"}


async def test_a_quote_that_ran_out_is_asked_for_anew_but_not_for_ever(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock)
    stub.quote_s = -1.0
    async with stub.serving(), living(replace(settings, n_drivers=0), stub) as people:
        await people.until(lambda: stub.asked["quotes"] == 3 * N_RIDERS and stub.asked["rides"] == 3 * N_RIDERS)
        report = await people.end()
    assert (report.figures.requests, report.figures.requests_refused) == (0, N_RIDERS)


async def test_riders_who_reject_the_price_send_nothing_more(settings: Any, clock: Any) -> None:
    thrifty = replace(EAGER, price_elasticity=50.0)
    stub = stub_city.StubCity(clock, surge_multiplier=3.0)
    async with stub.serving(), living(replace(settings, n_drivers=0, rider_params=thrifty), stub) as people:
        await people.until(lambda: people.counted().get("left_for_price") == N_RIDERS)
        report = await people.end()
    assert (report.figures.left_for_price, stub.rides, report.riders_open) == (N_RIDERS, {}, {})


@pytest.fixture
def old_ride() -> Any:
    """A ride of the first driver that this population has never heard of."""
    point, other = ({"lat_deg": at * STEP_DEG, "lng_deg": at * STEP_DEG} for at in (0, SIDE - 1))
    return {
        "ride_id": "ride-old", "state": "ASSIGNED", "rider_id": "rider-old", "driver_id": "driver-0000",
        "pickup": point, "dropoff": other, "pickup_eta_s": 5.0,
    }  # fmt: skip


def stub_with(ride: Any, clock: Any) -> Any:
    stub = stub_city.StubCity(clock)
    stub.rides["ride-old"] = ride
    stub.tell("driver:driver-0000", "OfferAccepted", ride_id="ride-old", offer_id="offer-old")
    return stub


async def test_takes_up_a_ride_it_did_not_know_it_had_at_the_stage_it_is_at(
    settings: Any, clock: Any, old_ride: Any
) -> None:
    stub = stub_with(old_ride | {"state": "ARRIVED"}, clock)
    async with stub.serving(), living(replace(settings, n_drivers=1, demand_share=0.0), stub) as people:
        await people.until(lambda: stub.rides["ride-old"]["state"] == "COMPLETED")
        report = await people.end()
    assert (report.figures.failures, report.figures.riders_appeared) == (0, 0)
    assert stub.asked["arrived"] == 0


async def test_a_driver_repeats_reports_that_the_service_did_not_receive(
    settings: Any, clock: Any, old_ride: Any
) -> None:
    stub = stub_with(old_ride, clock)
    async with stub.serving(), living(replace(settings, n_drivers=1, demand_share=0.0), stub) as people:
        await people.until(lambda: stub.rides["ride-old"]["state"] == "ON_TRIP")
        stub.rides["ride-old"]["state"] = "ASSIGNED"
        await people.until(lambda: stub.rides["ride-old"]["state"] == "COMPLETED")
        await people.end()
    assert [stub.asked[step] for step in ("arrived", "picked-up", "dropped-off")] == [2, 2, 2]


async def test_a_driver_whose_ride_was_cancelled_meanwhile_learns_it_after_the_reconnection(
    settings: Any, clock: Any, old_ride: Any
) -> None:
    stub = stub_with(old_ride, clock)
    slow = replace(WILLING, pace=100.0)
    async with living(replace(settings, n_drivers=1, demand_share=0.0, driver_params=slow), stub) as people:
        async with stub.serving():
            await people.until(lambda: stub.asked["ride-old"] >= 1)
        stub.rides["ride-old"]["state"] = "CANCELLED"
        async with stub.serving():
            await people.until(lambda: stub.asked["ride-old"] >= 2)
            report = await people.end()
    assert report.figures.rides_gone == 1
    assert "TO_PICKUP" not in report.drivers


async def test_stops_at_once_while_the_api_is_away_and_says_who_was_still_waiting(settings: Any, clock: Any) -> None:
    stub = stub_city.StubCity(clock)
    async with living(settings, stub) as people:
        await people.until(lambda: people.counted().get("riders_live") == N_RIDERS)
        await people.until(lambda: people.counted()["http_errors"])
        report = await people.end()
    assert report.riders_open == {"ASKING": N_RIDERS}
    assert report.figures.http_errors["ConnectError"] > 0


async def test_a_city_that_is_not_there_ends_the_run_with_a_clear_error(settings: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"city\.toml does not exist"):
        await run_population(replace(settings, city_folder=tmp_path), asyncio.Event())


def test_the_figures_before_the_first_pickup_have_no_waits(tmp_path: Path) -> None:
    PopulationFigures(quotes=2).write(tmp_path / "figures.json")
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["quotes"] == 2
    assert written["pickup_wait_s"] == {"mean": None, "p50": None, "p95": None}


@pytest.mark.parametrize(
    "wrong", [{"ping_interval_s": 0.0}, {"n_drivers": -1}, {"demand_share": 1.5}, {"drivers_per_wall_s": 0.0}]
)
def test_invalid_settings_are_refused(settings: Any, wrong: Any) -> None:
    with pytest.raises(ValueError):
        replace(settings, **wrong)
