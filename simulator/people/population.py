"""Makes the riders and drivers of a simulated day: random behaviour from one seed, or people who always say yes."""

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

#: Waiting time of an idle driver who neither cruises nor takes breaks; longer than any day.
_NEVER_S = 1e9
#: Seed-sequence keys; separate streams, so that one more rider changes nothing for any driver.
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
    """Give every driver the default habit."""
    return lambda number: DEFAULT_HABIT


class Watcher(Protocol):
    """Observes ride events, and the fleet every `tick_s`, as the surge pricer does."""

    tick_s: float

    def tick(self, fleet: Fleet, now_s: float) -> None: ...  # noqa: D102

    def is_settled(self, now_s: float) -> bool:
        """Whether further ticks change nothing as long as nothing happens."""
        ...

    def handlers(self) -> dict[type[RideEvent], EventHandler]: ...  # noqa: D102


@dataclass(frozen=True)
class People:
    """Behaviour of the people of a day; drivers' habits apply also with acceptance `always`."""

    riders: RiderParams = field(default_factory=RiderParams)
    #: Makes the habit of a driver by number, for a city, the prices on the drivers' map (None: always the base) and the
    #: bills of rides.
    make_habits: Callable[[City, Prices | None, ReceiptOfRide], Callable[[int], Habit]] = no_habits
    #: Further observers, such as the adviser of drivers.
    watchers: tuple[Watcher, ...] = ()


class FixedPatienceRider:
    """A rider who accepts any quote at once and waits a fixed time for the pickup.

    Without a driver by then, the service expires the request; with a driver on the way, the rider cancels.
    """

    __slots__ = ("_gives_up_s", "_ride_id", "_wait_s_max", "wake_s")

    def __init__(self, wait_s_max: float) -> None:
        self._wait_s_max = wait_s_max
        self._gives_up_s = math.inf
        self._ride_id = ""
        self.wake_s = math.inf

    def start(self) -> list[act.RiderAction]:
        """Ask for a quote and accept it."""
        return [act.AskQuote(), act.RequestRide()]

    def quoted(self, surge_multiplier: float, now_s: float) -> None:
        """Ignore the price."""

    def requested(self, ride_id: str, now_s: float) -> None:
        """Begin to wait."""
        self._ride_id, self._gives_up_s = ride_id, now_s + self._wait_s_max

    def assigned(self, pickup_eta_s: float, now_s: float) -> None:
        """Schedule the cancellation at the end of the patience."""
        self.wake_s = max(self._gives_up_s, now_s)

    def unassigned(self, now_s: float) -> None:
        """Wait for another driver."""
        self.wake_s = math.inf

    def driver_arrived(self) -> None:
        """Stop the timer: the rider boards."""
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
    """Make all drivers, each with an own random generator."""
    stops = starts.node if starts.points_deg is None else streets.stops.add(*starts.points_deg.T)
    return [
        Driver(params, streets, _generator(seed, _DRIVERS, number), stop, begin_s, habit_of(number))
        for number, stop in enumerate(stops.tolist())
    ]


def random_riders(params: RiderParams, seed: int) -> Callable[[int], Rider]:
    """Return a factory of riders by row, each with an own random generator."""
    return lambda row: Rider(params, _generator(seed, _RIDERS, row))


def fixed_patience_riders(wait_s_max: float) -> Callable[[int], FixedPatienceRider]:
    """Return a factory of riders with a fixed patience."""
    return lambda row: FixedPatienceRider(wait_s_max)


def driver_params(*, always_yes: bool, boarding_s: float) -> DriverParams:
    """Return the driver parameters of a run."""
    return replace(ALWAYS_YES if always_yes else DriverParams(), boarding_s=boarding_s)


def _generator(seed: int, kind: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, kind, number))))
