"""A driver's phone: sends pings, answers offers, and reports the steps of a ride in order despite lost connections."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import structlog

from geo.roads.travel_times import UnreachableError
from hexhail.demo.population.api_client import Person, Reply
from hexhail.demo.population.context import PopulationContext
from hexhail.demo.population.event_stream import Event
from kernel.points import Point
from simulator.model import Errand, Offer, RideStage
from simulator.people.actions import (
    AcceptOffer,
    CancelRide,
    DeclineOffer,
    DriverAction,
    GoOffline,
    GoOnline,
    ReportArrived,
    ReportDroppedOff,
    ReportPickedUp,
    StaySilent,
)
from simulator.people.driver import Driver

log = structlog.get_logger(__name__)

SEATS = 4
#: The steps of a ride after the assignment: the state each leads to, and the path that reports it.
STEPS = {"ARRIVED": "arrived", "ON_TRIP": "picked-up", "COMPLETED": "dropped-off"}
#: How far a ride is; a state that is not here is not in a driver's hands.
PROGRESS = {"ASSIGNED": 0, "ARRIVED": 1, "ON_TRIP": 2, "COMPLETED": 3}
Report: TypeAlias = ReportArrived | ReportPickedUp | ReportDroppedOff
REACHED: dict[type[Report], str] = {
    ReportArrived: "ARRIVED", ReportPickedUp: "ON_TRIP", ReportDroppedOff: "COMPLETED",
}  # fmt: skip


class PingFrame(msgspec.Struct, tag_field="type", tag="pings"):
    """What a driver's stream takes."""

    pings: tuple[Ping, ...]


class Ping(msgspec.Struct, omit_defaults=True):
    """One position: city seconds, degrees, degrees clockwise from north, metres per second."""

    t_s: float
    lat_deg: float
    lng_deg: float
    speed_mps: float
    heading_deg: float | None = None


@dataclass(frozen=True, slots=True)
class CheckIn:
    """Task after a (re)connection: report the shift status again, and check which rides are still assigned."""


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Task after an assignment of an unknown ride: load the ride."""

    ride_id: str


Task: TypeAlias = DriverAction | CheckIn | TakeUp


class DriverApp:
    """Carries out what a simulated driver decides, one request after the other, and tells the driver the answers."""

    def __init__(self, driver_id: str, driver: Driver, context: PopulationContext) -> None:
        self.driver = driver
        self._person = Person("driver", driver_id)
        self._context = context
        self._figures = context.figures
        self._stream = context.stream(self._person, self._on_ready, self._on_event, self._on_advice)
        self._tasks: deque[Task] = deque()
        self._has_task = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._encoder = msgspec.json.Encoder()

    async def run(self) -> None:
        """Be a driver until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stream.run())
                group.create_task(self._work())
                self._wake()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    async def ping(self) -> None:
        """Send the driver's position, if the phone is connected."""
        now_s = self._context.clock.now_s()
        if not self.driver.is_connected(now_s):
            return
        here = self.driver.position(now_s)
        # A millionth of a degree is a decimetre, finer than any phone knows.
        ping = Ping(
            round(now_s, 3), round(here.lat_deg, 6), round(here.lng_deg, 6), round(here.speed_mps, 1), here.heading_deg
        )
        if await self._stream.send(self._encoder.encode(PingFrame((ping,)))):
            self._figures.pings_sent += 1

    # What the driver does.

    def _wake(self) -> None:
        self._do(self.driver.wake(self._context.clock.now_s()))

    def _do(self, actions: list[DriverAction]) -> None:
        """Queue actions and set the alarm for the driver's next one: call it after everything the driver is told."""
        for action in actions:
            if isinstance(action, StaySilent):
                self._figures.silent += 1
            else:
                self._add(action)
        if self._alarm is not None:
            self._alarm.cancel()
        wall_s = self._context.wall_until_s(self.driver.wake_s)
        self._alarm = None if math.isinf(wall_s) else asyncio.get_running_loop().call_later(wall_s, self._wake)

    def _add(self, task: Task) -> None:
        self._tasks.append(task)
        self._has_task.set()

    async def _work(self) -> None:
        while True:
            await self._has_task.wait()
            while self._tasks:
                await self._carry_out(self._tasks.popleft())
            self._has_task.clear()

    async def _carry_out(self, task: Task) -> None:
        match task:
            case GoOnline() | GoOffline():
                # Without a connection it can wait: the check-in that follows one says it.
                if self._stream.is_connected:
                    await self._send_status()
            case AcceptOffer():
                await self._accept(task)
            case DeclineOffer():
                if (await self._post(f"/v1/offers/{task.offer_id}/decline")).is_ok:
                    self._figures.declined += 1
            case CancelRide():
                await self._give_back(task)
            case CheckIn():
                await self._check_in()
            case TakeUp():
                await self._take_up(task.ride_id)
            case ReportArrived() | ReportPickedUp() | ReportDroppedOff():
                await self._report(task)

    # What the service says.

    def _on_ready(self) -> None:
        self._add(CheckIn())

    def _on_event(self, event: Event) -> None:
        try:
            self._notify_driver(event)
        except (KeyError, TypeError, ValueError) as error:
            log.warning(
                "driver.event_not_understood", driver_id=self._person.person_id, event_=event, error=repr(error)
            )

    def _on_advice(self, frame: Event) -> None:
        self._figures.advice += 1
        try:
            place = _place(frame)
            self._figures.advice_followed += self.driver.advised(place, self._context.clock.now_s())
        except (KeyError, TypeError, UnreachableError) as error:
            log.warning("driver.advice_not_followed", driver_id=self._person.person_id, error=repr(error))
        self._do([])

    def _notify_driver(self, event: Event) -> None:
        """Pass an event to the driver; echoes of own reports and unknown events are ignored."""
        now_s = self._context.clock.now_s()
        name = event["event"]
        if name == "OfferSent":
            self._figures.offers += 1
            self._do(self.driver.offered(_offer(event), now_s))
        elif name in ("OfferDeclined", "OfferExpired", "OfferWithdrawn"):
            self.driver.offer_gone(event["offer_id"], now_s)
            self._do([])
        elif name in ("AssignmentCancelled", "RideCancelled", "TripClosed", "RiderDidNotShow"):
            self._release(event["ride_id"])
        elif name == "OfferAccepted" and not self._has_ride(event["ride_id"]):
            self._add(TakeUp(event["ride_id"]))

    # Each task.

    async def _send_status(self) -> None:
        status = "online" if self.driver.is_online else "offline"
        reply = await self._post("/v1/drivers/me/status", {"status": status, "seats": SEATS})
        if not reply.is_ok:
            self._surprise("driver.status_refused", reply)

    async def _check_in(self) -> None:
        await self._send_status()
        for errand in self.driver.errands:
            if await self._own_ride(errand.ride_id) is None:
                self._lose(errand.ride_id)

    async def _accept(self, task: AcceptOffer) -> None:
        reply = await self._post(f"/v1/offers/{task.offer_id}/accept")
        # A refusal may be the echo of an acceptance whose answer was lost: the ride itself knows.
        ride = reply.body if reply.is_ok else await self._own_ride(task.ride_id)
        if ride is None or ride["state"] not in RideStage.__members__:
            self._figures.accepted_in_vain += 1
            self.driver.offer_gone(task.offer_id, self._context.clock.now_s())
            self._do([])
            return
        self._figures.accepted += 1
        self._begin(ride)

    async def _take_up(self, ride_id: str) -> None:
        if self._has_ride(ride_id):
            return
        ride = await self._own_ride(ride_id)
        if ride is not None and ride["state"] in RideStage.__members__:
            self._begin(ride)

    async def _report(self, task: Report) -> None:
        reached = REACHED[type(task)]
        reply = await self._post(f"/v1/rides/{task.ride_id}/{STEPS[reached]}")
        if reply.is_ok:
            return
        ride = await self._own_ride(task.ride_id)
        if ride is None:
            self._surprise("driver.ride_gone", reply, ride_id=task.ride_id)
            self._lose(task.ride_id)
            return
        # An earlier word did not arrive: say all that is missing, in order.
        for state, step in STEPS.items():
            if PROGRESS[ride["state"]] < PROGRESS[state] <= PROGRESS[reached]:
                again = await self._post(f"/v1/rides/{task.ride_id}/{step}")
                if not again.is_ok:
                    self._surprise("driver.step_refused", again, ride_id=task.ride_id, step=step)

    async def _give_back(self, task: CancelRide) -> None:
        reply = await self._post(f"/v1/rides/{task.ride_id}/cancel", {"reason": task.reason})
        if reply.is_ok:
            self._figures.cancelled_by_driver += 1
        elif await self._own_ride(task.ride_id) is not None:
            # The service does not let go of it, so the driver has it still.
            self._add(TakeUp(task.ride_id))

    # What is known of rides.

    async def _own_ride(self, ride_id: str) -> dict[str, Any] | None:
        """Return the ride if it is in this driver's hands, or was up to its dropoff; else None."""
        ride = (await self._context.api.get(self._person, f"/v1/rides/{ride_id}")).body
        is_own = ride.get("driver_id") == self._person.person_id and ride.get("state") in PROGRESS
        return ride if is_own else None

    def _has_ride(self, ride_id: str) -> bool:
        return any(errand.ride_id == ride_id for errand in self.driver.errands)

    def _begin(self, ride: dict[str, Any]) -> None:
        errand = Errand(ride["ride_id"], _place(ride["pickup"]), _place(ride["dropoff"]), RideStage(ride["state"]))
        self.driver.assigned(errand, self._context.clock.now_s())
        self._do([])

    def _lose(self, ride_id: str) -> None:
        self._figures.rides_gone += 1
        self._release(ride_id)

    def _release(self, ride_id: str) -> None:
        """Forget the ride and every step of it that has not been sent."""
        self.driver.released(ride_id, self._context.clock.now_s())
        kept = [task for task in self._tasks if not (isinstance(task, Report) and task.ride_id == ride_id)]
        self._tasks = deque(kept)
        self._do([])

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> Reply:
        return await self._context.api.post(self._person, path, body)

    def _surprise(self, what: str, reply: Reply, **fields: str) -> None:
        log.warning(what, driver_id=self._person.person_id, status=reply.status, code=reply.code, **fields)


def _place(point: dict[str, Any]) -> Point:
    return Point(point["lat_deg"], point["lng_deg"])


def _offer(event: Event) -> Offer:
    return Offer(
        event["offer_id"], event["ride_id"], _place(event["pickup"]), _place(event["dropoff"]),
        float(event["pickup_eta_s"]), float(event["expires_s"]),
    )  # fmt: skip
