"""Runs the population of a city in one process: hundreds of drivers, and riders at the recorded times and places."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from geo.city import City, load_city
from hexhail.demo.population.api_client import ApiClient, TokenOf
from hexhail.demo.population.context import PopulationContext
from hexhail.demo.population.driver_app import DriverApp
from hexhail.demo.population.figures import PopulationFigures
from hexhail.demo.population.rider_app import RiderApp, WantedRide
from kernel.clock import CityClock
from kernel.points import Point
from simulator.demand.requests import Requests, load_requests
from simulator.model import DriverParams, RiderParams
from simulator.people.driver import Driver
from simulator.people.rider import Rider
from simulator.streets.network import Streets

log = structlog.get_logger(__name__)

# However fast the clock runs, a phone does not send more often than this; wall seconds.
PING_WALL_S_MIN = 0.25
# How finely the pings of all drivers are spread over the interval; wall seconds.
PING_TICK_WALL_S = 0.025
FIGURES_WALL_S = 1.0
# First key of each stream of random numbers: a person's decisions depend on the seed and on who it is, nothing else.
STARTS, DRIVERS, RIDERS, PHONES = range(4)


@dataclass(frozen=True, slots=True)
class PopulationSettings:
    """Who lives in the city, and how to reach the service. Durations are city seconds unless they say wall."""

    api_url: str
    #: Gives a bearer token for a role (`rider`, `driver`) and an id; asked anew for every request.
    token_of: TokenOf
    city_folder: Path
    clock: CityClock
    seed: int = 1
    n_drivers: int = 300
    ping_interval_s: float = 4.0
    #: Riders who wanted a ride before this city time do not appear; None is the time at the start.
    start_s: float | None = None
    #: Which share of the riders of the data appears.
    demand_share: float = 1.0
    rider_params: RiderParams = field(default_factory=RiderParams)
    driver_params: DriverParams = field(default_factory=DriverParams)
    #: Rewritten every wall second, and at the end.
    figures_path: Path | None = None
    #: Riders with a WebSocket of their own; those beyond it poll. A process often has 1,024 file handles in all.
    rider_sockets_max: int = 256
    #: Riders at once; those beyond it are turned away, and counted.
    riders_live_max: int = 2_000
    #: How many drivers come online in a wall second at the start.
    drivers_per_wall_s: float = 80.0
    #: Share of the drivers whose phones die for good, each at a random time within so many city seconds of the start.
    dead_phone_share: float = 0.0
    dead_within_s: float = 900.0

    def __post_init__(self) -> None:
        for name in ("ping_interval_s", "drivers_per_wall_s"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("n_drivers", "rider_sockets_max", "riders_live_max"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, but is {getattr(self, name)}")
        for name in ("demand_share", "dead_phone_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be 0 to 1, not {getattr(self, name)}")


class PopulationReport(msgspec.Struct, frozen=True):
    """How it ended."""

    figures: PopulationFigures
    #: Riders whose ride had not ended, by what they were doing.
    riders_open: dict[str, int]
    #: Drivers by what they were doing.
    drivers: dict[str, int]
    wall_s: float


async def run_population(settings: PopulationSettings, stop: asyncio.Event) -> PopulationReport:
    """Run the population until `stop`; then close every connection, write the figures and report.

    The API may come and go meanwhile. Raises FileNotFoundError or ValueError if the city cannot be loaded.
    """
    city = load_city(settings.city_folder)
    requests = load_requests(settings.city_folder)
    figures = PopulationFigures()
    jitter = random.Random(settings.seed)
    async with ApiClient(settings.api_url, settings.token_of, figures, jitter) as api:
        context = PopulationContext(settings.clock, api, settings.api_url, settings.token_of, figures, jitter)
        population = Population(settings, city, requests, context)
        return await population.live(stop)


class Population:
    """All people of one process."""

    def __init__(
        self, settings: PopulationSettings, city: City, requests: Requests, context: PopulationContext
    ) -> None:
        self._settings = settings
        self._requests = requests
        self._context = context
        self._figures = context.figures
        self._streets = Streets(city.graph)
        self._drivers: list[DriverApp] = []
        self._phones: list[asyncio.Task[None]] = []
        self._riders: set[RiderApp] = set()
        self._people: set[asyncio.Task[None]] = set()

    async def live(self, stop: asyncio.Event) -> PopulationReport:
        """Run until `stop`; an error in these loops ends the process, one in a person does not."""
        began_s = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                loops = [
                    group.create_task(loop)
                    for loop in (
                        self._bring_drivers(),
                        self._bring_riders(),
                        self._kill_phones(),
                        self._ping(),
                        self._write_figures(),
                    )
                ]
                await stop.wait()
                for task in loops:
                    task.cancel()
        finally:
            riders_open = Counter(str(rider.rider.state) for rider in self._riders)
            self._record()
            await self._send_home()
        drivers = Counter(str(app.driver.state) for app in self._drivers)
        wall_s = round(time.monotonic() - began_s, 3)
        return PopulationReport(self._figures, dict(riders_open), dict(drivers), wall_s)

    async def _send_home(self) -> None:
        people = list(self._people)
        for person in people:
            person.cancel()
        await asyncio.gather(*people, return_exceptions=True)

    async def _bring_drivers(self) -> None:
        settings, now_s = self._settings, self._context.clock.now_s
        for number, stop in enumerate(self._starts()):
            generator = np.random.default_rng([settings.seed, DRIVERS, number])
            driver = Driver(settings.driver_params, self._streets, generator, stop, now_s())
            app = DriverApp(f"driver-{number:04d}", driver, self._context)
            self._drivers.append(app)
            self._phones.append(self._start_person(app.run()))
            await asyncio.sleep(1.0 / settings.drivers_per_wall_s)

    def _starts(self) -> list[int]:
        """Draw the stops where drivers start: at pickups of the data, for that is where people want them."""
        count, pickup_deg = self._settings.n_drivers, self._requests.pickup_deg
        generator = np.random.default_rng([self._settings.seed, STARTS])
        rows = generator.choice(len(pickup_deg), size=count, replace=count > len(pickup_deg))
        return [self._streets.stop_at(Point(*pickup_deg[row].tolist())) for row in rows]

    async def _bring_riders(self) -> None:
        settings, t_s = self._settings, self._requests.t_s
        start_s = self._context.clock.now_s() if settings.start_s is None else settings.start_s
        for row in range(int(np.searchsorted(t_s, start_s)), len(t_s)):
            await self._context.sleep_until(float(t_s[row]))
            generator = np.random.default_rng([settings.seed, RIDERS, row])
            if generator.random() < settings.demand_share:
                self._bring_rider(row, generator)

    async def _kill_phones(self) -> None:
        settings, begun_s = self._settings, self._context.clock.now_s()
        generator = np.random.default_rng([settings.seed, PHONES])
        numbers = generator.permutation(settings.n_drivers)[: round(settings.dead_phone_share * settings.n_drivers)]
        after_s = np.sort(generator.uniform(0.0, settings.dead_within_s, len(numbers)))
        for number, wait_s in zip(numbers.tolist(), after_s.tolist(), strict=True):
            await self._context.sleep_until(begun_s + wait_s)
            if number < len(self._drivers):  # else the driver has not come yet, and is spared
                self._drivers[number].driver.dark_until_s = math.inf
                self._phones[number].cancel()

    def _bring_rider(self, row: int, generator: np.random.Generator) -> None:
        self._figures.riders_appeared += 1
        if len(self._riders) >= self._settings.riders_live_max:
            self._figures.riders_turned_away += 1
            return
        requests = self._requests
        wanted = WantedRide(
            Point(*requests.pickup_deg[row].tolist()),
            Point(*requests.dropoff_deg[row].tolist()),
            int(requests.party_size[row]),
        )
        has_stream = sum(rider.has_stream for rider in self._riders) < self._settings.rider_sockets_max
        rider = Rider(self._settings.rider_params, generator)
        app = RiderApp(f"rider-{row:06d}", rider, wanted, self._context, has_stream=has_stream)
        self._riders.add(app)
        person = self._start_person(app.run())
        person.add_done_callback(lambda _: self._riders.discard(app))

    def _start_person(self, life: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        person = asyncio.get_running_loop().create_task(self._guard(life))
        self._people.add(person)
        person.add_done_callback(self._people.discard)
        return person

    async def _guard(self, life: Coroutine[Any, Any, None]) -> None:
        """Run one person's task; an error is counted and logged, and ends that person only."""
        try:
            await life
        except Exception:
            self._figures.failures += 1
            log.exception("population.person_failed")

    async def _ping(self) -> None:
        """Send everybody's pings from one loop: each tick the drivers whose turn it is, so that the load is even."""
        clock = self._context.clock
        interval_wall_s = max(clock.wall_duration_s(self._settings.ping_interval_s), PING_WALL_S_MIN)
        slots = max(1, round(interval_wall_s / PING_TICK_WALL_S))
        loop = asyncio.get_running_loop()
        due, slot = loop.time(), 0
        while True:
            for app in self._drivers[slot::slots]:
                await app.ping()
            slot = (slot + 1) % slots
            # A loop that has fallen behind skips the missed ticks instead of sending them all at once.
            due = max(due + interval_wall_s / slots, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _write_figures(self) -> None:
        while True:
            self._record()
            await asyncio.sleep(FIGURES_WALL_S)

    def _record(self) -> None:
        self._figures.riders_live = len(self._riders)
        self._figures.drivers_online = sum(app.driver.is_online for app in self._drivers)
        if self._settings.figures_path is not None:
            self._figures.write(self._settings.figures_path)
