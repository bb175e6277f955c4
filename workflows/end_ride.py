"""Ending a ride without a dropoff: pricing's fare or fee and dispatch's ending, in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from dispatch.commands import EndOverdue, ReportNoShow, RideCommand
from dispatch.model import DispatchParams, Intervention, Party, Ride
from dispatch.ports import Outcome
from dispatch.rules.deadlines import REASONS, overdue_s
from dispatch.service.rides import RideService
from pricing.model.tariff import Tariff
from pricing.rules.no_show import no_show_of
from pricing.service.fares import FareService
from workflows.ports import Now
from workflows.receipts import receipt_of
from workflows.settlement import no_show_owed, settled

log = structlog.get_logger(__name__)

#: City seconds between two looks for overdue rides: a small part of their slack.
LOOK_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class EndRideWorkflow:
    """Ends rides of one region whose rider did not come, or whose driver is not heard of any more."""

    rides: RideService
    fares: FareService

    async def report_no_show(self, ride_id: str, driver_id: str) -> Ride:
        """End the driver's ride at the pickup with the tariff's fee; return once both are durable.

        Raises a dispatch.errors.CommandRefused, TooEarly before the tariff's wait is over, and what the archive of
        tariffs raises: without the tariff nobody knows how long the driver has to wait.
        """
        ride = await self.rides.find(ride_id, Party.DRIVER, driver_id)
        tariff = await self._tariff(ride)
        fee_cents, receipt = no_show_owed(ride, tariff)
        command = ReportNoShow(ride_id, driver_id, no_show_of(tariff).wait_s, fee_cents, receipt)
        return (await self.rides.handle(command)).ride

    async def end_overdue(self, ride: Ride) -> Outcome:
        """End the ride by its deadline and settle it; no event if it is not overdue any more.

        Raises what the archive of tariffs raises: the ride is ended once it answers.
        """
        tariff = await self._tariff(ride)

        def command_of(locked: Ride, now_s: float) -> RideCommand:
            return EndOverdue(locked.ride_id, *settled(locked, tariff))

        intervention = Intervention("system", "end_overdue", REASONS.get(ride.state, "overdue"))
        return await self.rides.handle_locked(ride.ride_id, command_of, intervention)

    async def _tariff(self, ride: Ride) -> Tariff | None:
        receipt = receipt_of(ride)
        return await self.fares.tariff_of(receipt) if receipt is not None else None


@dataclass(frozen=True, slots=True)
class OverdueRides:
    """Looks again and again for rides of one region that are overdue; what it missed, the next look finds."""

    ending: EndRideWorkflow
    params: DispatchParams
    #: Rides of the region bound to a driver.
    live_rides: Callable[[], Awaitable[list[Ride]]]
    now: Now
    #: Counts one ride that was ended, by its reason.
    count: Callable[[str], None] = lambda kind: None

    async def look(self) -> int:
        """End and settle what is overdue; returns how many rides. One that fails keeps no other from its end."""
        now_s, ended = self.now(), 0
        for ride in await self.live_rides():
            deadline_s = overdue_s(ride, self.params)
            if deadline_s is not None and deadline_s <= now_s:
                ended += await self._end(ride)
        return ended

    async def _end(self, ride: Ride) -> bool:
        try:
            outcome = await self.ending.end_overdue(ride)
        except Exception:  # the archive or the database is away, or this one ride is broken: tried again
            log.exception("overdue_ride_not_ended", ride_id=ride.ride_id, state=ride.state)
            return False
        if outcome.events:
            self.count(REASONS.get(ride.state, "overdue"))
        for event in outcome.events:
            log.warning("ride_overdue", ride_id=ride.ride_id, driver_id=ride.driver_id, event_=type(event).__name__)
        return bool(outcome.events)
