"""The dispatch service in virtual time: the shipped engine and rounds, in-memory leases, and the event log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.model import TERMINAL, Offer, Party, Ride, RideState, SupplySnapshot
from dispatch.ports import Positions
from dispatch.rounds import Round, Rounds
from dispatch.rules.invariants import History
from dispatch.rules.lifecycle import OFFER_ENDS
from dispatch.service.pickup_watch import DriverWatch
from simulator.service.leases import Leases
from simulator.service.policy_faults import PolicyFaults

#: Called with an event and the time, after the event was logged.
EventHandler = Callable[[ev.RideEvent, float], None]


class SeenDrivers(Protocol):
    """The drivers as the service sees them."""

    def supply(self, now_s: float, n_waiting: int) -> SupplySnapshot:
        """Whom a round of `n_waiting` requests may ask."""
        ...

    def positions(self) -> Positions | None:
        """Where they were last believed to be; None if that is always where they are."""
        ...


class VirtualDispatch:
    """Carries out commands and rounds as the live dispatch service does, with memory in place of SQL and Redis.

    Every event is logged and checked against the invariants before any handler is called.
    """

    def __init__(
        self,
        engine: DispatchEngine,
        leases: Leases,
        handlers: dict[type[ev.RideEvent], list[EventHandler]],
        rounds: Rounds,
        watch: DriverWatch,
        no_show_fee_cents: int = 0,
    ) -> None:
        """`handlers` of an event type are called in order; the caller may add more later.

        `no_show_fee_cents` is what a rider owes whose driver waited at the pickup until the deadline.
        """
        self._expire_due = cmd.ExpireDue(no_show_fee_cents=no_show_fee_cents)
        self._engine = engine
        self._leases = leases
        self._handlers = handlers
        self._rounds = rounds
        self._watch = watch
        self._history = History()
        self.events: list[ev.RideEvent] = []
        self.policy_faults = PolicyFaults()

    @property
    def history(self) -> History:
        """All rides, and the violations found so far."""
        return self._history

    @property
    def waiting(self) -> int:
        """Number of rides without a driver."""
        return len(self._engine.open_rides())

    @property
    def window_s(self) -> float:
        """Seconds from the last round to the next."""
        return self._rounds.window_s

    def waiting_rides(self) -> list[Ride]:
        """Rides without a driver and without an offer, the oldest request first."""
        return self._engine.waiting()

    def handle(self, command: cmd.RideCommand, now_s: float) -> list[ev.RideEvent]:
        """Carry out a command. Raises CommandRefused."""
        events = self._engine.handle(command, now_s)
        for event in events:
            self.events.append(event)
            self._history.observe(event)
            if type(event) in OFFER_ENDS:
                self._release(self._history.rides[event.ride_id].offer)
        for event in events:
            for handler in self._handlers.get(type(event), ()):
                handler(event, now_s)
        return events

    def decide_round(self, drivers: SeenDrivers, now_s: float) -> Round | None:
        """One round up to its decision: expire what is due, take rides back, match; None if no request waits."""
        self.handle(self._expire_due, now_s)
        self._take_back(drivers, now_s)
        n_waiting = len(self._engine.waiting())
        if not n_waiting:
            return None
        round_ = self._rounds.decide(self._engine, drivers.supply(now_s, n_waiting), now_s)
        self.policy_faults.note(round_.decision.faults, now_s)
        return round_

    def send_offers(self, round_: Round, now_s: float) -> int:
        """Lease each matched driver and send the offer; returns how many were sent. The next round retries the rest."""
        tokens = [self._leases.take(driver_id, ride_id, now_s) for driver_id, ride_id in round_.pairs]
        return sum(self._send_offer(offer, round_, now_s) for offer in round_.offers(tokens))

    def _send_offer(self, offer: cmd.SendOffer, round_: Round, now_s: float) -> bool:
        try:
            self.handle(offer, now_s)
        except CommandRefused:
            round_.refuse(offer)
            self._leases.release(offer.driver_id, offer.ride_id, offer.token)
            return False
        return True

    def _take_back(self, drivers: SeenDrivers, now_s: float) -> None:
        """Take rides back from drivers who will not come, as far as their positions tell."""
        positions = drivers.positions() if self._watch.is_due(now_s) else None
        if positions is None:
            return
        for command in self._watch.look(self._engine.with_driver(), positions, now_s):
            self.handle(command, now_s)

    def _release(self, offer: Offer | None) -> None:
        if offer is not None:
            self._leases.release(offer.driver_id, offer.ride_id, offer.token)

    @property
    def next_deadline_s(self) -> float | None:
        """When `expire` will have something to do next; None if nothing has a deadline."""
        return self._engine.next_deadline_s()

    def expire(self, now_s: float) -> None:
        """End what is due, as each round does."""
        self.handle(self._expire_due, now_s)

    def close(self, now_s: float) -> None:
        """Cancel every ride before its pickup; trips under way continue to their dropoff or their deadline."""
        for ride in sorted(self._history.rides.values(), key=lambda ride: ride.ride_id):
            if ride.state not in TERMINAL and ride.state is not RideState.ON_TRIP:
                self.handle(cmd.CancelRide(ride.ride_id, Party.SYSTEM, "", "the service closed"), now_s)
