"""Driver habits: whether a driver works now, where an idle driver goes, which offers a driver wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from geo.arrays import FloatArray
from geo.zones import Zones
from pricing.model.quotes import Receipt
from pricing.model.tariff import Tariff
from pricing.rules.earnings import split
from simulator.model import Offer


class Habit:
    """The default habit: works whenever on shift, cruises nearby and takes any ride."""

    #: How often a driver who does not work looks again, in the mean.
    look_s_mean = 300.0

    def works(self, node: int, now_s: float) -> bool:
        """Whether it is worth being on the road, for a driver at a node."""
        return True

    def next_node(self, node: int, now_s: float, generator: np.random.Generator) -> int | None:
        """Where an idle driver at a node goes; None is a cruise nearby."""
        return None

    def wants(self, offer: Offer, now_s: float) -> bool:
        """Whether the driver wants the ride; checked before the other reasons to decline."""
        return True


DEFAULT_HABIT = Habit()


#: Returns the price and the receipt of a ride by its id.
ReceiptOfRide = Callable[[str], tuple[int, Receipt]]


class Prices(Protocol):
    """Surge multipliers as drivers see them on their map."""

    @property
    def multipliers(self) -> FloatArray: ...  # noqa: D102 - (c,) by surge cell, as of the last tick


@dataclass(frozen=True, slots=True)
class PriceFollowingParams:
    """How drivers respond to the prices on their map. Durations are city seconds."""

    #: Share of the drivers who work only if it pays, and the share of these who do at the base price.
    casual_share: float = 0.4
    casual_at_work_share: float = 0.4
    #: Work rises with the price to this power, until all of them work; Boston's drivers were found between one and two
    #: (Angrist, Caldwell and Hall 2021, doi:10.1257/app.20190655).
    supply_elasticity: float = 1.0
    look_s_mean: float = 300.0
    #: Farther than this hardly anybody looks or drives for a price.
    outlook_s: float = 300.0
    #: What a driver expects a ride to bring, in seconds of work at the base price; a surged one brings the more.
    ride_s: float = 900.0
    #: How undecided drivers are, in the same seconds: the scale of the noise in their choice of a place.
    indifference_s: float = 90.0

    def __post_init__(self) -> None:
        for name in ("casual_share", "casual_at_work_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be 0 to 1, not {getattr(self, name)}")
        for name in ("supply_elasticity", "look_s_mean", "outlook_s", "ride_s", "indifference_s"):
            if not 0.0 < getattr(self, name) < 1e6:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


class PriceFollower(Habit):
    """Works if nearby prices are high enough, and moves to zones that pay more if they are near enough."""

    def __init__(self, zones: Zones, prices: Prices | None, params: PriceFollowingParams, reluctance: float) -> None:
        """`reluctance` is 0 for a driver who always works, up to 1 for one who needs the highest price.

        Without prices it is the base everywhere.
        """
        self._zones = zones
        self._prices = prices
        self._params = params
        self._reluctance = reluctance
        self.look_s_mean = params.look_s_mean

    def works(self, node: int, now_s: float) -> bool:
        """Whether the distance-weighted price around the driver exceeds the driver's threshold."""
        if not self._reluctance:
            return True
        eta_s = self._zones.eta_s[self._zones.of_node[node]]
        weight = np.exp(-eta_s / self._params.outlook_s)
        price = float(weight @ self._multipliers() / weight.sum())
        return bool(self._reluctance < self._params.casual_at_work_share * price**self._params.supply_elasticity)

    def next_node(self, node: int, now_s: float, generator: np.random.Generator) -> int | None:
        """Draw a zone by what a ride from there pays more than one from here, less the way: a logit choice."""
        here, price = int(self._zones.of_node[node]), self._multipliers()
        gain_s = (price - price[here]) * self._params.ride_s - self._zones.eta_s[here]
        noise = generator.gumbel(size=gain_s.shape[0])
        there = int(np.argmax(gain_s / self._params.indifference_s + noise))
        return None if there == here else self._zones.draw_node(there, generator)

    def _multipliers(self) -> FloatArray:
        if self._prices is None:
            return np.ones(len(self._zones))
        return self._prices.multipliers[self._zones.surge_index]


@dataclass(frozen=True, slots=True)
class CherryPickingParams:
    """When a driver declines a ride to wait for a better one."""

    #: The least that a ride must pay over what the driver's time is worth, while prices are up.
    least_pay_cents: float
    #: What an hour is worth to the driver; 0 is a driver who looks at the pay alone.
    hour_cents: float = 0.0
    #: Beside the way to the pickup and the trip: for the rider to get in and out.
    handling_s: float = 45.0
    #: Below this multiplier any ride will do: there is nothing to wait for.
    surge_min: float = 1.1


class CherryPicker(Habit):
    """Wraps another habit, but during surge accepts only rides that pay more than the driver's time is worth."""

    def __init__(self, otherwise: Habit, params: CherryPickingParams, tariff: Tariff, bills: ReceiptOfRide) -> None:
        self._otherwise = otherwise
        self._params = params
        self._tariff = tariff
        self._bills = bills
        self.look_s_mean = otherwise.look_s_mean

    def works(self, node: int, now_s: float) -> bool:
        """Same as the wrapped habit."""
        return self._otherwise.works(node, now_s)

    def next_node(self, node: int, now_s: float, generator: np.random.Generator) -> int | None:
        """Same as the wrapped habit."""
        return self._otherwise.next_node(node, now_s, generator)

    def wants(self, offer: Offer, now_s: float) -> bool:
        """Whether the pay exceeds the value of the driver's time by `least_pay_cents`."""
        price_cents, receipt = self._bills(offer.ride_id)
        if receipt.surge_multiplier < self._params.surge_min:
            return True
        pay_cents = split(self._tariff, price_cents, receipt).driver_cents
        time_s = offer.pickup_eta_s + receipt.travel_time_s + self._params.handling_s
        return pay_cents - self._params.hour_cents * time_s / 3600.0 >= self._params.least_pay_cents
