"""What a ride was agreed on, and the fare of its trip once that has ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dispatch.errors import InvariantBroken
from dispatch.model import AgreedTrip, Ride, RideState
from kernel.points import Point
from pricing.model.quotes import Receipt
from pricing.model.tariff import Tariff
from pricing.rules.correction import CORRECTION
from pricing.rules.dropoff import Driven, DropoffTerms, fare_at_dropoff
from pricing.rules.no_show import no_show_fare
from workflows.receipts import from_plain, receipt_of, to_plain


@dataclass(frozen=True, slots=True)
class Agreed:
    """What rider and service agreed on with the quote; no event changes it before the dropoff."""

    pickup: Point
    dropoff: Point
    receipt: Receipt

    @classmethod
    def of(cls, ride: Ride) -> Agreed | None:
        """Return what was agreed on for a ride; None for one that was requested without a quote of this service."""
        receipt = receipt_of(ride)
        return cls(ride.pickup, ride.dropoff, receipt) if receipt is not None else None


@dataclass(frozen=True, slots=True)
class FareTerms:
    """What a fare is settled by, read before the ride is locked."""

    agreed: Agreed
    dropoff: DropoffTerms


def settle(ride: Ride, terms: FareTerms | None, now_s: float | None) -> tuple[int | None, dict[str, object] | None]:
    """Return fare and receipt of a ride that ends at `now_s`; (None, None) where those of the ride stand.

    None for `now_s`: nobody knows when the trip ended, and it counts as long as it was quoted.
    A ride that cannot end now has none either: to refuse the command is dispatch's part.
    Raises InvariantBroken if the terms are those of another agreement.
    """
    if terms is None or ride.state is not RideState.ON_TRIP or ride.picked_up_s is None:
        return None, None
    if Agreed.of(ride) != terms.agreed:
        raise InvariantBroken(f"what was agreed on for ride {ride.ride_id} changed while its fare was settled")
    arrived_s = ride.arrived_s if ride.arrived_s is not None else ride.picked_up_s
    quoted_s = terms.agreed.receipt.travel_time_s
    driven = Driven(
        travel_time_s=quoted_s if now_s is None else max(now_s - ride.picked_up_s, 0.0),
        waited_s=max(ride.picked_up_s - arrived_s, 0.0),
        other_trip=terms.dropoff.other_trip,
    )
    fare_cents, receipt = fare_at_dropoff(terms.dropoff.tariff, ride.fare_cents, terms.agreed.receipt, driven)
    return fare_cents, to_plain(receipt)


def agreed_before_end(ride: Ride) -> tuple[int, Agreed] | None:
    """Return the quoted price and what was agreed of a ride that has ended; None without a quote of this service.

    Rides that ended before agreements were kept count with what they cost.
    """
    kept = ride.agreed or AgreedTrip(ride.fare_cents, ride.dropoff, ride.receipt)
    receipt = from_plain(kept.receipt)
    return (kept.fare_cents, Agreed(ride.pickup, kept.dropoff, receipt)) if receipt is not None else None


def settle_anew(ride: Ride, dropoff: DropoffTerms) -> tuple[int | None, dict[str, object] | None]:
    """Return fare and receipt of a trip that has ended elsewhere than was thought; (None, None) where they stand.

    By the rules of the dropoff, from the agreement on: earlier corrections of the fare count no more.
    """
    agreed = agreed_before_end(ride)
    if agreed is None or ride.state is not RideState.COMPLETED or ride.picked_up_s is None:
        return None, None
    price_cents, trip = agreed
    arrived_s = ride.arrived_s if ride.arrived_s is not None else ride.picked_up_s
    left_s = ride.dropped_off_s
    driven = Driven(
        travel_time_s=trip.receipt.travel_time_s if left_s is None else max(left_s - ride.picked_up_s, 0.0),
        waited_s=max(ride.picked_up_s - arrived_s, 0.0),
        other_trip=dropoff.other_trip,
    )
    fare_cents, receipt = fare_at_dropoff(dropoff.tariff, price_cents, trip.receipt, driven)
    return fare_cents, to_plain(replace(receipt, changes=(*receipt.changes, CORRECTION)))


def settled(ride: Ride, tariff: Tariff | None) -> tuple[int | None, dict[str, object] | None]:
    """Return what is owed, and its receipt, if the ride ends now without a dropoff; (None, None) where nothing changes.

    A trip takes as long as it was quoted, because nobody knows when it ended; waiting at the pickup is known. It costs
    what was agreed where nobody kept the tariff.
    """
    if ride.state is RideState.ARRIVED:
        return no_show_owed(ride, tariff)
    agreed = Agreed.of(ride)
    if agreed is None or tariff is None or tariff.at_dropoff is None:
        return None, None
    return settle(ride, FareTerms(agreed, DropoffTerms(tariff, None)), None)


def no_show_owed(ride: Ride, tariff: Tariff | None) -> tuple[int, dict[str, object] | None]:
    """Return the fee of a no-show and its receipt; no fee where nobody kept the tariff."""
    receipt = receipt_of(ride)
    if receipt is None or tariff is None:
        return 0, None
    fee_cents, charged = no_show_fare(tariff, receipt)
    return fee_cents, to_plain(charged)
