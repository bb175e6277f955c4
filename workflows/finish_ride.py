"""Finishing a ride: pricing's fare and dispatch's dropoff, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from dispatch.commands import ReportDropoff
from dispatch.errors import InvariantBroken
from dispatch.model import Party, Ride, RideState
from dispatch.service.rides import RideService
from kernel.points import Point
from pricing.model.quotes import Receipt
from pricing.rules.dropoff import Driven, DropoffTerms, fare_at_dropoff
from pricing.service.fares import FareService
from workflows.receipts import receipt_of, to_plain

log = structlog.get_logger(__name__)


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


@dataclass(frozen=True, slots=True)
class FinishRideWorkflow:
    """Ends the rides of one region."""

    rides: RideService
    fares: FareService
    #: The errors by which the archive of tariffs says that it does not answer.
    archive_outages: tuple[type[Exception], ...]

    async def finish(self, ride_id: str, driver_id: str, left_at: Point | None) -> Ride:
        """End the driver's ride and settle its fare; return once both are durable.

        `left_at` is where the rider left, None if nobody said. What takes I/O or a search is read first, by what was
        agreed on; the fare is computed while the ride is locked, from the times that are written with it.
        Raises a dispatch.errors.CommandRefused; nothing has changed then.
        """
        ride = await self.rides.find(ride_id, Party.DRIVER, driver_id)
        terms = await self._terms(ride, left_at)

        def report(locked: Ride, now_s: float) -> ReportDropoff:
            fare_cents, receipt = settle(locked, terms, now_s)
            return ReportDropoff(ride_id, driver_id, fare_cents, receipt)

        return (await self.rides.handle_locked(ride_id, report)).ride

    async def _terms(self, ride: Ride, left_at: Point | None) -> FareTerms | None:
        """Return what the fare is settled by; None where the agreed fare stands.

        It stands while the archive of tariffs does not answer: a rider is not kept in the car for it.
        """
        agreed = Agreed.of(ride)
        if agreed is None or ride.dropped_off_s is not None:
            return None
        try:
            dropoff = await self.fares.dropoff_terms(agreed.receipt, agreed.pickup, agreed.dropoff, left_at)
        except self.archive_outages as error:
            log.warning("fare_not_settled", ride_id=ride.ride_id, fare_cents=ride.fare_cents, error=repr(error))
            return None
        return FareTerms(agreed, dropoff) if dropoff is not None else None


def settle(ride: Ride, terms: FareTerms | None, now_s: float) -> tuple[int | None, dict[str, object] | None]:
    """Return fare and receipt of a ride that ends at `now_s`; (None, None) where those of the ride stand.

    A ride that cannot end now has none either: to refuse the command is dispatch's part.
    Raises InvariantBroken if the terms are those of another agreement.
    """
    if terms is None or ride.state is not RideState.ON_TRIP or ride.picked_up_s is None:
        return None, None
    if Agreed.of(ride) != terms.agreed:
        raise InvariantBroken(f"what was agreed on for ride {ride.ride_id} changed while its fare was settled")
    arrived_s = ride.arrived_s if ride.arrived_s is not None else ride.picked_up_s
    driven = Driven(
        travel_time_s=max(now_s - ride.picked_up_s, 0.0),
        waited_s=max(ride.picked_up_s - arrived_s, 0.0),
        other_trip=terms.dropoff.other_trip,
    )
    fare_cents, receipt = fare_at_dropoff(terms.dropoff.tariff, ride.fare_cents, terms.agreed.receipt, driven)
    return fare_cents, to_plain(receipt)
