"""Detects commands that repeat what the same person has done already: a phone that got no answer asks again.

A repeat changes nothing and is answered with the ride as it is. A late one counts too: a driver who reports the arrival
again after the pickup has arrived all the same.
"""

from __future__ import annotations

from dataclasses import replace

from dispatch.model import Offer, OfferState, Party, Ride, RideState


def has_answered(ride: Ride, offer: Offer, driver_id: str, answer: OfferState) -> bool:
    """Whether the driver gave this answer to the offer before; an acceptance counts while the ride is the driver's."""
    if offer.driver_id != driver_id or offer.state is not answer:
        return False
    return answer is not OfferState.ACCEPTED or ride.driver_id == driver_id


def has_given_back(ride: Ride, driver_id: str) -> bool:
    """Whether the ride was this driver's and is not any more."""
    return driver_id in ride.given_back_by and ride.driver_id != driver_id


def has_cancelled(ride: Ride, by: Party) -> bool:
    """Whether the same side ended the ride by a cancellation before."""
    return ride.state is RideState.CANCELLED and ride.cancelled_by is by


def as_left(ride: Ride) -> Ride:
    """The ride as a driver sees it who declined it or gave it back: whose it became since is none of theirs."""
    return replace(
        ride,
        state=RideState.REQUESTED,
        offer=None,
        driver_id=None,
        refused_by=(),
        given_back_by=(),
        assigned_s=None,
        arrived_s=None,
        picked_up_s=None,
        dropped_off_s=None,
        ended_s=None,
        cancelled_by=None,
        cancel_reason=None,
        receipt=None if ride.dropped_off_s is not None else ride.receipt,
        stars=None,
    )
