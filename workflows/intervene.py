"""What operators do with any ride: end, cancel, reassign and correct it, each with a reason that is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dispatch.commands import CancelRide, CorrectRide, EndRide, Reassign, RideCommand
from dispatch.errors import OffRoad
from dispatch.model import Intervention, Party, Ride
from dispatch.service.rides import RideService
from kernel.points import Place, Point
from pricing.rules.correction import corrected
from pricing.rules.dropoff import DropoffTerms
from pricing.service.fares import FareService
from workflows.receipts import receipt_of, to_plain
from workflows.settlement import agreed_before_end, settle_anew, settled

#: The place of a point on the region's roads, None where there is none.
PlaceOf = Callable[[Point], Place | None]

#: The seconds by road from a driver to a place, for a party of this size. Raises DriverBusy or CannotCome.
ApproachOf = Callable[[str, Place, int], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class InterveneWorkflow:
    """Changes rides of one region, whoever has them; the audit is written in the transaction of the change.

    Every method raises a dispatch.errors.CommandRefused; nothing has changed then, and nothing is audited.
    """

    rides: RideService
    fares: FareService
    place_of: PlaceOf
    approach_s: ApproachOf

    async def end(self, ride_id: str, operator_id: str, reason: str, fare_cents: int | None) -> Ride:
        """End a trip, or a ride at its pickup as a no-show, for this fare or what the tariff says.

        Raises what the archive of tariffs raises, if no fare is given.
        """
        ride = await self.rides.read(ride_id)
        receipt = receipt_of(ride)
        tariff = await self.fares.tariff_of(receipt) if receipt is not None and fare_cents is None else None

        def command_of(locked: Ride, now_s: float) -> RideCommand:
            owed = settled(locked, tariff) if fare_cents is None else (fare_cents, _corrected(locked, fare_cents))
            return EndRide(ride_id, Party.OPERATOR, reason, *owed)

        return await self._carry_out(ride_id, command_of, Intervention(f"operator:{operator_id}", "end", reason))

    async def cancel(self, ride_id: str, operator_id: str, reason: str) -> Ride:
        """End the ride for nothing, also during its trip."""
        command = CancelRide(ride_id, Party.OPERATOR, operator_id, reason)
        intervention = Intervention(f"operator:{operator_id}", "cancel", reason)
        return await self._carry_out(ride_id, lambda ride, now_s: command, intervention)

    async def reassign(self, ride_id: str, operator_id: str, reason: str, driver_id: str | None = None) -> Ride:
        """Take the ride from the driver who has it or is asked for it: it is matched anew, with others.

        With `driver_id` it is that driver's at once. Raises NotListed, OffShift, DriverBusy or CannotCome, which say
        why it cannot be; whoever had the ride keeps it then.
        """
        intervention = Intervention(f"operator:{operator_id}", "reassign", reason)
        if driver_id is not None:
            ride = await self.rides.read(ride_id)
            await self.rides.require_at_work(driver_id)
            pickup = self.place_of(ride.pickup)
            if pickup is None:
                raise OffRoad("pickup")
            eta_s = await self.approach_s(driver_id, pickup, ride.seats)
            return (await self.rides.assign(ride_id, driver_id, eta_s, reason, intervention)).ride
        command = Reassign(ride_id, reason)
        return await self._carry_out(ride_id, lambda ride, now_s: command, intervention)

    async def correct(
        self, ride_id: str, operator_id: str, reason: str, fare_cents: int | None, dropoff: Point | None
    ) -> Ride:
        """Change what is owed of a ride that has ended, or where its rider left.

        A new place without a fare changes the fare by the tariff's rules, as if the driver had reported it. Raises what
        the archive of tariffs raises then.
        """
        place = self.place_of(dropoff) if dropoff is not None else None
        if dropoff is not None and place is None:
            raise OffRoad("dropoff")

        terms = await self._dropoff_terms(ride_id, place) if place is not None and fare_cents is None else None

        def command_of(locked: Ride, now_s: float) -> RideCommand:
            if terms is not None:
                anew_cents, anew = settle_anew(locked, terms)
                return CorrectRide(ride_id, reason, anew_cents, place, anew)
            receipt = _corrected(locked, fare_cents) if fare_cents is not None else None
            return CorrectRide(ride_id, reason, fare_cents, place, receipt)

        return await self._carry_out(ride_id, command_of, Intervention(f"operator:{operator_id}", "correct", reason))

    async def _dropoff_terms(self, ride_id: str, left_at: Point) -> DropoffTerms | None:
        """Return what the fare to another dropoff is computed by; None where the fare stands."""
        agreed = agreed_before_end(await self.rides.read(ride_id))
        if agreed is None:
            return None
        trip = agreed[1]
        return await self.fares.dropoff_terms(trip.receipt, trip.pickup, trip.dropoff, left_at)

    async def _carry_out(
        self, ride_id: str, command_of: Callable[[Ride, float], RideCommand], intervention: Intervention
    ) -> Ride:
        return (await self.rides.handle_locked(ride_id, command_of, intervention)).ride


def _corrected(ride: Ride, fare_cents: int) -> dict[str, object] | None:
    receipt = receipt_of(ride)
    return to_plain(corrected(ride.fare_cents, receipt, fare_cents)) if receipt is not None else None
