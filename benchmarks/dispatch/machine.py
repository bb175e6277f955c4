"""A million steps of a city that fails at every step: no double booking, and planted bugs are caught."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from benchmarks.common.measure import Report
from benchmarks.dispatch.failing_city import DRIVERS, PARAMS, RIDERS, MachineCity, Process
from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.adapters.sql import statements as sql
from dispatch.engine import DispatchEngine
from dispatch.model import Party, RideState, ShiftStatus
from simulator.service.leases import Leases

STEPS = 1_000_000
STEPS_SMALL = 20_000
#: Steps after which everybody goes home once, so that what never ends is found.
SETTLE_EVERY = 2_000
#: Processes that are under way at once; for one more, another is killed.
PROCESSES_MAX = 16
WAITS_S = (0.05, 0.3, 1.0, PARAMS.offer_ttl_s, PARAMS.max_wait_s)
WAIT_WEIGHTS = (300, 300, 100, 100, 2)
NEXT_STEP: dict[RideState, Callable[[str, str], cmd.RideCommand]] = {
    RideState.ASSIGNED: cmd.ReportArrival,
    RideState.ARRIVED: cmd.ReportPickup,
    RideState.ON_TRIP: cmd.ReportDropoff,
}


class DrawnSteps:
    """Chooses what happens next, from one seed."""

    def __init__(self, city: MachineCity, seed: int) -> None:
        self._city = city
        self._rng = random.Random(seed)
        self._kinds: dict[Callable[[], None], int] = {
            self._advance: 1500, self._offer: 110, self._answer: 80, self._go_on: 110, self._ask: 30, self._expire: 40,
            self._cancel: 8, self._decide_late: 60, self._relay: 20, self._wait: 60, self._crash: 25, self._shift: 4,
            self._lose_redis: 2, self._pause_an_owner: 6, self._lose_the_fence: 6,
        }  # fmt: skip

    def run(self, steps: int) -> int:
        """Take so many steps, or fewer if something is violated; returns how many were taken."""
        kinds, weights = list(self._kinds), list(self._kinds.values())
        end, settled = self._city.steps + steps, 0
        while self._city.steps < end and not self._city.violations:
            for act in self._rng.choices(kinds, weights, k=50):
                act()
                if len(self._city.processes) > PROCESSES_MAX:
                    self._city.crash(self._rng.randrange(PROCESSES_MAX))
            if self._city.steps - settled > SETTLE_EVERY:
                self._city.settle()
                settled = self._city.steps
        self._city.settle()
        return self._city.steps

    def _advance(self) -> None:
        """Mostly one that began lately: the others sleep, some of them for longer than any lease lives."""
        newest = len(self._city.processes) - 1
        self._city.advance(newest - self._rng.randrange(3) if self._rng.random() < 0.8 else self._rng.randrange(16))

    def _crash(self) -> None:
        self._city.crash(self._rng.randrange(16))

    def _wait(self) -> None:
        self._city.wait(self._rng.choices(WAITS_S, WAIT_WEIGHTS)[0])

    def _lose_redis(self) -> None:
        self._city.lose_redis()

    def _shift(self) -> None:
        status = self._rng.choice([ShiftStatus.ONLINE, ShiftStatus.ONLINE, ShiftStatus.OFFLINE])
        self._city.set_shift(self._rng.choice(DRIVERS), status)

    def _ask(self) -> None:
        self._city.begin(self._city.request(self._rng.choice(RIDERS), is_repeat=self._rng.random() < 0.2))

    def _offer(self) -> None:
        if self._city.ride_ids:
            self._city.begin(self._city.match(self._ride_in(RideState.REQUESTED), self._rng.choice(DRIVERS)))

    def _ride_in(self, *states: RideState) -> str:
        """A ride of late, mostly one in such a state: wrong moves must be tried, but should not be all there is."""
        rides = self._city.history.rides
        likely = [name for name in self._city.ride_ids if name in rides and rides[name].state in states]
        return self._rng.choice(likely if likely and self._rng.random() < 0.9 else self._city.ride_ids)

    def _answer(self) -> None:
        if self._city.offers:
            offer_id, driver_id = self._rng.choice(self._city.offers)
            ride = self._city.history.rides.get(self._ride_in(RideState.OFFERED))
            if ride is not None and ride.offer is not None and self._rng.random() < 0.8:
                offer_id, driver_id = ride.offer.offer_id, ride.offer.driver_id
            if self._rng.random() < 0.05:
                driver_id = self._rng.choice(DRIVERS)
            answer = cmd.AcceptOffer if self._rng.random() < 0.75 else cmd.DeclineOffer
            self._city.begin(self._city.say(answer(offer_id, driver_id)))

    def _go_on(self) -> None:
        if self._city.ride_ids:
            ride_id = self._ride_in(RideState.ASSIGNED, RideState.ARRIVED, RideState.ON_TRIP)
            self._city.begin(self._city.say(self._next_step(ride_id)))

    def _next_step(self, ride_id: str) -> cmd.RideCommand:
        ride = self._city.history.rides.get(ride_id)
        driver_id = ride.driver_id if ride is not None and ride.driver_id else self._rng.choice(DRIVERS)
        usual = NEXT_STEP.get(ride.state) if ride is not None else None
        if usual is None or self._rng.random() < 0.2:
            usual = self._rng.choice(list(NEXT_STEP.values()))
        return usual(ride_id, driver_id)

    def _cancel(self) -> None:
        if self._city.ride_ids:
            ride_id = self._rng.choice(self._city.ride_ids)
            ride = self._city.history.rides.get(ride_id)
            if ride is None:
                return
            driver_id = ride.driver_id or DRIVERS[0]
            command = self._rng.choice([
                cmd.CancelRide(ride_id, Party.RIDER, ride.rider_id),
                cmd.CancelRide(ride_id, Party.DRIVER, driver_id),
                cmd.TakeBack(ride_id, driver_id, "gps_silence"),
            ])  # fmt: skip
            self._city.begin(self._city.say(command))

    def _expire(self) -> None:
        if self._city.ride_ids:
            self._city.begin(self._city.expire(self._ride_in(RideState.OFFERED)))

    def _decide_late(self) -> None:
        if not self._city.ride_ids:
            return
        if self._rng.random() < 0.7:
            ride_id, driver_id = self._ride_in(RideState.REQUESTED), self._rng.choice(DRIVERS)
            command = cmd.SendOffer(ride_id, driver_id, 0, 60.0)
            self._city.begin(self._city.stale(command, token_for=(driver_id, ride_id)))
        elif self._city.offers:
            self._city.begin(self._city.stale(cmd.AcceptOffer(*self._rng.choice(self._city.offers))))

    def _pause_an_owner(self) -> None:
        """A matcher falls asleep with a lease, and another one goes on; the first wakes up some day, or never."""
        if self._city.ride_ids:
            driver_id = self._rng.choice(DRIVERS)
            self._begin_and_advance(self._city.match(self._ride_in(RideState.REQUESTED), driver_id), 1)
            self._city.wait(PARAMS.offer_ttl_s)
            self._ask_and_be_refused(driver_id)

    def _lose_the_fence(self) -> None:
        """Redis comes back empty between somebody's lease and write: the token of the next one may be older."""
        if self._city.ride_ids:
            driver_id, ride_id = self._rng.choice(DRIVERS), self._ride_in(RideState.REQUESTED)
            late = cmd.SendOffer(ride_id, driver_id, 0, 60.0)
            self._city.begin(self._city.stale(late, token_for=(driver_id, ride_id)))
            self._city.lose_redis()
            self._begin_and_advance(self._city.match(self._ride_in(RideState.REQUESTED), driver_id), 3)

    def _ask_and_be_refused(self, driver_id: str) -> None:
        self._begin_and_advance(self._city.match(self._ride_in(RideState.REQUESTED), driver_id), 3)
        if self._city.offers and self._city.offers[-1][1] == driver_id:
            self._begin_and_advance(self._city.say(cmd.DeclineOffer(*self._city.offers[-1])), 3)

    def _begin_and_advance(self, process: Process, steps: int) -> None:
        self._city.begin(process)
        for _ in range(steps):
            if process in self._city.processes:
                self._city.advance(self._city.processes.index(process))

    def _relay(self) -> None:
        self._city.begin(self._city.relay())


# -- planted bugs: what each safeguard is there for --------------------------------------------------------------------


class ForgetsTokens(DispatchEngine):
    """Planted bug: accepts old fencing tokens."""

    def _send_offer(self, command: cmd.SendOffer, now_s: float) -> list[ev.RideEvent]:
        self._book.put(
            replace(self.ride(command.ride_id), token=min(self.ride(command.ride_id).token, command.token - 1))
        )
        return super()._send_offer(command, now_s)


class EndlessLeases(Leases):
    """Planted bug: ignores the expiry of leases."""

    def _is_held(self, name: str, now_ms: int) -> bool:
        return name in self._held


@contextmanager
def no_fencing() -> Iterator[MachineCity]:
    """Neither the engine nor SQL looks at tokens."""
    fenceless = sql.NEWEST_FENCE_OF_DRIVER.replace("COALESCE(MAX(token), 0)", "0 * COUNT(token)")
    with mock.patch.object(sql, "NEWEST_FENCE_OF_DRIVER", fenceless):
        yield MachineCity(ForgetsTokens)


@contextmanager
def no_unique_index() -> Iterator[MachineCity]:
    """SQL takes whatever was decided."""
    city = MachineCity()
    for name in ("one_live_offer_per_driver", "one_next_ride_per_driver", "one_ride_aboard_per_driver"):
        city.connection.execute(f"DROP INDEX {name}")
    yield city


@contextmanager
def leases_without_end() -> Iterator[MachineCity]:
    """Leases are held for as long as nobody releases them."""
    city = MachineCity()
    city.leases = EndlessLeases(PARAMS.offer_ttl_s)
    yield city


PLANTED = {
    "no fencing": no_fencing,
    "no unique index": no_unique_index,
    "leases without a check of their end": leases_without_end,
}


def run(small: bool, report: Report) -> None:
    """Run the city as shipped, then with each planted bug until it is caught. Raises AssertionError on a violation."""
    steps = STEPS_SMALL if small else STEPS
    city = MachineCity()
    began_s = time.process_time()
    taken = DrawnSteps(city, seed=1).run(steps)
    cpu_s = time.process_time() - began_s
    if city.violations:
        raise AssertionError(f"after {city.steps} steps: {city.violations[:3]}")
    rows: list[list[object]] = [["as shipped", taken, city.events, city.rides, "nothing violated"]]
    for name, planted in PLANTED.items():
        with planted() as broken:
            taken = DrawnSteps(broken, seed=1).run(steps)
            if not broken.violations:
                raise AssertionError(f"{name} was not caught in {taken} steps")
            rows.append([name, taken, broken.events, broken.rides, broken.violations[0]])
    report.table("A city that fails at every step", ["planted", "steps", "events", "rides", "found"], rows)
    report.figure("steps per CPU second", city.steps / cpu_s, "1/s")
