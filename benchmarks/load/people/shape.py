"""Headless steps: all drivers first, then more and more new riders a second, until the city does not keep up."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

from locust import LoadTestShape

from benchmarks.load.people.leader import Leader, leader
from benchmarks.load.steps import bottleneck_of, why_to_stop

log = logging.getLogger(__name__)

Users = tuple[int, float]
#: Drivers who connect in a second.
CONNECT_PER_S = 100.0
#: Wall seconds for all of them, beyond what that takes.
CONNECTED_S_MAX = 120.0
#: People who leave in a second at the end, and wall seconds for all of them.
LEAVE_PER_S = 200.0
HOME_S_MAX = 180.0
#: Wall seconds to the first offer; steps begin then anyhow, and show what is wrong.
FIRST_OFFER_S_MAX = 60.0
#: Wall seconds from a change to the measurement: the first pings, riders of the rate before.
SETTLE_S = 4.0
#: Wall seconds after a step in which the load goes on: for late offers, and the journals of workers, one each second.
AFTERWARDS_S = 4.0


class Steps(LoadTestShape):
    """Asks for so many users at each tick, about once a second."""

    _course: Iterator[Users] | None = None

    def tick(self) -> Users | None:
        """Return how many users there should be and how many may come in a second; None at the end."""
        if self._course is None:
            self._course = self._run(leader())
        return next(self._course, None)

    def _run(self, lead: Leader) -> Iterator[Users]:
        yield from self._steps(lead)
        # A leader that ended here would not hear how its workers' people came home.
        deadline_s = time.time() + HOME_S_MAX
        while lead.ledger.people and time.time() < deadline_s:
            yield 0, LEAVE_PER_S

    def _steps(self, lead: Leader) -> Iterator[Users]:
        options = self.runner.environment.parsed_options
        drivers = options.drivers
        rates = [int(text) for text in options.rates.split(",")]
        yield from self._connect(lead, drivers)
        yield from self._first_offer(lead, drivers + rates[0])
        for rate in rates:
            users = drivers + rate
            yield from _for(SETTLE_S, users, rate)
            before = lead.read()
            yield from _for(options.step_s, users, rate)
            after = lead.read()
            yield from _for(AFTERWARDS_S, users, rate)
            step = lead.add_step(before, after, rate)
            log.info("step: %s", step)
            lead.report.stopped = why_to_stop(step, lead.report.window_ms)
            if lead.report.stopped:
                lead.report.bottleneck = bottleneck_of(step, os.cpu_count() or 1)
                return

    def _connect(self, lead: Leader, drivers: int) -> Iterator[Users]:
        deadline_s = time.time() + drivers / CONNECT_PER_S + CONNECTED_S_MAX
        while lead.ledger.connected < drivers:
            if time.time() > deadline_s:
                lead.report.stopped = f"{lead.ledger.connected} of {drivers} drivers were connected in time"
                return
            yield drivers, CONNECT_PER_S

    def _first_offer(self, lead: Leader, users: int) -> Iterator[Users]:
        """The first round of a city may take long: it is no part of the first step."""
        deadline_s = time.time() + FIRST_OFFER_S_MAX
        while not lead.ledger.offered_s and time.time() < deadline_s:
            yield users, CONNECT_PER_S


def _for(wall_s: float, users: int, per_s: float) -> Iterator[Users]:
    """Stay at so many users for so long, and for one tick at least."""
    until_s = time.time() + wall_s
    yield users, per_s
    while time.time() < until_s:
        yield users, per_s
