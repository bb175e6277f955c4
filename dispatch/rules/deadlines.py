"""Deadlines of a ride with a driver, so that it ends even if the driver's phone dies for good."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator

from dispatch.model import DispatchParams, Ride, RideState

#: The reason in the event that ends what is overdue, by the state of the ride.
REASONS = {
    RideState.ASSIGNED: "approach_overdue",
    RideState.ARRIVED: "pickup_overdue",
    RideState.ON_TRIP: "trip_overdue",
}
#: Metres in a second, in a straight line, of a trip whose quoted time is unknown: walking pace twice over.
_UNQUOTED_MPS = 2.5
_M_PER_DEG = 111_195.0


def overdue_s(ride: Ride, params: DispatchParams) -> float | None:
    """City time from which the ride is overdue; None without a driver, and where rides have no deadlines."""
    if not params.overdue_factor:
        return None
    if ride.state is RideState.ASSIGNED and ride.assigned_s is not None:
        eta_s = ride.offer.pickup_eta_s if ride.offer is not None else params.pickup_eta_s_max
        return ride.assigned_s + params.overdue_factor * eta_s + params.overdue_slack_s
    if ride.state is RideState.ARRIVED and ride.arrived_s is not None:
        return ride.arrived_s + params.pickup_overdue_s
    if ride.state is RideState.ON_TRIP and ride.picked_up_s is not None:
        return ride.picked_up_s + params.overdue_factor * quoted_trip_s(ride) + params.overdue_slack_s
    return None


def quoted_trip_s(ride: Ride) -> float:
    """Seconds that the trip was quoted with, as its receipt says; without one a slow drive in a straight line."""
    quoted = ride.receipt.get("travel_time_s") if ride.receipt is not None else None
    if isinstance(quoted, int | float) and 0.0 <= quoted < math.inf:
        return float(quoted)
    north = ride.dropoff.lat_deg - ride.pickup.lat_deg
    east = math.remainder(ride.dropoff.lng_deg - ride.pickup.lng_deg, 360.0) * math.cos(
        math.radians(ride.pickup.lat_deg)
    )
    return math.hypot(north, east) * _M_PER_DEG / _UNQUOTED_MPS


class OverdueQueue:
    """The deadlines of many rides, the next one found without a search."""

    def __init__(self, params: DispatchParams, ride_of: Callable[[str], Ride]) -> None:
        """`ride_of` returns a ride as it stands: deadlines of earlier states do not count any more."""
        self._params = params
        self._ride_of = ride_of
        self._heap: list[tuple[float, str]] = []

    def put(self, ride: Ride) -> None:
        """Take in a ride, or its next state."""
        deadline_s = overdue_s(ride, self._params)
        if deadline_s is not None:
            heapq.heappush(self._heap, (deadline_s, ride.ride_id))

    def next_s(self) -> float | None:
        """The next deadline; None if there is none."""
        while self._heap and not self._stands(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_s: float) -> Iterator[Ride]:
        """Rides that are overdue, the longest overdue first; each is taken out."""
        while (next_s := self.next_s()) is not None and next_s <= now_s:
            yield self._ride_of(heapq.heappop(self._heap)[1])

    def _stands(self, deadline_s: float, ride_id: str) -> bool:
        return overdue_s(self._ride_of(ride_id), self._params) == deadline_s
