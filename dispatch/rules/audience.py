"""Which inboxes an event is delivered to."""

from __future__ import annotations

from dispatch import events as ev

#: Events delivered to the rider: all but offers that a driver declined or let expire.
_FOR_RIDER = (
    ev.RideRequested,
    ev.RideSetAside,
    ev.OfferAccepted,
    ev.AssignmentCancelled,
    ev.DriverArrived,
    ev.RiderPickedUp,
    ev.RiderDroppedOff,
    ev.TripClosed,
    ev.RiderDidNotShow,
    ev.RideCorrected,
    ev.RideRated,
    ev.RideCancelled,
    ev.RideExpired,
)


def inboxes(event: ev.RideEvent) -> tuple[str, ...]:
    """The names `<role>:<id>` of the inboxes that receive an event, the rider's first."""
    names = []
    if isinstance(event, _FOR_RIDER):
        names.append(f"rider:{event.rider_id}")
    driver_id: str | None = getattr(event, "driver_id", None)
    # Drivers see their mean rating only: a single rating would reveal which rider gave it.
    if driver_id is not None and not isinstance(event, ev.RideRated):
        names.append(f"driver:{driver_id}")
    return tuple(names)
