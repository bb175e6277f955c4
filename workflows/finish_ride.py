"""Finishing a ride: pricing's fare and dispatch's dropoff, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from dispatch.commands import ReportDropoff
from dispatch.model import Party, Ride
from dispatch.service.rides import RideService
from kernel.points import Point
from pricing.service.fares import FareService
from workflows.settlement import Agreed, FareTerms, settle

log = structlog.get_logger(__name__)


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
        if agreed is None or ride.ended_s is not None:
            return None
        try:
            dropoff = await self.fares.dropoff_terms(agreed.receipt, agreed.pickup, agreed.dropoff, left_at)
        except self.archive_outages as error:
            log.warning("fare_not_settled", ride_id=ride.ride_id, fare_cents=ride.fare_cents, error=repr(error))
            return None
        return FareTerms(agreed, dropoff) if dropoff is not None else None
