"""Checks the invariants on a history of events, after every event and not only at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dispatch import events as ev
from dispatch.errors import DispatchError
from dispatch.model import TERMINAL, Ride
from dispatch.rules.lifecycle import OFFER_ENDS, begin, step

#: Events after which the ride is no longer its driver's next ride.
_LEAVES_NEXT = (ev.AssignmentCancelled, ev.RideCancelled, ev.RiderDidNotShow, ev.RiderPickedUp)
#: Events after which the rider is no longer aboard.
_LEAVES_CAR = (ev.RiderDroppedOff, ev.TripClosed, ev.RideCancelled)


@dataclass(slots=True)
class History:
    """Reads events in the order of their commit and records each violation as a sentence."""

    violations: list[str] = field(default_factory=list)
    rides: dict[str, Ride] = field(default_factory=dict)
    _next_of_driver: dict[str, str] = field(default_factory=dict)
    _aboard_of_driver: dict[str, str] = field(default_factory=dict)
    _offer_of_driver: dict[str, str] = field(default_factory=dict)
    _newest_token: dict[tuple[str, str], int] = field(default_factory=dict)

    def observe(self, event: ev.RideEvent) -> None:
        """Take in the next event."""
        before = self.rides.get(event.ride_id)
        try:
            self.rides[event.ride_id] = self._after(before, event)
        except DispatchError as error:
            self.violations.append(f"2 {error}")
            return
        self._follow_offer(event)
        self._follow_driver(event, before)

    def open_rides(self) -> list[Ride]:
        """Rides that have not ended."""
        return [ride for ride in self.rides.values() if ride.state not in TERMINAL]

    def forget_ended(self) -> None:
        """Drop ended rides, to bound the memory of long histories; a later event of one of them is a violation."""
        self.rides = {ride_id: ride for ride_id, ride in self.rides.items() if ride.state not in TERMINAL}

    def _after(self, before: Ride | None, event: ev.RideEvent) -> Ride:
        if isinstance(event, ev.RideRequested):
            if before is not None:
                self.violations.append(f"2 ride {event.ride_id} was requested twice")
            return begin(event)
        if before is None:
            self.violations.append(f"4 ride {event.ride_id}: {type(event).__name__} came before its request")
            raise DispatchError(f"ride {event.ride_id} is unknown")
        return step(before, event)

    def _follow_offer(self, event: ev.RideEvent) -> None:
        if isinstance(event, ev.OfferSent):
            held = self._offer_of_driver.get(event.driver_id)
            if held is not None:
                self.violations.append(f"1 driver {event.driver_id} has offers {held} and {event.offer_id} at once")
            if event.driver_id in self._next_of_driver:
                self.violations.append(f"1 driver {event.driver_id} was asked while having a next ride")
            fenced = (event.region_id, event.driver_id)
            if event.token <= self._newest_token.get(fenced, 0):
                self.violations.append(f"2 driver {event.driver_id}: token {event.token} is not newer than the last")
            self._newest_token[fenced] = event.token
            self._offer_of_driver[event.driver_id] = event.offer_id
        elif type(event) in OFFER_ENDS:
            offer = self.rides[event.ride_id].offer
            if isinstance(event, ev.OfferAccepted) and offer is not None and offer.expires_s <= event.at_s:
                self.violations.append(f"2 offer {event.offer_id} was accepted after it had run out")
            self._offer_of_driver.pop(event.driver_id, None)  # type: ignore[attr-defined]  # each of them names its driver

    def _follow_driver(self, event: ev.RideEvent, before: Ride | None) -> None:
        if isinstance(event, ev.OfferAccepted):
            held = self._next_of_driver.get(event.driver_id)
            if held is not None:
                self.violations.append(f"1 driver {event.driver_id} has rides {held} and {event.ride_id} at once")
            self._next_of_driver[event.driver_id] = event.ride_id
        elif isinstance(event, ev.DriverArrived | ev.RiderPickedUp):
            held = self._aboard_of_driver.get(event.driver_id)
            if held is not None:
                self.violations.append(f"1 driver {event.driver_id} is with {event.ride_id} while {held} is aboard")
        driver_id = before.driver_id if before is not None else None
        if driver_id is None:
            return
        if isinstance(event, _LEAVES_NEXT) and self._next_of_driver.get(driver_id) == event.ride_id:
            del self._next_of_driver[driver_id]
        if isinstance(event, ev.RiderPickedUp):
            self._aboard_of_driver[driver_id] = event.ride_id
        elif isinstance(event, _LEAVES_CAR) and self._aboard_of_driver.get(driver_id) == event.ride_id:
            del self._aboard_of_driver[driver_id]


def check_history(events: Iterable[ev.RideEvent]) -> History:
    """Follow a whole history; `violations` of the result begin with the number of the invariant."""
    history = History()
    for event in events:
        history.observe(event)
    return history
