"""The dispatch service in virtual time: the shipped engine, in-memory leases, and the event log."""

from __future__ import annotations

from collections.abc import Callable

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.model import TERMINAL, Offer, Party, Ride, RideState, SupplySnapshot
from dispatch.rules.invariants import History
from dispatch.rules.lifecycle import OFFER_ENDS
from dispatch.rules.window import MarketWatch, figures_of
from simulator.service.leases import Leases
from simulator.service.policy_faults import PolicyFaults

#: Called with an event and the time, after the event was logged.
EventHandler = Callable[[ev.RideEvent, float], None]


class VirtualDispatch:
    """Carries out commands as the live dispatch service does, with memory in place of SQL and Redis.

    Every event is logged and checked against the invariants before any handler is called.
    """

    def __init__(
        self,
        engine: DispatchEngine,
        leases: Leases,
        handlers: dict[type[ev.RideEvent], list[EventHandler]],
        market: MarketWatch,
    ) -> None:
        """`handlers` of an event type are called in order; the caller may add more later."""
        self._engine = engine
        self._leases = leases
        self._handlers = handlers
        self.market = market
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

    def run_round(self, supply_at: Callable[[float, int], SupplySnapshot], now_s: float) -> list[ev.MatchFound]:
        """Expire due offers and requests, then match waiting requests; the offers are not sent yet."""
        self.handle(cmd.ExpireDue(), now_s)
        waiting = len(self._engine.waiting())
        if not waiting:
            return []
        supply = supply_at(now_s, waiting)
        decision = self._engine.decide_round(supply, now_s, self.market.pickup_eta_s_max)
        self.market.observe(figures_of(waiting, supply, decision.matches))
        self.policy_faults.note(decision.faults, now_s)
        return decision.matches

    def send_offers(self, matches: list[ev.MatchFound], now_s: float) -> int:
        """Lease each matched driver and send the offer; returns how many were sent. The next round retries the rest."""
        sent = 0
        for match in matches:
            token = self._leases.take(match.driver_id, match.ride_id, now_s)
            if token is None:
                continue
            try:
                self.handle(cmd.SendOffer(match.ride_id, match.driver_id, token, match.pickup_eta_s), now_s)
                sent += 1
            except CommandRefused:
                self._leases.release(match.driver_id, match.ride_id, token)
        return sent

    def _release(self, offer: Offer | None) -> None:
        if offer is not None:
            self._leases.release(offer.driver_id, offer.ride_id, offer.token)

    def close(self, now_s: float) -> None:
        """Cancel every ride before its pickup; trips under way continue to their dropoff."""
        for ride in sorted(self._history.rides.values(), key=lambda ride: ride.ride_id):
            if ride.state not in TERMINAL and ride.state is not RideState.ON_TRIP:
                self.handle(cmd.CancelRide(ride.ride_id, Party.SYSTEM, "", "the service closed"), now_s)
