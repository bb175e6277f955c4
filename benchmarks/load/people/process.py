"""What all people of one locust process share."""

from __future__ import annotations

import os
import socket
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from locust.env import Environment

from benchmarks.load.city import CityUnderLoad
from benchmarks.load.journal import Journal


class OfDriver(Protocol):
    """A driver's phone, as the journal counts it."""

    @property
    def is_connected(self) -> bool:
        """Whether its stream is open."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nobody has asked its driver."""
        ...


class OfRider(Protocol):
    """A rider's phone, as the journal counts it."""

    @property
    def has_car(self) -> bool:
        """Whether a driver is on the way to its rider, or has picked them up."""
        ...


class Process:
    """The city, the journal and the people of this process."""

    def __init__(self, environment: Environment, city: CityUnderLoad) -> None:
        self.city = city
        self.journal = Journal()
        self.drivers: set[OfDriver] = set()
        self.riders: set[OfRider] = set()
        self._environment = environment
        self._driver_numbers, self._rider_streams = count(), count()

    @property
    def index(self) -> int:
        """The number of this process among the workers; 0 where it works alone."""
        return int(self._environment.runner.worker_index)

    def next_driver(self) -> int:
        """Return a number that no driver of this process has."""
        return next(self._driver_numbers)

    def next_stream_of_riders(self) -> int:
        """Return a number that no stream of new riders of this process has."""
        return next(self._rider_streams)

    def page(self) -> dict[str, Any]:
        """Take a page of the journal, with the process that wrote it."""
        self.journal.riders = len(self.riders)
        self.journal.waiting = sum(not rider.has_car for rider in self.riders)
        self.journal.connected = sum(driver.is_connected for driver in self.drivers)
        self.journal.idle = sum(driver.is_connected and driver.is_idle for driver in self.drivers)
        return self.journal.take() | {"pid": os.getpid(), "host": socket.gethostname()}


_opened: list[Process] = []


def open_process(environment: Environment) -> Process:
    """Load the city for this process; call it once. Raises what `CityUnderLoad.from_environment` raises."""
    options = environment.parsed_options
    requests = Path(options.requests) if options.requests else None
    _opened.append(Process(environment, CityUnderLoad.from_environment(environment.host, requests)))
    return _opened[0]


def process() -> Process:
    """Return what the people of this process share."""
    return _opened[0]


def tell_locust(environment: Environment, kind: str, name: str, took_ms: float, error: Exception | None = None) -> None:
    """Add something that is no HTTP request to locust's figures; an error makes it a failure."""
    environment.events.request.fire(  # type: ignore[no-untyped-call]
        request_type=kind, name=name, response_time=took_ms, response_length=0, exception=error, context={}
    )
