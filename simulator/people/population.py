"""Who lives in a simulated city: people with moods drawn from one seed, or people who always say yes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from dispatch.events import RideEvent
from geo.city import City
from simulator.demand.inputs import DriverStarts
from simulator.model import DriverParams, RiderParams
from simulator.people import actions as act
from simulator.people.driver import Driver
from simulator.people.fleet import Fleet
from simulator.people.habits import DEFAULT_HABIT, Habit, Prices, ReceiptOfRide
from simulator.people.rider import Rider
from simulator.service.virtual_dispatch import EventHandler
from simulator.streets.network import Streets

#: An idle driver who neither cruises nor takes breaks has nothing to do for ever: far beyond any day.
_NEVER_S = 1e9
#: Whose numbers are drawn: so that one more rider changes nothing for any driver.
_DRIVERS, _RIDERS = 0, 1

ALWAYS_YES = DriverParams(
    acceptance_share=1.0,
    far_acceptance_share=1.0,
    silence_share=0.0,
    thinking_s_mean=0.0,
    alighting_s=0.0,
    cancel_share=0.0,
    break_share=0.0,
    dark_share=0.0,
    cruise_share=0.0,
    stay_s_mean=_NEVER_S,
)


def no_habits(city: City, prices: Prices | None, bills: ReceiptOfRide) -> Callable[[int], Habit]:
    """Drivers who follow no price."""
    return lambda number: DEFAULT_HABIT


class Watcher(Protocol):
    """Who hears of events and looks at the fleet every `tick_s`, as what sets prices does."""

    tick_s: float

    def tick(self, fleet: Fleet, now_s: float) -> None: ...  # noqa: D102
    def handlers(self) -> dict[type[RideEvent], EventHandler]: ...  # noqa: D102


@dataclass(frozen=True)
class People:
    """How the people of a day are inclined; drivers' habits count however they answer."""

    riders: RiderParams = field(default_factory=RiderParams)
    #: Makes the habit of a driver by number, for a city, the prices on the drivers' map (None: always the base) and the
    #: bills of rides.
    make_habits: Callable[[City, Prices | None, ReceiptOfRide], Callable[[int], Habit]] = no_habits
    #: Who else looks on, such as one who advises drivers.
    watchers: tuple[Watcher, ...] = ()


class FixedPatienceRider:
    """A rider who takes any quote at once and gives up at one fixed moment: for comparisons.

    Without a driver by then it is the service that ends the ride; with one on the way, the rider does.
    """

    __slots__ = ("_gives_up_s", "_ride_id", "_wait_s_max", "wake_s")

    def __init__(self, wait_s_max: float) -> None:
        self._wait_s_max = wait_s_max
        self._gives_up_s = math.inf
        self._ride_id = ""
        self.wake_s = math.inf

    def start(self) -> list[act.RiderAction]:
        """Ask and take what comes."""
        return [act.AskQuote(), act.RequestRide()]

    def quoted(self, surge_multiplier: float, now_s: float) -> None:
        """Any price will do."""

    def requested(self, ride_id: str, now_s: float) -> None:
        """Begin to wait."""
        self._ride_id, self._gives_up_s = ride_id, now_s + self._wait_s_max

    def assigned(self, pickup_eta_s: float, now_s: float) -> None:
        """Wait for the driver, until it is too late."""
        self.wake_s = max(self._gives_up_s, now_s)

    def unassigned(self, now_s: float) -> None:
        """Wait for another one."""
        self.wake_s = math.inf

    def driver_arrived(self) -> None:
        """Get in."""
        self.wake_s = math.inf

    def picked_up(self) -> None:
        """On the way."""

    def gone(self) -> None:
        """The ride has ended."""

    def wake(self, now_s: float) -> list[act.RiderAction]:
        """Give up."""
        self.wake_s = math.inf
        return [act.CancelRide(self._ride_id, "waited too long")]


def make_drivers(
    starts: DriverStarts,
    streets: Streets,
    params: DriverParams,
    seed: int,
    begin_s: float,
    habit_of: Callable[[int], Habit],
) -> list[Driver]:
    """All drivers, each with numbers of their own."""
    return [
        Driver(params, streets, _generator(seed, _DRIVERS, number), node, begin_s, habit_of(number))
        for number, node in enumerate(starts.node.tolist())
    ]


def random_riders(params: RiderParams, seed: int) -> Callable[[int], Rider]:
    """Makes the rider of a row, with numbers of their own."""
    return lambda row: Rider(params, _generator(seed, _RIDERS, row))


def fixed_patience_riders(wait_s_max: float) -> Callable[[int], FixedPatienceRider]:
    """Makes riders without moods."""
    return lambda row: FixedPatienceRider(wait_s_max)


def driver_params(*, always_yes: bool, boarding_s: float) -> DriverParams:
    """How the drivers of a run are inclined."""
    return replace(ALWAYS_YES if always_yes else DriverParams(), boarding_s=boarding_s)


def _generator(seed: int, kind: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, kind, number))))
