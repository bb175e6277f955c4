"""What can go wrong in dispatch.

DispatchError
├── CommandRefused            the caller broke a rule; nothing has changed
│   ├── NotFound              no such ride or offer, or none of the caller's
│   ├── PlacesNotKept         the ride ended so long ago that only the cells of its places are kept
│   ├── IllegalMove           the ride is in a state that does not allow it
│   ├── OfferGone             the offer does not stand any more
│   ├── OffRoad               no road of the region is near the place
│   ├── TooEarly              the rider may still come
│   ├── DriverBusy            the driver has an offer, a next ride or a rider aboard that does not leave room for it
│   ├── OffShift              the driver does not work at the moment
│   ├── CannotCome            the driver is free, but cannot take this ride
│   ├── NotListed             the driver is not on the list of those who may drive in the region
│   ├── StaleToken            a newer lease on the ride or the driver was used already
│   ├── TooManyRides          the rider has as many rides that have not ended as one person may
│   ├── QuoteUsed             the quote has become a ride already
│   ├── AlreadyRated          the rider gave the trip other stars before
│   ├── RatingTooLate         the trip ended too long ago
│   └── IdempotencyConflict   the same key came with another body
├── OffersStopped             nobody can be asked at the moment
└── InvariantBroken           ours: must not happen
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernel.errors import HexhailError


class DispatchError(HexhailError):
    """Root of this package's errors."""


class CommandRefused(DispatchError):
    """The caller broke a rule; nothing has changed."""

    code = "refused"


class OffersStopped(DispatchError):
    """No driver can be asked, for the store of leases takes no writes; a request would wait for nobody."""

    code = "offers_stopped"
    hint = "Nothing was begun: send the same request, with the same Idempotency-Key, after Retry-After seconds."
    retry_after_s = 2.0

    def __init__(self) -> None:
        super().__init__("No driver can be asked at the moment: a part of the service does not take writes.")


class NotFound(CommandRefused):
    """No such thing, or it belongs to somebody else: the two look the same on purpose."""

    code = "not_found"
    hint = "Check the id; riders see only their own rides, drivers only their own offers and rides."

    def __init__(self, what: str, ident: str) -> None:
        super().__init__(f"There is no {what} {ident!r} of yours.")


class IllegalMove(CommandRefused):
    """The ride's state does not allow the command."""

    code = "illegal_move"
    hint = "Read the ride again (GET /v1/rides/{id}) and act on its present state."

    def __init__(self, ride_id: str, state: str, wanted: str) -> None:
        super().__init__(f"Ride {ride_id} is {state}; {wanted} is not possible from there.")
        self.state = state


class PlacesNotKept(CommandRefused):
    """The ride ended so long ago that only the cells of its places are kept."""

    code = "places_not_kept"
    hint = "Correct the fare alone, and say where the rider left in the reason."

    def __init__(self, ride_id: str) -> None:
        super().__init__(f"The places of ride {ride_id} are no longer kept, so its dropoff cannot be corrected.")


class TooManyRides(CommandRefused):
    """The rider has as many rides that have not ended as one person may have."""

    code = "too_many_rides"
    hint = "Wait for the end of the ride, or cancel it (POST /v1/rides/{id}/cancel), and request again."
    #: A trip takes minutes; nobody can say how many.
    retry_after_s = 60.0

    def __init__(self, ride_ids: Sequence[str], at_most: int) -> None:
        super().__init__(
            f"Rides of yours that have not ended: {len(ride_ids)}, of at most {at_most}; one is {ride_ids[0]}."
        )
        self.ride_ids = ride_ids


class OfferGone(CommandRefused):
    """The offer was answered, ran out or was withdrawn."""

    code = "offer_gone"
    hint = "This ride is not yours; any ride that you have is unchanged. The next offer comes on your stream."

    def __init__(self, offer_id: str, state: str) -> None:
        super().__init__(f"Offer {offer_id} does not stand any more: it is {state}.")
        self.state = state


class OffRoad(CommandRefused):
    """No road of the region is near the place."""

    code = "off_road"
    hint = "Give a place on or near a road of the region, or leave it out."

    def __init__(self, which: str) -> None:
        super().__init__(f"The {which} is not near any road of the region.")


class TooEarly(CommandRefused):
    """The rider may still come: the time that the tariff lets a driver wait is not over."""

    code = "too_early"

    def __init__(self, ride_id: str, seconds_left: float) -> None:
        self.seconds_left = math.ceil(seconds_left)
        super().__init__(f"The rider of ride {ride_id} has {self.seconds_left} s left to come.")
        self.hint = f"Wait for {self.seconds_left} s more, then report the no-show again."


class DriverBusy(CommandRefused):
    """The driver has an offer, a next ride or a rider aboard that does not leave room for it."""

    code = "driver_busy"
    hint = "Go on with the ride that you have, or answer the offer that stands; then try again."

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"Driver {driver_id} has a live ride or offer.")


class OffShift(CommandRefused):
    """The driver does not work at the moment."""

    code = "off_shift"
    hint = "Go on shift first."

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"Driver {driver_id} is not on shift.")


class CannotCome(CommandRefused):
    """The driver is free, but cannot take this ride: nobody knows where the car is, it is too small, or has no way."""

    code = "driver_cannot_come"
    hint = "Name another driver, or reassign the ride without naming one."

    def __init__(self, driver_id: str, why: str) -> None:
        super().__init__(f"Driver {driver_id} cannot take the ride: {why}.")
        self.why = why


class NotListed(CommandRefused):
    """The driver is not on the list of those who may drive in the region."""

    code = "driver_not_listed"
    hint = "Ask the operator of this region to put you on the list of its drivers."

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"Driver {driver_id} is not on the list of those who may drive here.")


class StaleToken(CommandRefused):
    """A newer lease on the ride or the driver was used already: the holder of this one was paused, or is late."""

    code = "stale_token"
    hint = "Take a new lease."

    def __init__(self, token: int, newest: int) -> None:
        super().__init__(f"Token {token} is not newer than {newest}.")


class QuoteUsed(CommandRefused):
    """The quote has become a ride already."""

    code = "quote_used"
    hint = (
        "The ride is yours: repeat the request with the same Idempotency-Key and you get it. Another needs a new quote."
    )

    def __init__(self, quote_id: str, ride_id: str | None = None) -> None:
        """`ride_id` is the ride that it became; None while nobody has looked."""
        self.quote_id = quote_id
        super().__init__(f"Quote {quote_id} has become {f'ride {ride_id}' if ride_id else 'a ride'} already.")
        if ride_id:
            self.hint = f"The ride is yours: read it with GET /v1/rides/{ride_id}. Another ride needs a new quote."


class AlreadyRated(CommandRefused):
    """The rider gave the trip other stars before."""

    code = "already_rated"
    hint = "A rating stands as it was given first."

    def __init__(self, ride_id: str, stars: int) -> None:
        super().__init__(f"Ride {ride_id} was rated with {stars} of 5 stars before.")


class RatingTooLate(CommandRefused):
    """The trip ended too long ago."""

    code = "rating_too_late"
    hint = "Rate a trip soon after its end; an operator can be informed at any time."

    def __init__(self, ride_id: str, within_s: float) -> None:
        super().__init__(f"Ride {ride_id} ended more than {within_s / 3600:g} hours ago; ratings are taken until then.")


class IdempotencyConflict(CommandRefused):
    """The same idempotency key came with another body."""

    code = "idempotency_conflict"
    hint = "Use a new Idempotency-Key for a new request."

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} was used before with another body.")


class InvariantBroken(DispatchError):
    """A rule that this code guarantees does not hold."""
