"""A rider's phone: a quote, a request under one idempotency key, and the ride followed to its end."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import structlog

from hexhail.demo.population.api_client import Person, Reply
from hexhail.demo.population.context import PopulationContext
from hexhail.demo.population.event_stream import Event
from kernel.points import Point
from simulator.people.actions import CancelRide, RequestRide
from simulator.people.rider import Rider, RiderState

log = structlog.get_logger(__name__)

#: Which state of the ride an event means.
STATE_AFTER = {
    "OfferAccepted": "ASSIGNED",
    "AssignmentCancelled": "REQUESTED",
    "DriverArrived": "ARRIVED",
    "RiderPickedUp": "ON_TRIP",
    "RiderDroppedOff": "COMPLETED",
    "TripClosed": "COMPLETED",
    "RiderDidNotShow": "CANCELLED",
    "RideCancelled": "CANCELLED",
    "RideExpired": "EXPIRED",
}
#: City seconds between looks at the ride: without a stream, and as a safeguard with one.
POLL_S, POLL_WITH_STREAM_S = 10.0, 300.0
# However fast the clock runs, a phone does not ask more often than this.
POLL_WALL_S_MIN = 1.0
#: A quote that has expired, because the API was away, is asked for anew this many times.
QUOTES_MAX = 3


@dataclass(frozen=True, slots=True)
class WantedRide:
    """A wanted ride: pickup, dropoff and party size."""

    pickup: Point
    dropoff: Point
    party_size: int


class RiderApp:
    """Carries out what a simulated rider decides and tells the rider what the service says."""

    def __init__(
        self, rider_id: str, rider: Rider, wanted: WantedRide, context: PopulationContext, *, has_stream: bool
    ) -> None:
        self.rider = rider
        self.has_stream = has_stream
        self._person = Person("rider", rider_id)
        self._wanted = wanted
        self._context = context
        self._figures = context.figures
        self._news = asyncio.Event()
        self._quote_id = ""
        self._quotes = 0
        self._requested_s = 0.0

    async def run(self) -> None:
        """Run the rider from the quote to the end of the ride."""
        self.rider.start()
        while await self._ask_quote():
            await self._decide()
            if self.rider.state is not RiderState.ASKING:
                break
        if self.rider.state is RiderState.GONE:
            return
        async with asyncio.TaskGroup() as group:
            stream = self._context.stream(self._person, lambda: None, self._on_event)
            listening = group.create_task(stream.run()) if self.has_stream else None
            await self._follow()
            if listening is not None:
                listening.cancel()

    async def _ask_quote(self) -> bool:
        """Return whether there is a quote to think about."""
        self._quotes += 1
        wanted = self._wanted
        body = {"pickup": wanted.pickup, "dropoff": wanted.dropoff, "seats": wanted.party_size}
        reply = await self._context.api.post(self._person, "/v1/quotes", body)
        if not reply.is_ok:
            self._figures.quotes_refused += 1
            self._surprise("rider.quote_refused", reply)
            self.rider.gone()
            return False
        self._figures.quotes += 1
        self._quote_id = reply.body["quote_id"]
        self.rider.quoted(float(reply.body["surge_multiplier"]), self._now_s())
        return True

    async def _decide(self) -> None:
        while not (actions := self.rider.wake(self._now_s())):
            await self._context.sleep_until(self.rider.wake_s)
        if isinstance(actions[0], RequestRide):
            await self._request()
        else:
            self._figures.left_for_price += 1

    async def _request(self) -> None:
        key = f"{self._person.person_id}-quote-{self._quotes}"
        reply = await self._context.api.post(self._person, "/v1/rides", {"quote_id": self._quote_id}, key)
        if reply.is_ok:
            self._figures.requests += 1
            self._requested_s = float(reply.body["requested_s"])
            self.rider.requested(reply.body["ride_id"], self._now_s())
            self._see(reply.body["state"], reply.body)
        elif "expired" in reply.code and self._quotes < QUOTES_MAX:
            self.rider.start()
        else:
            self._figures.requests_refused += 1
            self._surprise("rider.request_refused", reply)
            self.rider.gone()

    async def _follow(self) -> None:
        poll_s = POLL_WITH_STREAM_S if self.has_stream else POLL_S
        poll_wall_s = max(self._context.clock.wall_duration_s(poll_s), POLL_WALL_S_MIN)
        loop = asyncio.get_running_loop()
        poll_at = loop.time() + poll_wall_s
        while self.rider.state is not RiderState.GONE:
            wait_s = min(self._context.wall_until_s(self.rider.wake_s), max(0.0, poll_at - loop.time()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)
            self._news.clear()
            for action in self.rider.wake(self._now_s()):
                if isinstance(action, CancelRide):
                    await self._cancel(action)
            if loop.time() >= poll_at:
                await self._look()
                poll_at = loop.time() + poll_wall_s

    async def _cancel(self, action: CancelRide) -> None:
        reply = await self._context.api.post(
            self._person, f"/v1/rides/{action.ride_id}/cancel", {"reason": action.reason}
        )
        if reply.is_ok:
            self._see(reply.body["state"], reply.body)
        else:
            await self._look()

    async def _look(self) -> None:
        reply = await self._context.api.get(self._person, f"/v1/rides/{self.rider.ride_id}")
        if reply.is_ok:
            self._see(reply.body["state"], reply.body)
        else:
            self._surprise("rider.ride_not_shown", reply)

    def _on_event(self, event: Event) -> None:
        state = STATE_AFTER.get(event.get("event", ""))
        if state is not None and event.get("ride_id") == self.rider.ride_id:
            self._see(state, event)
            self._news.set()

    def _see(self, state: str, fields: dict[str, Any]) -> None:
        """Process a state of the ride, from an event or from polling; repeated states count once."""
        rider, now_s = self.rider, self._now_s()
        if rider.state is RiderState.GONE:
            return
        if state in ("REQUESTED", "OFFERED"):
            rider.unassigned(now_s)
        elif state == "ASSIGNED":
            self._figures.assignments += rider.state is RiderState.WAITING
            rider.assigned(float(fields.get("pickup_eta_s") or 0.0), now_s)
        elif state == "ARRIVED":
            rider.driver_arrived()
        elif state in ("ON_TRIP", "COMPLETED"):
            self._see_pickup(fields, now_s)
        if state in ("COMPLETED", "CANCELLED", "EXPIRED"):
            self._see_end(state, fields)

    def _see_pickup(self, fields: dict[str, Any], now_s: float) -> None:
        if self.rider.state is RiderState.ON_TRIP:
            return
        at_s = fields.get("picked_up_s") or fields.get("at_s") or now_s
        self._figures.picked_up += 1
        self._figures.pickup_waits_s.append(float(at_s) - self._requested_s)
        self.rider.picked_up()

    def _see_end(self, state: str, fields: dict[str, Any]) -> None:
        if state == "COMPLETED":
            self._figures.completed += 1
        elif state == "EXPIRED":
            self._figures.expired += 1
        elif (fields.get("by") or fields.get("cancelled_by")) == "rider":
            self._figures.cancelled_by_rider += 1
        else:
            self._figures.cancelled_otherwise += 1
        self.rider.gone()

    def _now_s(self) -> float:
        return self._context.clock.now_s()

    def _surprise(self, what: str, reply: Reply) -> None:
        log.warning(what, rider_id=self._person.person_id, status=reply.status, code=reply.code)
