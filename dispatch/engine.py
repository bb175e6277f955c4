"""The dispatch engine: commands and the time in, events out. Waits for nothing, reads no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.book import Book
from dispatch.errors import DriverBusy, IllegalMove, NotFound, OfferGone, PlacesNotKept, StaleToken, TooEarly
from dispatch.matching.guard import decide_safely
from dispatch.matching.policy import MatchingPolicy, RoundDecision
from dispatch.model import DispatchParams, OfferState, Party, Ride, RideState, SupplySnapshot
from dispatch.rules.deadlines import REASONS, OverdueQueue, overdue_s
from dispatch.rules.lifecycle import begin, require_move, step
from dispatch.rules.person_limits import require_room
from dispatch.rules.rating import is_new_rating
from dispatch.rules.repeats import has_answered, has_cancelled, has_given_back

#: The reason in the event of a no-show that the driver reports.
NO_SHOW = "no_show"


class DispatchEngine:
    """Decides who drives whom.

    Holds the rides it was given and those it began. One owner at a time: the matcher holds a region's open rides, an
    edge holds just the ride that a command is about, a simulation holds them all.
    """

    def __init__(
        self,
        params: DispatchParams,
        rides: Iterable[Ride] = (),
        policy: MatchingPolicy | None = None,
        *,
        open_rides_max: int = 0,
    ) -> None:
        """``open_rides_max`` is how many rides of one rider may not have ended, 0 for any number."""
        self._open_rides_max = open_rides_max
        self._params = params
        self._policy = policy
        self._book = Book(rides)
        self._overdue = OverdueQueue(params, self._book.get)
        for ride in self._book.with_driver():
            self._overdue.put(ride)
        self._handlers: dict[type[Any], Callable[[Any, float], list[ev.RideEvent]]] = {
            cmd.RequestRide: self._request,
            cmd.SendOffer: self._send_offer,
            cmd.AcceptOffer: self._accept,
            cmd.DeclineOffer: self._decline,
            cmd.CancelRide: self._cancel,
            cmd.TakeBack: self._take_back,
            cmd.ReportArrival: self._arrive,
            cmd.ReportPickup: self._pick_up,
            cmd.ReportDropoff: self._drop_off,
            cmd.ReportNoShow: self._report_no_show,
            cmd.EndRide: self._end,
            cmd.EndOverdue: self._end_overdue,
            cmd.Reassign: self._reassign,
            cmd.AssignDriver: self._assign,
            cmd.WithdrawOffer: self._withdraw_offer,
            cmd.CorrectRide: self._correct,
            cmd.RateRide: self._rate,
            cmd.SetAside: self._set_aside,
            cmd.ExpireDue: self._expire_due,
        }

    def ride(self, ride_id: str) -> Ride:
        """The ride as it stands. Raises NotFound."""
        return self._book.get(ride_id)

    def ride_about(self, command: cmd.RideCommand) -> Ride:
        """The ride that a command is about, by its own id or its offer's. Raises NotFound."""
        offer_id = getattr(command, "offer_id", None)
        if offer_id is None:
            return self.ride(getattr(command, "ride_id", ""))
        ride = self._book.of_offer(offer_id)
        if ride is None:
            raise NotFound("offer", offer_id)
        return ride

    def open_rides(self) -> list[Ride]:
        """Rides without a driver, the oldest request first."""
        return self._book.open()

    def waiting(self) -> list[Ride]:
        """Rides that a round is about: without a driver and without an offer, the oldest request first."""
        return [ride for ride in self.open_rides() if ride.state is RideState.REQUESTED]

    def with_driver(self) -> list[Ride]:
        """Rides bound to a driver, sorted by id."""
        return self._book.with_driver()

    def handle(self, command: cmd.RideCommand, now_s: float) -> list[ev.RideEvent]:
        """Carry a command out and say what happened: nothing, if the same person did the same before.

        Raises a CommandRefused, and changes nothing, if the command breaks a rule.
        """
        return self._handlers[type(command)](command, now_s)

    def run_round(self, supply: SupplySnapshot, now_s: float) -> list[ev.MatchFound]:
        """One matching round: the drivers to ask for the requests that wait without an offer.

        A match changes nothing by itself: who takes the lease says so with SendOffer.
        """
        return self.decide_round(supply, now_s).matches

    def decide_round(
        self, supply: SupplySnapshot, now_s: float, pickup_eta_s_max: float | None = None
    ) -> RoundDecision:
        """As `run_round`, with the trace of the decision and the faults of the policy.

        `pickup_eta_s_max` caps pickups lower than the parameters do, in this round.
        """
        if self._policy is None:
            raise ValueError("this engine was made without a matching policy: it can handle commands, not run rounds")
        waiting = self.waiting()
        if not waiting or not len(supply):
            return RoundDecision()
        params = self._params
        if pickup_eta_s_max is not None:
            params = replace(params, pickup_eta_s_max=min(pickup_eta_s_max, params.pickup_eta_s_max))
        return decide_safely(self._policy, waiting, supply, params, now_s)

    def next_deadline_s(self) -> float | None:
        """When ExpireDue will have something to do next; None if nothing has a deadline."""
        deadlines = [self._deadline_s(ride) for ride in self._book.open()]
        overdue_s = self._overdue.next_s()
        return min(deadlines if overdue_s is None else [*deadlines, overdue_s], default=None)

    def _deadline_s(self, ride: Ride) -> float:
        if ride.state is RideState.OFFERED and ride.offer is not None:
            return ride.offer.expires_s
        return ride.requested_s + self._params.max_wait_s

    # -- commands ----------------------------------------------------------------------------------------------------

    def _request(self, command: cmd.RequestRide, now_s: float) -> list[ev.RideEvent]:
        if self._open_rides_max:
            require_room(self._book.all(), command, self._open_rides_max)
        event = ev.RideRequested(
            ride_id=command.ride_id,
            sequence=1,
            at_s=now_s,
            region_id=command.region_id,
            rider_id=command.rider_id,
            quote_id=command.quote_id,
            pickup=command.pickup,
            dropoff=command.dropoff,
            seats=command.seats,
            fare_cents=command.fare_cents,
            currency=command.currency,
            receipt=command.receipt,
            map_id=command.map_id,
        )
        if command.ride_id in self._book:
            raise IllegalMove(command.ride_id, self._book.get(command.ride_id).state, "a second request")
        self._book.put(begin(event))
        return [event]

    def _set_aside(self, command: cmd.SetAside, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        if ride.set_aside_on == command.map_id:  # its rider knows
            return []
        reason, map_id = command.reason, command.map_id
        return self._happen(ride, ev.RideSetAside, now_s, "leaving it out", map_id=map_id, reason=reason)

    def _send_offer(self, command: cmd.SendOffer, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        require_move(ride, ev.OfferSent, "an offer")
        if command.token <= ride.token:
            raise StaleToken(command.token, ride.token)
        if self._book.is_asked(command.driver_id) or self._book.has_next(command.driver_id):
            raise DriverBusy(command.driver_id)
        return self._happen(
            ride,
            ev.OfferSent,
            now_s,
            "an offer",
            offer_id=f"{ride.ride_id}-{command.token}",
            driver_id=command.driver_id,
            token=command.token,
            expires_s=now_s + self._params.offer_ttl_s,
            pickup_eta_s=command.pickup_eta_s,
            pickup=ride.pickup,
            dropoff=ride.dropoff,
            seats=ride.seats,
            fare_cents=ride.fare_cents,
            currency=ride.currency,
        )

    def _accept(self, command: cmd.AcceptOffer, now_s: float) -> list[ev.RideEvent]:
        if self._has_answered(command.offer_id, command.driver_id, OfferState.ACCEPTED):
            return []
        ride = self._offered_ride(command.offer_id, command.driver_id, now_s)
        offer = ride.offer
        assert offer is not None  # _offered_ride found the ride by it
        if self._book.has_next(command.driver_id):
            raise DriverBusy(command.driver_id)
        return self._happen(
            ride,
            ev.OfferAccepted,
            now_s,
            "accepting the offer",
            offer_id=offer.offer_id,
            driver_id=offer.driver_id,
            token=offer.token,
            pickup_eta_s=offer.pickup_eta_s,
        )

    def _decline(self, command: cmd.DeclineOffer, now_s: float) -> list[ev.RideEvent]:
        if self._has_answered(command.offer_id, command.driver_id, OfferState.DECLINED):
            return []
        ride = self._offered_ride(command.offer_id, command.driver_id, now_s)
        return self._happen(
            ride,
            ev.OfferDeclined,
            now_s,
            "declining the offer",
            offer_id=command.offer_id,
            driver_id=command.driver_id,
            reason=command.reason,
        )

    def _cancel(self, command: cmd.CancelRide, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        if command.by is Party.DRIVER:
            return self._give_back(ride, command, now_s)
        if command.by is Party.RIDER and ride.rider_id != command.principal_id:
            raise NotFound("ride", command.ride_id)
        if has_cancelled(ride, command.by):
            return []
        if command.by is Party.RIDER and ride.state is RideState.ON_TRIP:
            raise IllegalMove(ride.ride_id, ride.state, "cancelling")
        withdrawn = self._withdraw(ride, now_s)
        ride = self.ride(ride.ride_id)
        cancelled = self._happen(
            ride,
            ev.RideCancelled,
            now_s,
            "cancelling",
            by=command.by,
            reason=command.reason,
            driver_id=ride.driver_id,
        )
        return withdrawn + cancelled

    def _give_back(self, ride: Ride, command: cmd.CancelRide, now_s: float) -> list[ev.RideEvent]:
        driver_id = command.principal_id
        if has_given_back(ride, driver_id):
            return []
        self._own_ride(ride.ride_id, driver_id)
        return self._happen(
            ride,
            ev.AssignmentCancelled,
            now_s,
            "giving the ride back",
            driver_id=driver_id,
            reason=command.reason,
        )

    def _take_back(self, command: cmd.TakeBack, now_s: float) -> list[ev.RideEvent]:
        ride = self._own_ride(command.ride_id, command.driver_id)
        if ride.state is not RideState.ASSIGNED:  # who stands at the pickup or drives the rider did come
            raise IllegalMove(ride.ride_id, ride.state, "taking the ride back")
        return self._happen(
            ride,
            ev.AssignmentCancelled,
            now_s,
            "taking the ride back",
            driver_id=command.driver_id,
            reason=command.reason,
        )

    def _arrive(self, command: cmd.ReportArrival, now_s: float) -> list[ev.RideEvent]:
        if self._own_ride(command.ride_id, command.driver_id).arrived_s is not None:
            return []
        ride = self._next_ride(command.ride_id, command.driver_id, ev.DriverArrived, "arriving")
        return self._happen(ride, ev.DriverArrived, now_s, "arriving", driver_id=command.driver_id)

    def _pick_up(self, command: cmd.ReportPickup, now_s: float) -> list[ev.RideEvent]:
        if self._own_ride(command.ride_id, command.driver_id).picked_up_s is not None:
            return []
        ride = self._next_ride(command.ride_id, command.driver_id, ev.RiderPickedUp, "picking up")
        return self._happen(ride, ev.RiderPickedUp, now_s, "picking up", driver_id=command.driver_id)

    def _drop_off(self, command: cmd.ReportDropoff, now_s: float) -> list[ev.RideEvent]:
        ride = self._own_ride(command.ride_id, command.driver_id)
        if ride.state is RideState.COMPLETED:  # also one that was ended for its driver
            return []
        return self._happen(
            ride,
            ev.RiderDroppedOff,
            now_s,
            "dropping off",
            driver_id=command.driver_id,
            fare_cents=ride.fare_cents if command.fare_cents is None else command.fare_cents,
            currency=ride.currency,
            receipt=ride.receipt if command.fare_cents is None else command.receipt,
        )

    def _rate(self, command: cmd.RateRide, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        if not is_new_rating(ride, command, now_s, self._params.rating_within_s):
            return []
        return self._happen(ride, ev.RideRated, now_s, "rating", driver_id=ride.driver_id, stars=command.stars)

    def _expire_due(self, command: cmd.ExpireDue, now_s: float) -> list[ev.RideEvent]:
        happened: list[ev.RideEvent] = []
        for ride in self._overdue.take_due(now_s) if command.with_drivers else ():
            fee_cents = command.no_show_fee_cents if ride.state is RideState.ARRIVED else None
            happened += self._close_overdue(ride, cmd.EndOverdue(ride.ride_id, fee_cents), now_s)
        for ride in self.open_rides():
            if ride.offer is not None and ride.state is RideState.OFFERED and ride.offer.expires_s <= now_s:
                offer = ride.offer
                happened += self._happen(
                    ride, ev.OfferExpired, now_s, "expiry", offer_id=offer.offer_id, driver_id=offer.driver_id
                )
            ride = self._book.get(ride.ride_id)
            if ride.state is RideState.REQUESTED and ride.requested_s + self._params.max_wait_s <= now_s:
                happened += self._happen(ride, ev.RideExpired, now_s, "expiry")
        return happened

    # -- endings without the driver ----------------------------------------------------------------------------------

    def _report_no_show(self, command: cmd.ReportNoShow, now_s: float) -> list[ev.RideEvent]:
        ride = self._own_ride(command.ride_id, command.driver_id)
        if ride.is_no_show:
            return []
        require_move(ride, ev.RiderDidNotShow, "a no-show")
        left_s = command.wait_s - (now_s - (ride.arrived_s or now_s))
        if left_s > 0:
            raise TooEarly(ride.ride_id, left_s)
        ending = cmd.EndRide(ride.ride_id, Party.DRIVER, NO_SHOW, command.fare_cents, command.receipt)
        return self._end(ending, now_s)

    def _end(self, command: cmd.EndRide, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        at_pickup = ride.state is RideState.ARRIVED
        standing = (0, None) if at_pickup else (ride.fare_cents, ride.receipt)
        fare_cents, receipt = standing if command.fare_cents is None else (command.fare_cents, command.receipt)
        return self._happen(
            ride,
            ev.RiderDidNotShow if at_pickup else ev.TripClosed,
            now_s,
            "ending without a dropoff",
            driver_id=ride.driver_id,
            by=command.by,
            reason=command.reason,
            fare_cents=fare_cents,
            currency=ride.currency,
            receipt=receipt,
        )

    def _end_overdue(self, command: cmd.EndOverdue, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        deadline_s = overdue_s(ride, self._params)
        if deadline_s is None or now_s < deadline_s:
            return []
        return self._close_overdue(ride, command, now_s)

    def _close_overdue(self, ride: Ride, command: cmd.EndOverdue, now_s: float) -> list[ev.RideEvent]:
        reason = REASONS[ride.state]
        if ride.state is RideState.ASSIGNED:
            return self._release(ride, reason, now_s)
        ending = cmd.EndRide(ride.ride_id, Party.SYSTEM, reason, command.fare_cents, command.receipt)
        return self._end(ending, now_s)

    def _reassign(self, command: cmd.Reassign, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        return self._withdraw(ride, now_s) or self._release(ride, command.reason, now_s)

    def _assign(self, command: cmd.AssignDriver, now_s: float) -> list[ev.RideEvent]:
        ride, driver_id = self.ride(command.ride_id), command.driver_id
        if self._book.is_asked(driver_id) or self._book.has_next(driver_id) or self._book.is_carrying(driver_id):
            raise DriverBusy(driver_id)
        if command.token <= ride.token:
            raise StaleToken(command.token, ride.token)
        happened: list[ev.RideEvent] = []
        if ride.state is not RideState.REQUESTED:
            happened = self._withdraw(ride, now_s) or self._release(ride, command.reason, now_s)
        offered = self._send_offer(cmd.SendOffer(ride.ride_id, driver_id, command.token, command.pickup_eta_s), now_s)
        offer = self.ride(ride.ride_id).offer
        assert offer is not None  # sent just now
        return happened + offered + self._accept(cmd.AcceptOffer(offer.offer_id, driver_id), now_s)

    def _release(self, ride: Ride, reason: str, now_s: float) -> list[ev.RideEvent]:
        wanted = "taking it from its driver"
        return self._happen(ride, ev.AssignmentCancelled, now_s, wanted, driver_id=ride.driver_id, reason=reason)

    def _withdraw_offer(self, command: cmd.WithdrawOffer, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride_about(command)
        is_standing = ride.offer is not None and ride.offer.driver_id == command.driver_id
        return self._withdraw(ride, now_s) if is_standing else []

    def _correct(self, command: cmd.CorrectRide, now_s: float) -> list[ev.RideEvent]:
        ride = self.ride(command.ride_id)
        if ride.state is RideState.CANCELLED and not ride.is_no_show:  # nothing is owed of it
            raise IllegalMove(ride.ride_id, ride.state, "a correction")
        if command.dropoff is not None and ride.coarse_resolution is not None:
            raise PlacesNotKept(ride.ride_id)
        is_new_fare = command.fare_cents is not None
        return self._happen(
            ride,
            ev.RideCorrected,
            now_s,
            "a correction",
            driver_id=ride.driver_id,
            reason=command.reason,
            fare_cents=command.fare_cents if is_new_fare else ride.fare_cents,
            currency=ride.currency,
            dropoff=command.dropoff or ride.dropoff,
            receipt=command.receipt if is_new_fare else ride.receipt,
        )

    # -- shared ------------------------------------------------------------------------------------------------------

    def _happen(
        self, ride: Ride, event_type: type[ev.RideEvent], now_s: float, wanted: str, **facts: Any
    ) -> list[ev.RideEvent]:
        """Let one event happen to a ride, if the table allows it."""
        require_move(ride, event_type, wanted)
        event = event_type(
            ride_id=ride.ride_id,
            sequence=ride.sequence + 1,
            at_s=now_s,
            region_id=ride.region_id,
            rider_id=ride.rider_id,
            **facts,
        )
        after = step(ride, event)
        self._book.put(after)
        self._overdue.put(after)
        return [event]

    def _withdraw(self, ride: Ride, now_s: float) -> list[ev.RideEvent]:
        if ride.state is not RideState.OFFERED or ride.offer is None:
            return []
        return self._happen(
            ride,
            ev.OfferWithdrawn,
            now_s,
            "withdrawing the offer",
            offer_id=ride.offer.offer_id,
            driver_id=ride.offer.driver_id,
        )

    def _has_answered(self, offer_id: str, driver_id: str, answer: OfferState) -> bool:
        ride = self._book.of_offer(offer_id)
        return ride is not None and ride.offer is not None and has_answered(ride, ride.offer, driver_id, answer)

    def _offered_ride(self, offer_id: str, driver_id: str, now_s: float) -> Ride:
        """The ride behind a standing offer. Raises NotFound or OfferGone."""
        ride = self._book.of_offer(offer_id)
        if ride is None or ride.offer is None or ride.offer.driver_id != driver_id:
            raise NotFound("offer", offer_id)
        if ride.offer.state is not OfferState.SENT:
            raise OfferGone(offer_id, ride.offer.state)
        if ride.offer.expires_s <= now_s:
            raise OfferGone(offer_id, OfferState.EXPIRED)
        return ride

    def _next_ride(self, ride_id: str, driver_id: str, event_type: type[ev.RideEvent], wanted: str) -> Ride:
        """The driver's ride, if the event can happen to it now: nobody is at a pickup with another rider aboard."""
        ride = self._own_ride(ride_id, driver_id)
        require_move(ride, event_type, wanted)
        if self._book.is_carrying(driver_id):
            raise DriverBusy(driver_id)
        return ride

    def _own_ride(self, ride_id: str, driver_id: str) -> Ride:
        ride = self.ride(ride_id)
        if ride.driver_id != driver_id:
            raise NotFound("ride", ride_id)
        return ride
