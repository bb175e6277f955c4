"""When a rider may rate a trip: once, after its end and within `rating_within_s`."""

from __future__ import annotations

from dispatch import events as ev
from dispatch.commands import RateRide
from dispatch.errors import AlreadyRated, NotFound, RatingTooLate
from dispatch.model import Ride
from dispatch.rules.lifecycle import require_move


def is_new_rating(ride: Ride, command: RateRide, now_s: float, within_s: float) -> bool:
    """Whether the command is a new rating; False if it repeats the stars given before, which is allowed at any time.

    Raises NotFound for somebody else's ride, IllegalMove for one that is not completed, AlreadyRated for other stars
    than before, or RatingTooLate.
    """
    if ride.rider_id != command.rider_id:
        raise NotFound("ride", ride.ride_id)
    require_move(ride, ev.RideRated, "rating")
    if ride.stars is not None:
        if ride.stars != command.stars:
            raise AlreadyRated(ride.ride_id, ride.stars)
        return False
    if ride.ended_s is not None and now_s > ride.ended_s + within_s:
        raise RatingTooLate(ride.ride_id, within_s)
    return True
