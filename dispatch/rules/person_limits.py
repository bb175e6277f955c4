"""How many rides one person may have at once."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.commands import RequestRide
from dispatch.errors import TooManyRides
from dispatch.model import TERMINAL, Ride


def require_room(rides: Iterable[Ride], request: RequestRide, at_most: int) -> None:
    """Raise TooManyRides if the rider has ``at_most`` rides in the region that have not ended; 0 is no limit.

    A quote that has become one of these rides is let through: the store refuses it, and names the ride.
    """
    live = [
        ride
        for ride in rides
        if ride.rider_id == request.rider_id and ride.region_id == request.region_id and ride.state not in TERMINAL
    ]
    if any(ride.quote_id == request.quote_id for ride in live):
        return
    if at_most and len(live) >= at_most:
        raise TooManyRides(sorted(ride.ride_id for ride in live), at_most)
