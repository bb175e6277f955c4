"""Converts receipts to and from plain values, which dispatch stores without reading them."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from api.failures import Outages
from dispatch.model import Ride
from kernel.points import Point
from pricing.model.quotes import Quote, Receipt
from pricing.service.fares import EndedTrip, FareService

log = structlog.get_logger(__name__)


def plain(receipt: Receipt) -> dict[str, Any]:
    """The receipt as a ride keeps it."""
    values: dict[str, Any] = msgspec.to_builtins(receipt)
    return values


def of_quote(quote: Quote) -> dict[str, Any]:
    """What the ride of a quote keeps."""
    return plain(quote.receipt)


def receipt_of(ride: Ride) -> Receipt | None:
    """The receipt of a ride; None for one that was requested without."""
    try:
        return msgspec.convert(ride.receipt, Receipt)
    except msgspec.ValidationError:
        return None


async def settled(
    fares: FareService, ride: Ride, left_at: Point | None, now_s: float, outages: Outages
) -> tuple[int | None, dict[str, Any] | None]:
    """The fare and receipt for a ride that ends now; (None, None) where the agreed ones stand.

    While the archive of tariffs is away the quote's price stands: a rider is not kept in the car for it.
    """
    receipt = receipt_of(ride)
    if receipt is None or ride.picked_up_s is None:
        return None, None
    trip = EndedTrip(
        pickup=ride.pickup,
        dropoff=ride.dropoff,
        left_at=left_at,
        arrived_s=ride.arrived_s if ride.arrived_s is not None else ride.picked_up_s,
        picked_up_s=ride.picked_up_s,
        dropped_off_s=now_s,
    )
    try:
        fare_cents, computed = await fares.settle(ride.fare_cents, receipt, trip)
    except tuple(outages) as error:
        log.warning("fare_not_settled", ride_id=ride.ride_id, fare_cents=ride.fare_cents, error=repr(error))
        return None, None
    return fare_cents, plain(computed)
