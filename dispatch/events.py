"""What has happened to a ride.

Every event carries the ride, its place in the ride's own order (`sequence`, from 1, without gaps) and the city time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.model import Party
from kernel.points import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class RideEvent:
    """Common to all."""

    ride_id: str
    sequence: int
    at_s: float
    region_id: str
    rider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RideRequested(RideEvent):
    """The request was taken in; from here on it is ours to end."""

    quote_id: str
    pickup: Place
    dropoff: Place
    seats: int
    fare_cents: int
    currency: str
    receipt: Mapping[str, object] | None = None
    #: The map whose numbers the two places hold; empty where nobody knows.
    map_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RideSetAside(RideEvent):
    """No round looks at the ride on this map; it waits for another map, its rider's cancellation or its expiry."""

    map_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSent(RideEvent):
    """A driver is asked."""

    offer_id: str
    driver_id: str
    token: int
    expires_s: float
    pickup_eta_s: float
    pickup: Place
    dropoff: Place
    seats: int
    fare_cents: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAccepted(RideEvent):
    """The driver said yes: the ride is assigned."""

    offer_id: str
    driver_id: str
    token: int
    pickup_eta_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferDeclined(RideEvent):
    """The driver said no."""

    offer_id: str
    driver_id: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferExpired(RideEvent):
    """The driver did not answer in time."""

    offer_id: str
    driver_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferWithdrawn(RideEvent):
    """The offer ended unanswered: the ride ended, or the driver went off shift, or an operator took it back."""

    offer_id: str
    driver_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentCancelled(RideEvent):
    """The driver gave the ride back before the pickup, or it was taken from them; it is matched anew."""

    driver_id: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverArrived(RideEvent):
    """The driver stands at the pickup."""

    driver_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderPickedUp(RideEvent):
    """The trip begins."""

    driver_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderDroppedOff(RideEvent):
    """The trip is over; this is what it costs."""

    driver_id: str
    fare_cents: int
    currency: str
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TripClosed(RideEvent):
    """The trip was ended although no dropoff was reported: by its deadline, or by an operator."""

    driver_id: str
    by: Party
    reason: str
    fare_cents: int
    currency: str
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderDidNotShow(RideEvent):
    """The rider did not come to the pickup; the fare is the fee for that."""

    driver_id: str
    by: Party
    reason: str
    fare_cents: int
    currency: str
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RideCorrected(RideEvent):
    """An operator has corrected what is owed, or where the rider left, after the end of the ride."""

    driver_id: str
    reason: str
    fare_cents: int
    currency: str
    dropoff: Place
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RideRated(RideEvent):
    """The rider has said how the trip was, after its end; the ride stays completed."""

    driver_id: str
    stars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RideCancelled(RideEvent):
    """The ride was cancelled, and nothing is owed; during a trip by an operator alone."""

    by: Party
    reason: str | None
    driver_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RideExpired(RideEvent):
    """Nobody was found in time."""


@dataclass(frozen=True, slots=True)
class MatchFound:
    """A round's decision: this driver shall be asked. It changes no ride; the offer does."""

    ride_id: str
    driver_id: str
    pickup_eta_s: float
    score: float


#: Those that a ride's log consists of.
RIDE_EVENTS: tuple[type[RideEvent], ...] = (
    RideRequested,
    RideSetAside,
    OfferSent,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferWithdrawn,
    AssignmentCancelled,
    DriverArrived,
    RiderPickedUp,
    RiderDroppedOff,
    TripClosed,
    RiderDidNotShow,
    RideCorrected,
    RideRated,
    RideCancelled,
    RideExpired,
)
