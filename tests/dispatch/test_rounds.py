"""Rounds decide alike for the live service and for the simulator, which differ in their stores alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.reasons import Reason
from dispatch.model import RideState, ShiftStatus, SupplySnapshot
from dispatch.ports import Carrying, FreeDriver, Positions, RoundReport
from dispatch.rounds import Round, Rounds
from dispatch.rules.window import MarketWatch, figures_of
from dispatch.service.matching import MatchingService
from dispatch.service.pickup_watch import DriverWatch
from dispatch.service.rides import RideService
from dispatch.service.supply import supply_snapshot
from geo.places import Places
from kernel.points import Place
from simulator.service.leases import Leases
from simulator.service.virtual_dispatch import VirtualDispatch
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, grid_city, history, request

CITY = grid_city(rows=6, columns=6)
ROUNDS, WINDOW_S = 80, 5.0


def snapshot(now_s: float, *node: int) -> SupplySnapshot:
    names = tuple(f"driver{number}" for number in range(len(node)))
    return SupplySnapshot(now_s, names, np.array(node, np.int64), np.full(len(node), 4))


def engine_with(*node: int) -> DispatchEngine:
    """An engine in whose city a rider waits at each of these crossings."""
    engine = DispatchEngine(PARAMS, policy=OptimalPolicy(CITY))
    for number, at in enumerate(node):
        place = Place(float(CITY.lat_deg[at]), float(CITY.lng_deg[at]), at)
        engine.handle(replace(request(f"ride{number}", f"rider{number}"), pickup=place), 0.0)
    return engine


def decided(*node: int) -> Round:
    return Rounds(PARAMS).decide(engine_with(*node), snapshot(2.0, 1, 14, 28), 2.0)


def test_a_pair_without_a_lease_gets_no_offer_and_the_trace_says_why() -> None:
    round_ = decided(0, 13)
    assert round_.pairs == [("driver0", "ride0"), ("driver1", "ride1")]
    assert round_.offers([None, 7]) == [cmd.SendOffer("ride1", "driver1", 7, 10.0)]
    traces = [round_.trace({}).of(row) for row in range(2)]
    assert [(trace.asked, "lease_held" in trace.not_chosen) for trace in traces] == [(None, True), ("driver1", False)]


def test_an_offer_that_was_refused_is_in_the_trace() -> None:
    round_ = decided(0)
    (offer,) = round_.offers([1])
    assert round_.trace({}).of(0).asked == "driver0"
    round_.refuse(offer)
    trace = round_.trace({Reason.STALE_POSITION: 4}).of(0)
    assert (trace.asked, trace.not_chosen["offer_refused"], trace.not_chosen["stale_position"]) == (None, 1, 4)


def test_the_cap_of_a_round_is_what_the_rounds_before_say() -> None:
    """Riders outnumber the idle for many rounds: the cap falls, is applied and is recorded."""
    params = replace(PARAMS, pickup_cap_s_min=30.0)
    rounds, market = Rounds(params), MarketWatch(params)
    caps = []
    for number in range(1, 40):
        engine, now_s = engine_with(*range(0, 36, 3)), 5.0 * number
        round_ = rounds.decide(engine, snapshot(now_s, number % 36), now_s)
        assert round_.params.pickup_eta_s_max == market.pickup_eta_s_max
        assert round_.is_capped == (round_.params != params)
        market.observe(figures_of(12, round_.supply, round_.decision.matches))
        assert rounds.window_s == market.window_s
        caps.append(round_.params.pickup_eta_s_max)
    assert caps[0] == params.pickup_eta_s_max > caps[-1]


class Story:
    """What happens in a small city between its rounds: the same for the live service and for the simulator."""

    def __init__(self, seed: int) -> None:
        rng = self._rng = np.random.default_rng(seed)
        self.drivers = tuple(f"driver{number}" for number in range(7))
        self.seen = Positions(self.drivers, *(np.zeros(7) for _ in range(4)))
        self._node = rng.integers(0, 36, 7)
        self._silent_until_s = np.zeros(7)
        self._requests = 0

    def moves(self, now_s: float) -> None:
        """Drivers go on to somewhere near; now and then a phone falls silent for some minutes."""
        self._node = np.clip(self._node + self._rng.integers(-1, 2, 7), 0, 35)
        is_lost = (self._silent_until_s < now_s) & (self._rng.random(7) < 0.05)
        self._silent_until_s[is_lost] = now_s + 200.0
        self._is_silent = self._silent_until_s >= now_s
        t_s = np.where(self._is_silent, self.seen.t_s, now_s)
        where = CITY.lat_deg[self._node], CITY.lng_deg[self._node]
        self.seen = Positions(self.drivers, *where, np.full(7, np.nan), t_s)

    def commands(self, rides: list[Any]) -> list[cmd.RideCommand]:
        """New requests, answers to offers, and steps of rides that are under way."""
        told: list[cmd.RideCommand] = []
        for ride in sorted(rides, key=lambda ride: ride.ride_id):
            chance = self._rng.random()
            driver_id = ride.driver_id or (ride.offer.driver_id if ride.offer is not None else None)
            if driver_id is not None and self._is_silent[self.drivers.index(driver_id)]:
                continue
            if ride.state is RideState.OFFERED and chance < 0.8:
                answer = cmd.AcceptOffer if chance < 0.6 else cmd.DeclineOffer
                told.append(answer(ride.offer.offer_id, ride.offer.driver_id))
            elif ride.state is RideState.ASSIGNED and chance < 0.1:
                told.append(cmd.ReportArrival(ride.ride_id, ride.driver_id))
            elif ride.state is RideState.ARRIVED and chance < 0.5:
                told.append(cmd.ReportPickup(ride.ride_id, ride.driver_id))
            elif ride.state is RideState.ON_TRIP and chance < 0.1:
                told.append(cmd.ReportDropoff(ride.ride_id, ride.driver_id))
        for _ in range(self._rng.integers(0, 3)):
            self._requests += 1
            ride_id = f"ride{self._requests:03}"
            pickup, dropoff = (
                Place(float(CITY.lat_deg[at]), float(CITY.lng_deg[at]), int(at)) for at in self._rng.integers(0, 36, 2)
            )
            told.append(replace(request(ride_id, f"rider-{ride_id}"), pickup=pickup, dropoff=dropoff))
        return told


class VirtualCity:
    """The simulator's service, whose drivers are seen as the live service sees them."""

    def __init__(self, story: Story, params: Any) -> None:
        self._story, self._params = story, params
        engine = DispatchEngine(params, policy=OptimalPolicy(CITY))
        self.dispatch = VirtualDispatch(
            engine, Leases(params.offer_ttl_s), {}, Rounds(params), DriverWatch(Places(CITY, ""), params)
        )

    def supply(self, now_s: float, n_waiting: int) -> SupplySnapshot:
        aboard: dict[str, Any] = {}
        bound: set[str] = set()
        for ride in self.dispatch.history.open_rides():
            if ride.state is RideState.OFFERED and ride.offer is not None:
                bound.add(ride.offer.driver_id)
            elif ride.state is RideState.ON_TRIP and ride.driver_id is not None:
                aboard[ride.driver_id] = ride
            elif ride.driver_id is not None:
                bound.add(ride.driver_id)
        free = {name: FreeDriver(4, 0.0) for name in self._story.drivers if name not in bound | aboard.keys()}
        carrying = [Carrying(name, 4, aboard[name].dropoff) for name in sorted(aboard.keys() - bound)]
        return supply_snapshot(self._story.seen, free, carrying, CITY, self._params, now_s, n_waiting=n_waiting)

    def positions(self) -> Positions:
        return self._story.seen

    def handle(self, command: cmd.RideCommand, now_s: float) -> None:
        with suppress(CommandRefused):
            self.dispatch.handle(command, now_s)

    def run_round(self, now_s: float) -> None:
        round_ = self.dispatch.decide_round(self, now_s)
        if round_ is not None:
            self.dispatch.send_offers(round_, now_s)


class LiveCity:
    """The live service over SQLite, with leases in memory."""

    def __init__(self, story: Story, params: Any, store: Any, clock: Callable[[], float]) -> None:
        self._story, self.store = story, store
        leases = MemoryLeases()
        self.rides = RideService(store, leases, params, clock)
        self.service = MatchingService(
            region_id="manhattan", graph=CITY, policy=OptimalPolicy(CITY), params=params, store=store,
            rides=self.rides, supply=self, leases=leases, round_log=self, now=clock,
        )  # fmt: skip

    async def positions(self) -> Positions:
        return self._story.seen

    async def write(self, report: RoundReport) -> None:
        """Reports are not looked at here."""

    async def handle(self, command: cmd.RideCommand) -> None:
        with suppress(CommandRefused):
            await self.rides.handle(command)
        await asyncio.gather(*self.rides._releases)


def told(events: list[ev.RideEvent]) -> list[tuple[Any, ...]]:
    """What happened, ordered by ride: what happens to two rides at one moment has no order."""
    return sorted((event.ride_id, event.sequence, type(event).__name__, event.at_s) for event in events)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_live_service_and_the_simulator_send_the_same_offers(sqlite_store: Any, seed: int) -> None:
    params = replace(
        PARAMS, max_wait_s=90.0, pickup_cap_s_min=20.0, chain_within_s=60.0, stale_after_s=30.0, silent_after_s=45.0
    )
    story, clock = Story(seed), Clock()
    virtual, live = VirtualCity(story, params), LiveCity(story, params, sqlite_store, clock)
    for driver_id in story.drivers:
        await live.rides.set_shift(cmd.SetShift(driver_id, ShiftStatus.ONLINE, 4))
    for _ in range(ROUNDS):
        story.moves(clock.now_s)
        for command in story.commands(virtual.dispatch.history.open_rides()):
            virtual.handle(command, clock.now_s)
            await live.handle(command)
        virtual.run_round(clock.now_s)
        await live.service.run_round()
        await asyncio.gather(*live.rides._releases)
        clock.now_s += WINDOW_S
    events = await history(live.store)
    assert told(events) == told(virtual.dispatch.events)
    offers = [
        [(one.ride_id, one.driver_id, one.pickup_eta_s) for one in log if isinstance(one, ev.OfferSent)]
        for log in (events, virtual.dispatch.events)
    ]
    assert sorted(offers[0]) == sorted(offers[1])
    kinds = {type(event).__name__ for event in events}
    assert kinds >= {"OfferExpired", "OfferDeclined", "RideExpired", "RiderDroppedOff"}
    reasons = {event.reason for event in events if isinstance(event, ev.AssignmentCancelled)}
    assert "gps_silence" in reasons
