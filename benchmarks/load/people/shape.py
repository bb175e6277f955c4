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
#: Drivers who connect or leave at a time; the next ones follow when these have: a slow city is not run over.
AT_A_TIME = 100
PER_S = 100.0
#: Wall seconds without a driver more before the run is given up.
CONNECT_S_MAX = 120.0
#: Wall seconds for the riders to leave, and then for everybody.
RIDERS_HOME_S_MAX = 60.0
HOME_S_MAX = 300.0
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
        lead.is_done = True
        yield from self._go_home(lead, self.runner.environment.parsed_options.drivers)

    def _steps(self, lead: Leader) -> Iterator[Users]:
        options = self.runner.environment.parsed_options
        drivers = options.drivers
        rates = [int(text) for text in options.rates.split(",")]
        yield from self._connect(lead, drivers)
        if lead.report.stopped:
            return
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
        connected, since_s = 0, time.time()
        while lead.ledger.connected < drivers:
            if lead.ledger.connected > connected:
                connected, since_s = lead.ledger.connected, time.time()
            if time.time() > since_s + CONNECT_S_MAX:
                lead.report.stopped = f"only {connected} of {drivers} drivers could connect"
                return
            yield min(drivers, connected + AT_A_TIME), PER_S

    def _first_offer(self, lead: Leader, users: int) -> Iterator[Users]:
        """The first round of a city may take long: it is no part of the first step."""
        deadline_s = time.time() + FIRST_OFFER_S_MAX
        while not lead.ledger.offered_s and time.time() < deadline_s:
            yield users, PER_S

    def _go_home(self, lead: Leader, drivers: int) -> Iterator[Users]:
        """Riders first, then drivers; a leader that ended at once would not hear how its workers' people came home."""
        deadline_s = time.time() + RIDERS_HOME_S_MAX
        yield drivers, PER_S
        while lead.ledger.waiting and time.time() < deadline_s:
            yield drivers, PER_S
        deadline_s = time.time() + HOME_S_MAX
        while lead.ledger.people and time.time() < deadline_s:
            yield max(0, lead.ledger.connected - AT_A_TIME), PER_S


def _for(wall_s: float, users: int, per_s: float) -> Iterator[Users]:
    """Stay at so many users for so long, and for one tick at least."""
    until_s = time.time() + wall_s
    yield users, per_s
    while time.time() < until_s:
        yield users, per_s
