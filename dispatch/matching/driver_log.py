"""What drivers did, reconstructed from ride events: trips, and the waiting between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from dispatch import events as ev
from dispatch.matching.value_learning import Transitions

#: A driver without a ride for so long counts as on a break: ride events do not contain shifts.
IDLE_S_MAX = 1800.0


@dataclass(slots=True)
class _Errand:
    """A ride that a driver accepted."""

    driver_id: str
    accepted_s: float
    is_at_pickup: bool = False


@dataclass(slots=True)
class _Trip:
    pickup_node: int
    dropoff_node: int


@dataclass
class DriverLog:
    """Follows drivers through the events of a log, which come in the order in which they happened.

    Ride events name the driver but not the driver's position. A driver is assumed to wait where the last rider got out,
    and to have started at the first pickup; waiting is cut into steps of `step_s`.
    """

    step_s: float
    _trips: dict[str, _Trip] = field(default_factory=dict)
    _errands: dict[str, _Errand] = field(default_factory=dict)
    #: Driver → (node, since when): free there, or busy with what was begun from there.
    _free: dict[str, tuple[int, float]] = field(default_factory=dict)
    _rows: list[tuple[int, float, int, float, float]] = field(default_factory=list)
    _last_request_s: float = 0.0

    def take(self, events: Iterable[ev.RideEvent]) -> None:
        """Add the next events."""
        for event in events:
            match event:
                case ev.RideRequested():
                    self._trips[event.ride_id] = _Trip(event.pickup.node, event.dropoff.node)
                    self._last_request_s = event.at_s
                case ev.OfferAccepted():
                    self._errands[event.ride_id] = _Errand(event.driver_id, event.at_s)
                case ev.DriverArrived():
                    if event.ride_id in self._errands:
                        self._errands[event.ride_id].is_at_pickup = True
                case ev.RiderDroppedOff():
                    self._end(event.ride_id, event.at_s, event.fare_cents, is_driven=True)
                case ev.RiderDidNotShow():
                    self._end(event.ride_id, event.at_s, event.fare_cents, is_driven=False)
                case ev.TripClosed():  # when and where it ended, and where the driver is now, nobody knows
                    self._errands.pop(event.ride_id, None)
                    self._free.pop(event.driver_id, None)
                case ev.AssignmentCancelled() | ev.RideCancelled():
                    self._end(event.ride_id, event.at_s, 0, is_driven=False)

    def transitions(self) -> Transitions:
        """The transitions so far; drivers who still wait have waited until the last request of the log."""
        rows = list(self._rows)
        busy = {errand.driver_id: errand.accepted_s for errand in self._errands.values()}
        for driver_id, (node, since_s) in sorted(self._free.items()):
            rows += self._waited(node, since_s, min(busy.get(driver_id, np.inf), self._last_request_s))
        columns = np.array(rows, np.float64).reshape(len(rows), 5).T
        node, next_node = columns[0].astype(np.int64), columns[2].astype(np.int64)
        return Transitions(node, columns[1], next_node, columns[3], columns[4])

    def _end(self, ride_id: str, now_s: float, fare_cents: int, *, is_driven: bool) -> None:
        """End a ride: the wait before it and the ride itself become rows."""
        errand, trip = self._errands.pop(ride_id, None), self._trips.get(ride_id)
        if errand is None or trip is None:
            return  # no driver had accepted, or the log begins after the request
        node, since_s = self._free.get(errand.driver_id, (trip.pickup_node, errand.accepted_s))
        self._rows += self._waited(node, since_s, errand.accepted_s)
        # A ride accepted during a trip began when that trip ended.
        begin_s = max(since_s, errand.accepted_s)
        reached_node = trip.pickup_node if errand.is_at_pickup else node
        end_node = trip.dropoff_node if is_driven else reached_node
        if now_s > begin_s:
            self._rows.append((node, begin_s, end_node, now_s, float(fare_cents)))
        self._free[errand.driver_id] = end_node, max(begin_s, now_s)

    def _waited(self, node: int, since_s: float, until_s: float) -> list[tuple[int, float, int, float, float]]:
        until_s = min(until_s, since_s + IDLE_S_MAX)
        rows = []
        while since_s < until_s:
            next_s = min(since_s + self.step_s, until_s)
            rows.append((node, since_s, node, next_s, 0.0))
            since_s = next_s
        return rows


def transitions_of(events: Iterable[ev.RideEvent], step_s: float) -> Transitions:
    """What the drivers of one whole log did; waiting is cut into steps of `step_s`."""
    log = DriverLog(step_s)
    log.take(events)
    return log.transitions()
