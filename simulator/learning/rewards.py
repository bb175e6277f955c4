"""Rewards computed from the events of a step: fares minus the cost of riders' waiting time and of lost riders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from dispatch import events as ev
from kernel.money import in_units

_ENDS_OF_WAIT = (ev.RiderPickedUp, ev.RiderDidNotShow, ev.RideCancelled, ev.RideExpired)


@dataclass(frozen=True, slots=True)
class RewardParams:
    """Weights of the reward terms, in minor units of the region's currency."""

    #: Share of the fare of each picked-up rider that counts.
    fare_share: float = 1.0
    #: For each second that a rider waits between request and pickup: 19 dollars an hour were measured in experiments
    #: on the waits and prices of 14 million sessions at Lyft (Goldszmidt et al. 2020, doi:10.3386/w28208).
    waited_cents_per_s: float = 0.53
    #: Cost of each rider who cancels or whose request expires.
    lost_cents: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) < math.inf:
                raise ValueError(f"{field.name} must be a finite number from 0, not {getattr(self, field.name)}")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one step of a day."""

    requests: int = 0
    picked_up: int = 0
    lost: int = 0
    fares_cents: int = 0
    #: Total waiting time between request and pickup that falls into this step, over all riders.
    waited_s: float = 0.0

    def reward(self, params: RewardParams, currency: str) -> float:
        """Return fares minus the costs of waiting and of lost riders, in units of the currency."""
        earned = params.fare_share * self.fares_cents
        worth = earned - params.waited_cents_per_s * self.waited_s - params.lost_cents * self.lost
        return in_units(worth, currency)


class Tallies:
    """Counts step by step; each second of waiting is counted once, in the step in which it falls."""

    def __init__(self) -> None:
        #: ride_id -> (fare, time up to which its wait is counted), of each ride before its pickup.
        self._open: dict[str, tuple[int, float]] = {}

    def take(self, events: Iterable[ev.RideEvent], now_s: float) -> Tally:
        """Count the events between the last call and `now_s`."""
        requests = picked_up = lost = fares_cents = 0
        waited_s = 0.0
        for event in events:
            if isinstance(event, ev.RideRequested):
                requests += 1
                self._open[event.ride_id] = (event.fare_cents, event.at_s)
            elif isinstance(event, _ENDS_OF_WAIT) and event.ride_id in self._open:
                fare_cents, since_s = self._open.pop(event.ride_id)
                waited_s += event.at_s - since_s
                is_aboard = isinstance(event, ev.RiderPickedUp)
                picked_up, lost = picked_up + is_aboard, lost + (not is_aboard)
                fares_cents += fare_cents * is_aboard
        for ride_id, (fare_cents, since_s) in self._open.items():
            waited_s += now_s - since_s
            self._open[ride_id] = (fare_cents, now_s)
        return Tally(requests, picked_up, lost, fares_cents, waited_s)
