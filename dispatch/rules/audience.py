"""Who is told of an event: the inboxes it goes to."""

from __future__ import annotations

from dispatch import events as ev

#: What concerns the rider; the offers to drivers who said no do not.
_FOR_RIDER = (
    ev.RideRequested,
    ev.OfferAccepted,
    ev.AssignmentCancelled,
    ev.DriverArrived,
    ev.RiderPickedUp,
    ev.RiderDroppedOff,
    ev.RideRated,
    ev.RideCancelled,
    ev.RideExpired,
)


def inboxes(event: ev.RideEvent) -> tuple[str, ...]:
    """Names `<role>:<id>` of those who are told, rider first."""
    names = []
    if isinstance(event, _FOR_RIDER):
        names.append(f"rider:{event.rider_id}")
    driver_id: str | None = getattr(event, "driver_id", None)
    # Drivers are told what they are rated on average: who is told of each rating knows who gave it.
    if driver_id is not None and not isinstance(event, ev.RideRated):
        names.append(f"driver:{driver_id}")
    return tuple(names)
