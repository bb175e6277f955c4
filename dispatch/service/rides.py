"""Commands on rides, each one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from dispatch import commands as cmd
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused, DriverBusy, NotFound, NotListed, OffShift
from dispatch.model import DispatchParams, Intervention, Party, Ride, RideState, Shift, ShiftStatus
from dispatch.ports import Decision, Leases, MayDrive, Outcome, RideStore, Scope
from dispatch.rules.lifecycle import OFFER_ENDS
from dispatch.rules.repeats import as_left
from kernel.idempotency import IdempotencyKey

#: Makes the command about a ride, from the ride as it is locked and the city time in seconds.
CommandOf = Callable[[Ride, float], cmd.RideCommand]


class RideService:
    """Carries commands out against the store.

    The decision is made inside the transaction, on what the store holds at that moment: two commands that race are
    decided one after the other, and the loser gets the error that its new situation deserves.
    """

    def __init__(
        self,
        store: RideStore,
        leases: Leases,
        params: DispatchParams,
        now: Callable[[], float],
        may_drive: MayDrive | None = None,
        *,
        open_rides_max: int = 0,
    ) -> None:
        """Without `may_drive` everybody may; `open_rides_max` is how many rides a rider may have open, 0 for any."""
        self._store = store
        self._leases = leases
        self._params = params
        self._now = now
        self._list = may_drive
        self._open_rides_max = open_rides_max
        self._releases: set[asyncio.Task[None]] = set()

    async def handle(self, command: cmd.RideCommand, idempotency: IdempotencyKey | None = None) -> Outcome:
        """Carry a command out; return once it is durable. Raises a CommandRefused.

        If the caller is cancelled, because the client has hung up, the command is done as a whole or not at all.
        """
        outcome = await self._transact(scope_of(command), lambda engine, now_s: command, idempotency)
        if not outcome.events and _is_refusal(command) and not outcome.is_replay:
            return replace(outcome, ride=as_left(outcome.ride))
        return outcome

    async def handle_locked(
        self, ride_id: str, command_of: CommandOf, intervention: Intervention | None = None
    ) -> Outcome:
        """As `handle`, with a command about this ride that `command_of` makes inside the transaction.

        An intervention is kept with what it led to.

        `command_of` gets the ride as it is locked and the time at which the command is decided; it must not wait, and
        may be called again if the transaction has to be repeated. Raises what it raises; nothing has changed then.
        """
        return await self._transact(
            Scope(ride_id=ride_id),
            lambda engine, now_s: command_of(engine.ride(ride_id), now_s),
            intervention=intervention,
        )

    async def assign(
        self, ride_id: str, driver_id: str, pickup_eta_s: float, reason: str, intervention: Intervention
    ) -> Outcome:
        """Give a ride to a driver whom an operator names, under a lease of its own; return once it is durable.

        Raises a CommandRefused; DriverBusy also for a driver whom a round holds at this moment.
        """
        ride, now_s = await self.read(ride_id), self._now()
        if ride.state is RideState.OFFERED and ride.offer is not None:  # its driver is asked no longer
            await self._leases.release(ride.offer.driver_id, ride_id, ride.offer.token)
        (token,) = await self._leases.take([(driver_id, ride_id)], now_s, self._params.offer_ttl_s)
        if token is None:
            raise DriverBusy(driver_id)
        command = cmd.AssignDriver(ride_id, driver_id, reason, token, pickup_eta_s)
        try:
            return await self._transact(scope_of(command), lambda engine, now_s: command, intervention=intervention)
        except CommandRefused:
            await self._leases.release(driver_id, ride_id, token)
            raise

    async def require_at_work(self, driver_id: str) -> None:
        """Raise NotListed for a driver who may not drive here, OffShift for one who does not work now."""
        if self._list and not await self._list.may_drive(driver_id):
            raise NotListed(driver_id)
        if not await self._store.is_on_shift(driver_id):
            raise OffShift(driver_id)

    async def expire(self, ride_id: str) -> Outcome:
        """End the ride's offer, or the ride, if its time is over; nothing happens if somebody was quicker."""
        return await self._transact(
            Scope(ride_id=ride_id), lambda engine, now_s: cmd.ExpireDue(with_drivers=False), ride_id=ride_id
        )

    async def replay(self, idempotency: IdempotencyKey) -> Outcome | None:
        """Return the answer given to this key before, None if it is new. Raises IdempotencyConflict."""
        return await self._store.replay(idempotency)

    async def read(self, ride_id: str) -> Ride:
        """Any rider's ride as last committed. Raises NotFound."""
        ride = await self._store.find_ride(ride_id)
        if ride is None:
            raise NotFound("ride", ride_id)
        return ride

    async def find(self, ride_id: str, role: Party, principal_id: str) -> Ride:
        """A ride as its rider or its driver sees it. Raises NotFound for anyone else's."""
        ride = await self._store.find_ride(ride_id)
        if ride is None or principal_id != (ride.rider_id if role is Party.RIDER else ride.driver_id):
            raise NotFound("ride", ride_id)
        return ride

    async def find_for_driver(self, ride_id: str, driver_id: str) -> Ride:
        """A ride as the driver sees it who has it, or is asked to take it. Raises NotFound for anyone else's."""
        ride = await self._store.find_ride(ride_id)
        offer = ride.offer if ride is not None and ride.state is RideState.OFFERED else None
        if ride is None or driver_id != (offer.driver_id if offer is not None else ride.driver_id):
            raise NotFound("ride", ride_id)
        return ride

    async def set_shift(self, command: cmd.SetShift) -> Shift:
        """Put a driver on or off shift; who goes off shift is not asked any longer. Raises DriverBusy, NotListed."""
        if command.status is ShiftStatus.ONLINE and self._list and not await self._list.may_drive(command.driver_id):
            raise NotListed(command.driver_id)
        shift = await self._store.set_shift(Shift(command.driver_id, command.status, command.seats, self._now()))
        if shift.status is ShiftStatus.OFFLINE:
            for offer_id in await self._store.standing_offers(command.driver_id):
                # Answered or run out since: nothing is left to withdraw. An acceptance in between is refused.
                await self.handle(cmd.WithdrawOffer(offer_id, command.driver_id))
        return shift

    async def _transact(
        self,
        scope: Scope,
        command_of: Callable[[DispatchEngine, float], cmd.RideCommand],
        idempotency: IdempotencyKey | None = None,
        ride_id: str | None = None,
        intervention: Intervention | None = None,
    ) -> Outcome:
        """`ride_id` is the ride to return, for a command that names neither a ride nor an offer."""

        def decide(rides: Sequence[Ride]) -> Decision:
            now_s = self._now()
            engine = DispatchEngine(self._params, rides, open_rides_max=self._open_rides_max)
            command = command_of(engine, now_s)
            events = engine.handle(command, now_s)
            ride = engine.ride_about(command) if ride_id is None else engine.ride(ride_id)
            return Decision(events, ride, intervention)

        outcome = await self._store.transact(scope, decide, idempotency)
        self._release_lease(outcome)
        return outcome

    def _release_lease(self, outcome: Outcome) -> None:
        """An answered offer needs no lease: SQL knows the rest. Nobody waits for it; the lease runs out anyway."""
        offer = outcome.ride.offer
        if offer is None or not any(type(event) in OFFER_ENDS for event in outcome.events):
            return
        task = asyncio.create_task(self._leases.release(offer.driver_id, offer.ride_id, offer.token))
        self._releases.add(task)
        task.add_done_callback(self._released)

    def _released(self, task: asyncio.Task[None]) -> None:
        self._releases.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a Redis that is away costs no more than waiting for the lease to run out


def _is_refusal(command: cmd.RideCommand) -> bool:
    """Whether a driver says by the command that the ride is for others."""
    return isinstance(command, cmd.DeclineOffer) or (isinstance(command, cmd.CancelRide) and command.by is Party.DRIVER)


def scope_of(command: cmd.RideCommand) -> Scope:
    """What the store must read for the command to be decided."""
    match command:
        case cmd.AcceptOffer() | cmd.DeclineOffer() | cmd.WithdrawOffer():
            return Scope(offer_id=command.offer_id, driver_id=command.driver_id)
        case cmd.SendOffer() | cmd.AssignDriver() | cmd.ReportArrival() | cmd.ReportPickup():
            return Scope(ride_id=command.ride_id, driver_id=command.driver_id)
        case cmd.RequestRide():
            return Scope(rider_id=command.rider_id)
        case cmd.ExpireDue():
            raise ValueError("ExpireDue names no ride: use RideService.expire")
        case _:
            return Scope(ride_id=command.ride_id)
