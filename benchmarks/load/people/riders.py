"""Riders under load: a quote, a request, the ride followed to its end; some cancel once a driver is on the way."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import asdict

import gevent
import numpy as np
from gevent.event import Event as Flag
from locust import FastHttpUser, task

from api.auth.tokens import Role
from benchmarks.load.city import Trip
from benchmarks.load.people.process import Process, process, tell_locust
from benchmarks.load.people.rest import Rest, shared_connections
from benchmarks.load.people.stream import Event, Stream
from hexhail.demo.population.rider_app import STATE_AFTER
from simulator.model import RideStage

log = logging.getLogger(__name__)

#: Riders without a driver give up after so many city seconds.
PATIENCE_S = 180.0
#: Those who cancel do so after up to so many city seconds with a driver.
SECOND_THOUGHTS_S = 4.0
#: Wall seconds between two looks at what is due.
LOOK_EVERY_S = 1.0
#: Wall seconds for riders to cancel at the end.
GOODBYE_S = 20.0
ENDS = ("COMPLETED", "CANCELLED", "EXPIRED")
#: First key of the random numbers of riders.
RIDERS = 2


class NewRiders(FastHttpUser):
    """One new rider a second on average, whether or not those before have been answered.

    A slow city is asked as often as a quick one: users who wait for their answers would ask it less.
    """

    client_pool = shared_connections()

    def on_start(self) -> None:
        """Begin with nobody."""
        here = process()
        self._generator = np.random.default_rng([here.index, RIDERS, here.next_stream_of_riders()])
        self._phones: set[RiderPhone] = set()

    def wait_time(self) -> float:
        """Seconds to the next rider."""
        return float(self._generator.exponential(1.0))

    @task
    def arrive(self) -> None:
        """Send one more rider on the way."""
        here = process()
        trip = here.city.trip(self._generator)
        cancels = bool(self._generator.random() < self.environment.parsed_options.cancel_share)
        after_s = float(self._generator.uniform(0.0, SECOND_THOUGHTS_S)) if cancels else np.inf
        phone = RiderPhone(self, here, trip, after_s)
        self._phones.add(phone)
        gevent.spawn(phone.run).link(lambda _: self._phones.discard(phone))

    def on_stop(self) -> None:
        """Who has no car cancels; the others' rides are ended by their drivers."""
        for phone in self._phones:
            phone.leaves.set()
        with gevent.Timeout(GOODBYE_S, False):
            while not all(phone.has_car for phone in self._phones):
                gevent.sleep(LOOK_EVERY_S / 10)


class RiderPhone:
    """One rider who wants one ride."""

    def __init__(self, user: NewRiders, here: Process, trip: Trip, cancels_after_s: float) -> None:
        """`cancels_after_s`: city seconds with a driver; infinite for a rider who goes."""
        rider_id = f"load-rider-{uuid.uuid4().hex[:12]}"
        token = here.city.token(Role.RIDER, rider_id)
        self._environment = user.environment
        self._rest = Rest(user.client, token)
        self._stream = Stream(here.city.stream_url(Role.RIDER), token, user.environment)
        self._here = here
        self._trip = trip
        self._cancels_after_s = cancels_after_s
        #: City time at which the rider cancels.
        self._cancels_s = np.inf
        self._ride_id = self._state = ""
        self.leaves = Flag()

    def run(self) -> None:
        """From the quote to the end of the ride; an error of this code is a failure in locust's figures."""
        self._here.riders.add(self)
        try:
            self._ride()
        except Exception as error:
            log.exception("a rider failed")
            tell_locust(self._environment, "PERSON", "rider", 0.0, error)
        finally:
            self._stream.close()
            self._here.riders.discard(self)
            if self._state:
                self._here.journal.ended[self._state] += 1

    @property
    def has_car(self) -> bool:
        """Whether a driver is on the way, or the rider aboard."""
        return self._state in RideStage.__members__

    def _ride(self) -> None:
        quote = self._ask_quote()
        if quote is not None and not self.leaves.is_set():
            self._stream.connect()
            self._request(quote)
        while self._state and self._state not in ENDS:
            self._follow()

    def _ask_quote(self) -> str | None:
        trip = self._trip
        body = {"pickup": asdict(trip.pickup), "dropoff": asdict(trip.dropoff), "seats": trip.seats}
        quote = self._rest.post("/v1/quotes", body)
        return None if quote is None else str(quote["quote_id"])

    def _request(self, quote_id: str) -> None:
        sent_s = time.time()
        ride = self._rest.post("/v1/rides", {"quote_id": quote_id})
        if ride is not None:
            self._here.journal.sent_s[ride["ride_id"]] = sent_s
            self._ride_id, self._state = ride["ride_id"], ride["state"]
            self._cancels_s = self._here.city.clock.now_s() + PATIENCE_S

    def _follow(self) -> None:
        self._stream.hear(time.time() + LOOK_EVERY_S, self._hear)
        is_due = self._here.city.clock.now_s() >= self._cancels_s
        if self._state not in (*ENDS, "ON_TRIP") and (is_due or (self.leaves.is_set() and not self.has_car)):
            self._cancel()

    def _cancel(self) -> None:
        ride = self._rest.post(f"/v1/rides/{self._ride_id}/cancel", name="/v1/rides/…/cancel")
        if ride is None:  # too late, or it has ended: the ride knows
            ride = self._rest.get(f"/v1/rides/{self._ride_id}", name="/v1/rides/…")
        self._state = self._state if ride is None else ride["state"]
        if self._state not in ENDS:
            gevent.sleep(LOOK_EVERY_S)

    def _hear(self, frame: Event) -> None:
        state = STATE_AFTER.get(frame.get("event", ""))
        if state is None or frame["ride_id"] != self._ride_id or self._state in ENDS:
            return
        self._state = state
        now_s = self._here.city.clock.now_s()
        self._cancels_s = now_s + (self._cancels_after_s if state == "ASSIGNED" else PATIENCE_S)
