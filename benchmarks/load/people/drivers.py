"""A driver's phone under load: a WebSocket, pings along the roads, answers to offers and the steps of rides."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import msgspec
import numpy as np
from locust import FastHttpUser, constant, task

from api.auth.tokens import Role
from benchmarks.load.people.process import process
from benchmarks.load.people.rest import Rest, shared_connections
from benchmarks.load.people.stream import Event, Stream
from geo.roads.travel_times import UnreachableError
from hexhail.demo.population.driver_app import REACHED, SEATS, STEPS, Ping, PingFrame
from kernel.points import Point
from kernel.supply import DriverState
from simulator.model import DriverParams, Errand, Offer, RideStage
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
)
from simulator.people.driver import Driver

#: City seconds.
PING_EVERY_S = 4.0
#: Nobody takes a break, loses the connection or gives a ride back: so many drivers are meant to be there.
PARAMS = DriverParams(silence_share=0.0, thinking_s_mean=2.0, cancel_share=0.0, break_share=0.0, dark_share=0.0)
#: First key of the random numbers of drivers.
DRIVERS = 1

Report: TypeAlias = ReportArrived | ReportPickedUp | ReportDroppedOff
_ENCODER = msgspec.json.Encoder()


class DriverPhone(FastHttpUser):
    """A driver who decides and drives as those of the simulator do; this class carries it out."""

    client_pool = shared_connections()
    wait_time = constant(0)

    def on_start(self) -> None:
        """Connect and begin to work."""
        here, number = process(), process().next_driver()
        driver_id = f"load-driver-{here.index}-{number:05d}"
        token = here.city.token(Role.DRIVER, driver_id)
        generator = np.random.default_rng([here.index, DRIVERS, number])
        start = here.city.streets.stop_at(here.city.trip(generator).pickup)
        self._clock, self._journal = here.city.clock, here.journal
        self._rest = Rest(self.client, token)
        self._stream = Stream(here.city.stream_url(Role.DRIVER), token, self.environment)
        self._stream.connect()
        self._driver = Driver(PARAMS, here.city.streets, generator, start, self._clock.now_s())
        self._wake()
        self._ping_s = self._clock.now_s() + float(generator.uniform(0.0, PING_EVERY_S))
        here.drivers.add(self)

    @property
    def is_connected(self) -> bool:
        """Whether the stream is open."""
        return self._stream.is_connected

    @property
    def is_idle(self) -> bool:
        """Whether the driver waits for an offer."""
        return self._driver.state is DriverState.IDLE

    @task
    def turn(self) -> None:
        """Hear what there is until the next thing is due, and do it."""
        due_s = min(self._ping_s, self._driver.wake_s)
        wall_s = self._clock.wall_duration_s(due_s - self._clock.now_s())
        self._stream.hear(time.time() + wall_s, self._hear)
        self._wake()
        if self._clock.now_s() >= self._ping_s:
            self._ping()

    def on_stop(self) -> None:
        """Bring rides to their end and go home."""
        process().drivers.discard(self)
        for errand in self._driver.errands:
            for step in STEPS.values():  # those that were said before may be said again
                self._rest.post(f"/v1/rides/{errand.ride_id}/{step}", name=f"/v1/rides/…/{step}")
        self._rest.post("/v1/drivers/me/status", {"status": "offline", "seats": SEATS})
        self._stream.close()

    def _ping(self) -> None:
        now_s = self._clock.now_s()
        here = self._driver.position(now_s)
        ping = Ping(
            round(now_s, 3), round(here.lat_deg, 6), round(here.lng_deg, 6), round(here.speed_mps, 1), here.heading_deg
        )
        self._journal.pings += self._stream.send(_ENCODER.encode(PingFrame((ping,))))
        # Not one after the other where the process has fallen behind.
        self._ping_s = max(self._ping_s + PING_EVERY_S, now_s)

    def _wake(self) -> None:
        for action in self._driver.wake(self._clock.now_s()):
            self._carry_out(action)

    def _hear(self, frame: Event) -> None:
        now_s = self._clock.now_s()
        if frame["type"] == "advice":
            self._follow(frame, now_s)
            return
        event = frame.get("event")
        if event == "OfferSent":
            self._journal.offered(frame["ride_id"], time.time())
            for action in self._driver.offered(_offer(frame), now_s):
                self._carry_out(action)
        elif event in ("OfferDeclined", "OfferExpired", "OfferWithdrawn"):
            self._driver.offer_gone(frame["offer_id"], now_s)
        elif event in ("AssignmentCancelled", "RideCancelled", "TripClosed", "RiderDidNotShow"):
            self._driver.released(frame["ride_id"], now_s)

    def _follow(self, advice: Event, now_s: float) -> None:
        try:
            self._driver.advised(_place(advice), now_s)
        except UnreachableError:
            return  # advice is no order

    def _carry_out(self, action: DriverAction) -> None:
        match action:
            case GoOnline() | GoOffline():
                status = "online" if isinstance(action, GoOnline) else "offline"
                self._rest.post("/v1/drivers/me/status", {"status": status, "seats": SEATS})
            case AcceptOffer():
                self._accept(action)
            case DeclineOffer():
                self._rest.post(f"/v1/offers/{action.offer_id}/decline", name="/v1/offers/…/decline")
            case ReportArrived() | ReportPickedUp() | ReportDroppedOff():
                self._report(action)
            case CancelRide():
                self._rest.post(f"/v1/rides/{action.ride_id}/cancel", name="/v1/rides/…/cancel")

    def _accept(self, action: AcceptOffer) -> None:
        ride = self._rest.post(f"/v1/offers/{action.offer_id}/accept", name="/v1/offers/…/accept")
        now_s = self._clock.now_s()
        if ride is None or ride["state"] not in RideStage.__members__:  # the rider had cancelled
            self._driver.offer_gone(action.offer_id, now_s)
        else:
            errand = Errand(ride["ride_id"], _place(ride["pickup"]), _place(ride["dropoff"]), RideStage(ride["state"]))
            self._driver.assigned(errand, now_s)

    def _report(self, action: Report) -> None:
        step = STEPS[REACHED[type(action)]]
        if self._rest.post(f"/v1/rides/{action.ride_id}/{step}", name=f"/v1/rides/…/{step}") is None:
            # The rider has cancelled; the word of it is on its way.
            self._driver.released(action.ride_id, self._clock.now_s())


def _place(point: dict[str, Any]) -> Point:
    return Point(point["lat_deg"], point["lng_deg"])


def _offer(event: Event) -> Offer:
    return Offer(
        event["offer_id"], event["ride_id"], _place(event["pickup"]), _place(event["dropoff"]),
        float(event["pickup_eta_s"]), float(event["expires_s"]),
    )  # fmt: skip
