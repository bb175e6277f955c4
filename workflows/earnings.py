"""What a driver earns with a ride: dispatch's fare, split by pricing's tariff."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch.model import Ride
from dispatch.service.rides import RideService
from pricing.rules.earnings import Earnings
from pricing.service.fares import FareService
from workflows.receipts import receipt_of


@dataclass(frozen=True, slots=True)
class EarningsWorkflow:
    """Splits the fares of one region's rides."""

    rides: RideService
    fares: FareService

    async def read(self, ride_id: str, driver_id: str) -> tuple[Ride, Earnings | None]:
        """Return the ride and the split of its fare as it stands, for the driver who has it or is asked to take it.

        The split is None if nobody kept the tariff that the ride was quoted by. Raises dispatch.errors.NotFound, and
        what the stores raise.
        """
        ride = await self.rides.find_for_driver(ride_id, driver_id)
        receipt = receipt_of(ride)
        return ride, await self.fares.earnings(ride.fare_cents, receipt) if receipt is not None else None
