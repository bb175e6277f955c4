"""The life of a ride as one table, and the step from a ride and an event to the ride after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispatch import events as ev
from dispatch.errors import IllegalMove, InvariantBroken
from dispatch.model import AgreedTrip, Offer, OfferState, Party, Ride, RideState

#: Legal moves; a pair that is not in the table is illegal.
MOVES: dict[tuple[RideState, type[ev.RideEvent]], RideState] = {
    (RideState.REQUESTED, ev.OfferSent): RideState.OFFERED,
    (RideState.REQUESTED, ev.RideSetAside): RideState.REQUESTED,
    (RideState.REQUESTED, ev.RideCancelled): RideState.CANCELLED,
    (RideState.REQUESTED, ev.RideExpired): RideState.EXPIRED,
    (RideState.OFFERED, ev.OfferAccepted): RideState.ASSIGNED,
    (RideState.OFFERED, ev.OfferDeclined): RideState.REQUESTED,
    (RideState.OFFERED, ev.OfferExpired): RideState.REQUESTED,
    (RideState.OFFERED, ev.OfferWithdrawn): RideState.REQUESTED,
    (RideState.ASSIGNED, ev.DriverArrived): RideState.ARRIVED,
    (RideState.ASSIGNED, ev.AssignmentCancelled): RideState.REQUESTED,
    (RideState.ASSIGNED, ev.RideCancelled): RideState.CANCELLED,
    (RideState.ARRIVED, ev.RiderPickedUp): RideState.ON_TRIP,
    (RideState.ARRIVED, ev.AssignmentCancelled): RideState.REQUESTED,
    (RideState.ARRIVED, ev.RideCancelled): RideState.CANCELLED,
    (RideState.ARRIVED, ev.RiderDidNotShow): RideState.CANCELLED,
    (RideState.ON_TRIP, ev.RiderDroppedOff): RideState.COMPLETED,
    (RideState.ON_TRIP, ev.TripClosed): RideState.COMPLETED,
    (RideState.ON_TRIP, ev.RideCancelled): RideState.CANCELLED,
    (RideState.COMPLETED, ev.RideRated): RideState.COMPLETED,
    (RideState.COMPLETED, ev.RideCorrected): RideState.COMPLETED,
    (RideState.CANCELLED, ev.RideCorrected): RideState.CANCELLED,
}

#: The state of an offer after each event.
OFFER_ENDS: dict[type[ev.RideEvent], OfferState] = {
    ev.OfferAccepted: OfferState.ACCEPTED,
    ev.OfferDeclined: OfferState.DECLINED,
    ev.OfferExpired: OfferState.EXPIRED,
    ev.OfferWithdrawn: OfferState.WITHDRAWN,
}

#: Events that release the driver of a ride, who is idle from then on.
FREES_DRIVER = (
    ev.RiderDroppedOff,
    ev.TripClosed,
    ev.RiderDidNotShow,
    ev.AssignmentCancelled,
    ev.RideCancelled,
)

#: Events that say what is owed.
_CHARGES = (ev.RiderDroppedOff, ev.TripClosed, ev.RiderDidNotShow, ev.RideCorrected)


def require_move(ride: Ride, event_type: type[ev.RideEvent], wanted: str) -> None:
    """Raise IllegalMove, which names the state met, if `event_type` cannot happen to the ride now."""
    if (ride.state, event_type) not in MOVES:
        raise IllegalMove(ride.ride_id, ride.state, wanted)


def begin(event: ev.RideRequested) -> Ride:
    """The ride that a request begins."""
    return Ride(
        ride_id=event.ride_id,
        region_id=event.region_id,
        rider_id=event.rider_id,
        quote_id=event.quote_id,
        pickup=event.pickup,
        dropoff=event.dropoff,
        seats=event.seats,
        fare_cents=event.fare_cents,
        currency=event.currency,
        requested_s=event.at_s,
        sequence=event.sequence,
        receipt=event.receipt,
        map_id=event.map_id,
    )


def step(ride: Ride, event: ev.RideEvent) -> Ride:
    """The ride after the event.

    Raises IllegalMove for a move that the table does not hold, InvariantBroken for an event out of order.
    """
    state = MOVES.get((ride.state, type(event)))
    if state is None:
        raise IllegalMove(ride.ride_id, ride.state, type(event).__name__)
    if event.sequence != ride.sequence + 1:
        raise InvariantBroken(f"ride {ride.ride_id}: event {event.sequence} after {ride.sequence}")
    return _changed(ride, {"state": state, "sequence": event.sequence, **_changes(ride, event)})


def _changed(ride: Ride, changes: dict[str, Any]) -> Ride:
    """As `dataclasses.replace`, ten times faster: a simulated day copies two dozen fields millions of times."""
    changed = object.__new__(Ride)
    vars(changed).update(vars(ride))
    vars(changed).update(changes)
    return changed


def _changes(ride: Ride, event: ev.RideEvent) -> dict[str, Any]:
    """What an event changes besides state and sequence."""
    if isinstance(event, ev.OfferSent):
        return _offered(ride, event)
    if type(event) in OFFER_ENDS:
        return _answered(ride, event)
    if isinstance(event, ev.RideSetAside):
        return {"set_aside_on": event.map_id}
    if isinstance(event, _CHARGES):
        return {**_charged(event), **_kept_agreement(ride, event)}
    match event:
        case ev.DriverArrived():
            return {"arrived_s": event.at_s}
        case ev.RiderPickedUp():
            return {"picked_up_s": event.at_s}
        case ev.RideRated():
            return {"stars": event.stars}
        case ev.AssignmentCancelled():
            released = {"driver_id": None, "assigned_s": None, "arrived_s": None}
            refused_by, given_back_by = (*ride.refused_by, event.driver_id), (*ride.given_back_by, event.driver_id)
            return {**released, "refused_by": refused_by, "given_back_by": given_back_by}
    return _ended(event)


def _ended(event: ev.RideEvent) -> dict[str, Any]:
    """What the end of a ride without a trip changes."""
    match event:
        case ev.RideCancelled():
            return {"ended_s": event.at_s, "cancelled_by": event.by, "cancel_reason": event.reason}
        case ev.RideExpired():
            return {"ended_s": event.at_s, "cancelled_by": Party.SYSTEM}
    raise InvariantBroken(f"{type(event).__name__} is in the table, but nothing says what it does")


def _kept_agreement(
    ride: Ride, event: ev.RiderDroppedOff | ev.TripClosed | ev.RiderDidNotShow | ev.RideCorrected
) -> dict[str, Any]:
    """What was agreed, if this is the first event that changes it: a later correction is computed from it."""
    is_moved = isinstance(event, ev.RideCorrected) and event.dropoff != ride.dropoff
    if ride.agreed is not None or not (
        is_moved or event.fare_cents != ride.fare_cents or event.receipt != ride.receipt
    ):
        return {}
    return {"agreed": AgreedTrip(ride.fare_cents, ride.dropoff, ride.receipt)}


def _charged(event: ev.RiderDroppedOff | ev.TripClosed | ev.RiderDidNotShow | ev.RideCorrected) -> dict[str, Any]:
    owed: dict[str, Any] = {"fare_cents": event.fare_cents, "receipt": event.receipt}
    match event:
        case ev.RideCorrected():
            # The operator's map may be another one than that of the pickup.
            return {**owed, "dropoff": event.dropoff, "map_id": ""}
        case ev.RiderDroppedOff():
            return {**owed, "dropped_off_s": event.at_s, "ended_s": event.at_s}
        case ev.TripClosed():
            return {**owed, "ended_s": event.at_s, "ended_by": event.by, "end_reason": event.reason}
        case ev.RiderDidNotShow():
            ended = {"ended_s": event.at_s, "ended_by": event.by, "end_reason": event.reason}
            return {**owed, **ended, "is_no_show": True}


def _offered(ride: Ride, event: ev.OfferSent) -> dict[str, Any]:
    if event.token <= ride.token:
        raise InvariantBroken(f"ride {ride.ride_id}: token {event.token} is not newer than {ride.token}")
    offer = Offer(
        offer_id=event.offer_id,
        ride_id=event.ride_id,
        driver_id=event.driver_id,
        token=event.token,
        sent_s=event.at_s,
        expires_s=event.expires_s,
        pickup_eta_s=event.pickup_eta_s,
    )
    return {"offer": offer, "token": event.token}


def _answered(ride: Ride, event: ev.RideEvent) -> dict[str, Any]:
    if ride.offer is None:
        raise InvariantBroken(f"ride {ride.ride_id} is {ride.state} without an offer")
    offer = replace(ride.offer, state=OFFER_ENDS[type(event)])
    if isinstance(event, ev.OfferAccepted):
        return {"offer": offer, "driver_id": offer.driver_id, "assigned_s": event.at_s}
    return {"offer": offer, "refused_by": (*ride.refused_by, offer.driver_id)}
