"""A city that can fail at every step: the shipped engine, scripts and leases, with processes that stop anywhere.

A process is a generator that yields wherever a real one may be paused or killed: between the lease and the write,
between the commit and the release, between sending and marking as sent. Whoever drives the city picks the next step;
whatever was committed is read back from the outbox and checked against the invariants as it grows.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from backing.outbox import statements as outbox
from backing.outbox.rows import OutboxRow
from backing.outbox.scripts import read_row
from backing.sql.scripts import Duplicate, Script
from backing.sql.sqlite import migrate_to_newest, play
from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql import scripts, statements
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused, InvariantBroken
from dispatch.model import DispatchParams, Ride, RideState, Shift, ShiftStatus
from dispatch.ports import Decision, Outcome, Scope
from dispatch.rules.invariants import History
from dispatch.rules.lifecycle import OFFER_ENDS
from dispatch.service.rides import scope_of
from hexhail.runtime.database import SQL_PACKAGES
from kernel.idempotency import IdempotencyKey
from kernel.points import Place
from simulator.service.leases import FenceLost, Leases

PARAMS = DispatchParams(offer_ttl_s=15.0, max_wait_s=120.0)
REGION = "town"
DRIVERS = ("dan", "dina", "dora", "dwight")
RIDERS = ("alice", "bob", "carol")
#: Rides and offers that people still talk about: old enough to be over, new enough to collide.
REMEMBERED = 8
RELAY_ROWS = 20
_HERE, _THERE = Place(40.75, -73.99, 1), Place(40.78, -73.96, 2)

T = TypeVar("T")
Process = Iterator[None]
_STEPS = (cmd.ReportArrival, cmd.ReportPickup, cmd.ReportDropoff)


class MachineCity:
    """One region with its SQL, its Redis, its people, and processes in every state of being."""

    def __init__(self, engine_type: type[DispatchEngine] = DispatchEngine) -> None:
        self.engine_type = engine_type
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate_to_newest(self.connection, SQL_PACKAGES)
        self.leases = Leases(PARAMS.offer_ttl_s)
        self.history = History()
        self.now_s = 0.0
        self.steps = self.events = self.rides = 0
        self.processes: list[Process] = []
        self.ride_ids: deque[str] = deque(maxlen=REMEMBERED)
        self.offers: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self.delivered_to: int | None = 0
        self._newest_position = 0
        self._violations: list[str] = []
        for driver_id in DRIVERS:
            self.set_shift(driver_id, ShiftStatus.ONLINE)

    @property
    def violations(self) -> list[str]:
        """All that was ever wrong, each a sentence that begins with the number of the invariant."""
        return self._violations + self.history.violations

    # -- what happens to processes -----------------------------------------------------------------------------------

    def begin(self, process: Process) -> None:
        """A process starts and takes its first step."""
        self.processes.append(process)
        self.advance(len(self.processes) - 1)

    def advance(self, which: int) -> None:
        """Let a process take one more step; it may have slept for any length of time."""
        if not self.processes:
            return
        process = self.processes[which % len(self.processes)]
        try:
            next(process)
        except (StopIteration, CommandRefused):
            self.processes.remove(process)
        except InvariantBroken as error:
            self._violations.append(f"2 {error}")
            self.processes.remove(process)
        self.steps += 1

    def crash(self, which: int) -> None:
        """A process is killed where it stands."""
        if self.processes:
            del self.processes[which % len(self.processes)]
        self.steps += 1

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds
        self.steps += 1

    def lose_redis(self) -> None:
        """Redis comes back empty: leases, fence and inboxes are gone."""
        self.leases.lose()
        self.delivered_to = None
        self.steps += 1

    # -- processes ---------------------------------------------------------------------------------------------------

    def request(self, rider_id: str, *, is_repeat: bool) -> Process:
        """A rider asks, or asks again what was asked before, by the same key."""
        if not is_repeat or not self.ride_ids:
            self.rides += 1
            self.ride_ids.append(f"r{self.rides}")
        ride_id = self.ride_ids[-1]
        command = cmd.RequestRide(ride_id, REGION, rider_id, f"q-{ride_id}", _HERE, _THERE, 1, 1250, "USD")
        key = IdempotencyKey("rider", ride_id, ride_id)
        yield from self._handle(command, key)

    def match(self, ride_id: str, driver_id: str) -> Process:
        """A matcher offers a ride to a driver; there may be others at the same time, and older ones who wake up."""
        yield
        token = self._take(driver_id, ride_id)
        if token is None:
            return
        yield
        try:
            outcome = self._transact(cmd.SendOffer(ride_id, driver_id, token, 60.0))
        except CommandRefused:
            yield
            self.leases.release(driver_id, ride_id, token)
            return
        offer = outcome.ride.offer
        assert offer is not None  # it has just been sent
        self.offers.append((offer.offer_id, driver_id))

    def stale(self, command: cmd.RideCommand, token_for: tuple[str, str] | None = None) -> Process:
        """Somebody decides, sleeps, and writes what was decided on what has changed since."""
        if token_for is not None and isinstance(command, cmd.SendOffer):
            token = self._take(*token_for)
            if token is None:
                return
            command = replace(command, token=token)
        rides = self._read(scope_of(command))
        decision = self._decide(command, rides)
        if decision.events and isinstance(decision.events[0], ev.OfferSent):
            self.offers.append((decision.events[0].offer_id, decision.events[0].driver_id))
        yield
        try:
            self._commit(scope_of(command), lambda _: decision)
        except InvariantBroken as refused:  # for those who decide in time it would be a fault of ours
            raise CommandRefused(str(refused)) from None

    def say(self, command: cmd.RideCommand) -> Process:
        """A rider or driver says something, sooner or later."""
        yield
        yield from self._handle(command)

    def expire(self, ride_id: str) -> Process:
        """A matcher ends what is due of a ride."""
        yield
        outcome = self._commit(Scope(ride_id=ride_id), partial(self._expired, ride_id))
        yield
        self._release(outcome)

    def relay(self) -> Process:
        """Move committed events on; two at once do no harm."""
        (published,) = self._rows(outbox.PUBLISHED)[0]
        yield
        if self.delivered_to is None or self.delivered_to < published:
            newest = [read_row(row) for row in self._rows(outbox.NEWEST_ROWS, 1_000_000)]
            yield
            self.delivered_to = max(self.delivered_to or 0, newest[-1].position if newest else 0)
        rows = [read_row(row) for row in self._rows(outbox.UNPUBLISHED, RELAY_ROWS)]
        if not rows:
            return
        yield
        self._deliver(rows)
        yield
        self.connection.execute(outbox.MARK_PUBLISHED, (rows[-1].position,))

    def set_shift(self, driver_id: str, status: ShiftStatus) -> None:
        """A driver goes on or off shift, if that is possible."""
        shift = Shift(driver_id, status, 4, self.now_s)
        try:
            self._play(lambda: scripts.set_shift("sqlite", shift))
        except CommandRefused:
            return
        finally:
            self.steps += 1

    # -- the end -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everybody goes home: whatever has happened, time and the drivers end every ride, and nobody stays held."""
        self.processes.clear()
        self.wait(PARAMS.offer_ttl_s)
        for ride in self.history.open_rides():
            self._finish(self.expire(ride.ride_id))
        self.wait(PARAMS.max_wait_s)
        for ride in sorted(self.history.open_rides(), key=lambda ride: ride.state is not RideState.ON_TRIP):
            self._finish(self.expire(ride.ride_id))
            for step in _STEPS:
                self._finish(self.say(step(ride.ride_id, ride.driver_id or "")))
        self._violations += [f"3 ride {ride.ride_id} is {ride.state} for ever" for ride in self.history.open_rides()]
        self._check_nobody_is_held()
        self._finish(self.relay())  # also where there is nothing to send, what was lost is built anew
        while self._rows(outbox.UNPUBLISHED, 1):
            self._finish(self.relay())
        if self.delivered_to != self._newest_position:
            self._violations.append(f"4 {self._newest_position} events, delivered up to {self.delivered_to}")
        self.history.forget_ended()
        self._forget_published()

    def _check_nobody_is_held(self) -> None:
        for driver_id in DRIVERS:
            token = self._take(driver_id, f"probe-{driver_id}")
            if token is None:
                self._violations.append(f"3 driver {driver_id} is held by a lease that has run out")
            else:
                self.leases.release(driver_id, f"probe-{driver_id}", token)

    def _finish(self, process: Process) -> None:
        try:
            for _ in process:
                self.steps += 1
        except CommandRefused:
            return
        except InvariantBroken as error:
            self._violations.append(f"2 {error}")

    # -- the shell round the engine, step by step --------------------------------------------------------------------

    def _handle(self, command: cmd.RideCommand, key: IdempotencyKey | None = None) -> Process:
        outcome = self._transact(command, key)
        yield
        self._release(outcome)

    def _transact(self, command: cmd.RideCommand, key: IdempotencyKey | None = None) -> Outcome:
        return self._commit(scope_of(command), partial(self._decide, command), key)

    def _decide(self, command: cmd.RideCommand, rides: Sequence[Ride]) -> Decision:
        engine = self.engine_type(PARAMS, rides)
        events = engine.handle(command, self.now_s)
        return Decision(events, engine.ride_about(command))

    def _expired(self, ride_id: str, rides: Sequence[Ride]) -> Decision:
        engine = self.engine_type(PARAMS, rides)
        return Decision(engine.handle(cmd.ExpireDue(), self.now_s), engine.ride(ride_id))

    def _read(self, scope: Scope) -> Sequence[Ride]:
        """What a decision on the scope would see, without writing."""
        seen: list[Ride] = []

        def look(rides: Sequence[Ride]) -> Decision:
            seen.extend(rides)
            raise CommandRefused

        with suppress(CommandRefused):
            self._play(lambda: scripts.transact("sqlite", scope, look, None))
        return seen

    def _commit(
        self, scope: Scope, decide: Callable[[Sequence[Ride]], Decision], key: IdempotencyKey | None = None
    ) -> Outcome:
        outcome = self._play(lambda: scripts.transact("sqlite", scope, decide, key))
        self._observe()
        return outcome

    def _play(self, script: Callable[[], Script[T]]) -> T:
        self.connection.execute("BEGIN")
        try:
            result = play(self.connection, script())
        except (Duplicate, KeyError) as refused:  # decided on what has changed since
            self.connection.execute("ROLLBACK")
            raise CommandRefused(str(refused)) from None
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result

    def _take(self, driver_id: str, ride_id: str) -> int | None:
        try:
            return self.leases.take(driver_id, ride_id, self.now_s)
        except FenceLost:
            self.leases.restore(int(self._rows(statements.NEWEST_FENCE, REGION)[0][0]))
            return self.leases.take(driver_id, ride_id, self.now_s)

    def _release(self, outcome: Outcome) -> None:
        offer = outcome.ride.offer
        if offer is not None and any(type(event) in OFFER_ENDS for event in outcome.events):
            self.leases.release(offer.driver_id, offer.ride_id, offer.token)

    def _rows(self, text: str, *parameters: object) -> list[tuple[int, ...]]:
        return self.connection.execute(text, parameters).fetchall()

    def _observe(self) -> None:
        """Check what was committed since, read back from the outbox."""
        rows = self.connection.execute(
            "SELECT position, payload FROM outbox_rows WHERE position > ?1 ORDER BY position", (self._newest_position,)
        )
        for position, payload in rows.fetchall():
            if position != self._newest_position + 1:
                self._violations.append(f"4 position {position} follows {self._newest_position}")
            self._newest_position = position
            self.history.observe(decode(payload))
            self.events += 1

    def _deliver(self, rows: Sequence[OutboxRow]) -> None:
        """As the inboxes take them: what is there already is left, what comes next must be the next."""
        if self.delivered_to is None:  # lost since: the next relay builds them anew
            return
        for row in rows:
            if row.position > self.delivered_to + 1:
                self._violations.append(f"4 event {row.position} was delivered after {self.delivered_to}")
            self.delivered_to = max(self.delivered_to, row.position)

    def _forget_published(self) -> None:
        """Rows of the past make nothing slower than they would be in years."""
        self.connection.execute("DELETE FROM outbox_rows WHERE position < ?1", (self._newest_position,))
