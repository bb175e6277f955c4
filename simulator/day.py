"""Simulates one day of a city in virtual time: riders, drivers and the shipped engines on one event queue."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dispatch.engine import DispatchEngine
from dispatch.events import RideEvent
from dispatch.matching.policy import LearningPolicy, MatchingPolicy
from dispatch.rounds import Rounds
from dispatch.service.pickup_watch import DriverWatch
from geo.arrays import FloatArray, IntArray
from geo.city import City
from geo.places import Places
from kernel.section_reader import read_params
from kernel.supply import DriverState
from location_ingest.model import IngestParams
from pricing.events import SurgeChanged
from simulator.agenda import Agenda
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import DriverStarts, PlacedRequests
from simulator.model import driver_ids
from simulator.people.crowd import Crowd, RiderLike, row_of
from simulator.people.fleet import Fleet
from simulator.people.population import (
    People,
    Watcher,
    driver_params,
    fixed_patience_riders,
    make_drivers,
    random_riders,
)
from simulator.service.leases import Leases
from simulator.service.market import Market, idle_per_cell, market_of, surge_of
from simulator.service.tracking import Tracking
from simulator.service.virtual_dispatch import EventHandler, VirtualDispatch
from simulator.streets.congestion import Traffic, TrafficParams
from simulator.streets.network import KnownStreets
from simulator.streets.ways import Ways

#: Interval between the samples that the report plots.
SAMPLE_S = 60.0
#: Interval at which congestion is recomputed; short compared with a trip.
TRAFFIC_S = 60.0
#: Beside the seed of a day, for the drivers whose phones die.
DEAD_PHONES_STREAM = 7
#: Nothing is skipped within this time of a rider: idle drivers spread out, prices settle. Shorter pauses cost little.
PAUSE_S = 3600.0


@dataclass(frozen=True)
class Sample:
    """State of the city at one time: drivers by state, waiting requests, surge multipliers."""

    at_s: float
    drivers: Counter[DriverState]
    waiting: int
    #: (c,) of the surge cells; None without surge.
    multiplier: FloatArray | None
    #: (c,) idle drivers by surge cell.
    idle_per_cell: IntArray


@dataclass(frozen=True)
class Outcome:
    """The results of a simulated day."""

    events: list[RideEvent]
    violations: list[str]
    virtual_dispatch: VirtualDispatch
    fleet: Fleet
    left_for_price: int
    begin_s: float
    end_s: float
    samples: list[Sample] = field(default_factory=list)
    #: Changes of surge prices, as the live service records them.
    price_changes: list[SurgeChanged] = field(default_factory=list)
    #: None if congestion is off.
    traffic: Traffic | None = None


class Day:
    """One simulated day. Run it once, with `run`, or in steps with `begin`, `advance` and `end`."""

    def __init__(
        self,
        city: City,
        requests: PlacedRequests,
        starts: DriverStarts,
        policy: MatchingPolicy,
        params: DayParams,
        people: People | None = None,
    ) -> None:
        """Raises ValueError for an invalid tariff or surge section, or a dropoff that its pickup cannot reach."""
        self._city = city
        self._params = params
        self._people = people or People()
        self._dispatch = params.dispatch(city.sections)
        self._ways = Ways(city.graph)
        self._streets = KnownStreets(city.graph, self._ways)
        self._traffic = self._make_traffic(city) if params.is_congestion_on else None
        self._agenda = Agenda()
        self.begin_s = math.floor(float(requests.asked.t_s[0]))
        self._close_s = float(requests.asked.t_s[-1]) + params.drain_s
        self._samples: list[Sample] = []
        self._on_progress: Callable[[float, int], None] = lambda now_s, gone: None
        self._surge = surge_of(city, requests) if params.is_surge_on else None
        market = market_of(city, requests, self._ways, self._surge)
        engine = DispatchEngine(self._dispatch, policy=policy)
        handlers: dict[type[RideEvent], list[EventHandler]] = {}
        self.virtual_dispatch = VirtualDispatch(
            engine,
            Leases(self._dispatch.offer_ttl_s),
            handlers,
            Rounds(self._dispatch),
            DriverWatch(Places(city.graph, ""), self._dispatch),
            market.no_show_fee_cents,
        )
        self.fleet = self._make_fleet(city, requests, starts, market)
        self._crowd = self._make_crowd(city, requests, market)
        self.fleet.stands_until_s = self._stands_until_s
        self._watchers: list[Watcher] = [*self._people.watchers]
        if self._surge is not None:
            self._watchers.insert(0, self._surge)
        for subscribed in (self.fleet.handlers(), self._crowd.handlers(), *(one.handlers() for one in self._watchers)):
            for kind, handle in subscribed.items():
                handlers.setdefault(kind, []).append(handle)
        if isinstance(policy, LearningPolicy):
            learn = policy.observe
            for kind in policy.observed_events:  # first, so that it sees the events in their order
                handlers.setdefault(kind, []).insert(0, lambda event, now_s: learn(event))

    def run(self, on_progress: Callable[[float, int], None] = lambda now_s, gone: None) -> Outcome:
        """Simulate the whole day. Each round calls `on_progress(now_s, number of riders who are done)`."""
        self._on_progress = on_progress
        self.begin()
        self.advance(math.inf)
        return self.end()

    def begin(self) -> None:
        """Schedule everything that happens at fixed times."""
        self._agenda.repeat(self.begin_s + self._dispatch.batch_window_s, self._round, 1, -math.inf)
        self._agenda.repeat(self.begin_s, self._sample, 0, -math.inf)
        self._agenda.at(self._close_s, self._close, 0)
        if self._traffic is not None:
            self._agenda.repeat(self.begin_s, self._measure_traffic, 1, -math.inf)
        if self.fleet.tracking is not None:
            self._agenda.repeat(self.begin_s, self._ping, 1, -math.inf)
        if self._params.dead_phone_share:
            self._plan_dead_phones(self._close_s - self._params.drain_s)
        for watcher in self._watchers:
            self._agenda.repeat(self.begin_s + watcher.tick_s, self._ticker(watcher), 1, -math.inf)

    def advance(self, until_s: float) -> bool:
        """Simulate up to and including `until_s`; returns whether another round will follow."""
        self._agenda.run(until_s)
        return not self._crowd.is_gone and until_s < self._close_s

    def end(self) -> Outcome:
        """Return the results; call it after the last `advance`."""
        end_s = (
            max(self.virtual_dispatch.events[-1].at_s, self.begin_s) if self.virtual_dispatch.events else self.begin_s
        )
        self.fleet.settle(end_s)
        return Outcome(
            events=self.virtual_dispatch.events,
            violations=self.virtual_dispatch.history.violations + self._never_ended(),
            virtual_dispatch=self.virtual_dispatch,
            fleet=self.fleet,
            left_for_price=self._crowd.left_for_price,
            begin_s=self.begin_s,
            end_s=end_s,
            samples=self._samples,
            price_changes=self._surge.changes if self._surge is not None else [],
            traffic=self._traffic,
        )

    # -- construction ------------------------------------------------------------------------------------------------

    def _make_fleet(self, city: City, requests: PlacedRequests, starts: DriverStarts, market: Market) -> Fleet:
        streets = self._streets
        always_yes = self._params.acceptance is Acceptance.ALWAYS
        inclined = driver_params(always_yes=always_yes, boarding_s=self._params.boarding_s)
        habit_of = self._people.make_habits(city, self._surge, lambda ride_id: market.receipt(row_of(ride_id)))
        drivers = make_drivers(starts, streets, inclined, self._params.seed, self.begin_s, habit_of)
        tracking = self._make_tracking(city, len(drivers))
        stops = self._streets.stops
        return Fleet(
            drivers, starts.seats, city.graph, stops, self.virtual_dispatch, self._agenda, self._dispatch, tracking
        )

    def _make_traffic(self, city: City) -> Traffic:
        traffic_params = read_params(city.sections, TrafficParams)
        return Traffic(traffic_params, float(city.graph.length_m.sum()), city.region.timezone)

    def _make_tracking(self, city: City, drivers: int) -> Tracking | None:
        gps = self._params.gps()
        if not gps.is_on:
            return None
        ingest = read_params(city.sections, IngestParams)
        return Tracking(gps, ingest, city.region.region_id, driver_ids(drivers), self._params.seed)

    def _make_crowd(self, city: City, requests: PlacedRequests, market: Market) -> Crowd:
        make_rider: Callable[[int], RiderLike]
        if self._params.acceptance is Acceptance.ALWAYS:
            make_rider = fixed_patience_riders(self._dispatch.max_wait_s)
        else:
            make_rider = random_riders(self._people.riders, self._params.seed)
        return Crowd(requests, city.region.region_id, market, self.virtual_dispatch, self._agenda, make_rider)

    # -- periodic callbacks ------------------------------------------------------------------------------------------

    def _round(self, number: int, now_s: float) -> None:
        if self._crowd.is_gone or now_s > self._close_s:
            return
        decided = self.virtual_dispatch.decide_round(self.fleet, now_s)
        if decided is not None:
            self.fleet.learn_approaches(decided.decision.matches, self._ways)
            self.virtual_dispatch.send_offers(decided, now_s)
        self._on_progress(now_s, self._crowd.gone)
        if not self._dispatch.batch_window_s_min:
            self._recur(self._round, number, number, self._dispatch.batch_window_s, now_s)
            return
        # Windows that vary are added up.
        window_s = self.virtual_dispatch.window_s
        after_s = now_s + window_s * self._skipped(now_s, window_s)
        self._agenda.repeat(after_s + window_s, self._round, number + 1, after_s)

    def _recur(
        self, call: Callable[[int, float], None], number: int, periods: int, period_s: float, now_s: float
    ) -> None:
        """Schedule the call after the one now, which is ``periods`` periods after the beginning.

        While nothing happens calls are skipped up to the last before something does. Times are multiples of the period,
        not sums: with 0.1 s rounding errors would accumulate.
        """
        skipped = self._skipped(now_s, period_s)
        after_s = self.begin_s + (periods + skipped) * period_s
        self._agenda.repeat(
            self.begin_s + (periods + skipped + 1) * period_s, call, number + skipped + 1, after_s if skipped else now_s
        )

    def _skipped(self, now_s: float, period_s: float) -> int:
        """How many calls of this period may be skipped, because until then nothing happens that they would see."""
        next_s = self._agenda.next_event_s
        if not now_s + max(PAUSE_S, 2.0 * period_s) < next_s < math.inf or not self._is_quiet(now_s):
            return 0
        return int((next_s - now_s) // period_s) - 1

    def _stands_until_s(self, now_s: float) -> float:
        """Idle drivers do not cruise through a long pause: where they are after an hour says nothing of before."""
        resumes_s = self._crowd.next_s - PAUSE_S
        return resumes_s if self._crowd.is_away and now_s + PAUSE_S < resumes_s < math.inf else now_s

    def _is_quiet(self, now_s: float) -> bool:
        return self._crowd.is_away and all(watcher.is_settled(now_s) for watcher in self._watchers)

    def _ticker(self, watcher: Watcher) -> Callable[[int, float], None]:
        def tick(number: int, now_s: float) -> None:
            if not self._crowd.is_gone and now_s <= self._close_s:
                watcher.tick(self.fleet, now_s)
                self._recur(tick, number, number, watcher.tick_s, now_s)

        return tick

    def _ping(self, number: int, now_s: float) -> None:
        if self.fleet.tracking is None or self._crowd.is_gone or now_s > self._close_s:
            return
        self.fleet.ping(now_s)
        self._recur(self._ping, number, number - 1, self.fleet.tracking.params.ping_s, now_s)

    def _measure_traffic(self, number: int, now_s: float) -> None:
        if self._traffic is None or self._crowd.is_gone:
            return
        self.fleet.pace = self._streets.pace = self._traffic.measure(self.fleet.moving(now_s), now_s)
        self._recur(self._measure_traffic, number, number - 1, TRAFFIC_S, now_s)

    def _sample(self, number: int, now_s: float) -> None:
        multiplier = self._surge.multipliers.copy() if self._surge is not None else None
        idle = idle_per_cell(self._city, self.fleet, now_s)
        self._samples.append(Sample(now_s, self.fleet.states(), self.virtual_dispatch.waiting, multiplier, idle))
        if not self._crowd.is_gone and now_s <= self._close_s:
            self._recur(self._sample, number, number, SAMPLE_S, now_s)

    def _close(self, _: int, now_s: float) -> None:
        self._crowd.close()
        self.virtual_dispatch.close(now_s)
        self.fleet.close(now_s)
        self._plan_deadline()

    def _plan_deadline(self) -> None:
        """After the last round, the trips that are still under way are ended by their deadlines."""
        deadline_s = self.virtual_dispatch.next_deadline_s
        if deadline_s is not None:
            self._agenda.at(deadline_s, self._end_overdue, 0)

    def _end_overdue(self, _: int, now_s: float) -> None:
        self.virtual_dispatch.expire(now_s)
        self._plan_deadline()

    def _kill_phone(self, number: int, now_s: float) -> None:
        self.fleet.kill_phone(number, now_s)

    def _plan_dead_phones(self, last_request_s: float) -> None:
        """A generator of its own: everything else is drawn as in a day on which no phone dies."""
        generator = np.random.default_rng((self._params.seed, DEAD_PHONES_STREAM))
        count = round(self._params.dead_phone_share * len(self.fleet.driver_id))
        for number in sorted(generator.permutation(len(self.fleet.driver_id))[:count].tolist()):
            self._agenda.at(generator.uniform(self.begin_s, last_request_s), self._kill_phone, number)

    def _never_ended(self) -> list[str]:
        return [
            f"3 ride {ride.ride_id} was {ride.state} at the end" for ride in self.virtual_dispatch.history.open_rides()
        ]
