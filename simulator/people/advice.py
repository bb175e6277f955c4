"""Where idle drivers wait: at the last dropoff, in a fixed zone, or where repositioning advice sends them."""

from __future__ import annotations

import numpy as np

from dispatch import events as ev
from geo.arrays import IntArray
from geo.zones import Zones
from pricing.model.advice import RepositioningParams
from pricing.rules.forecast import QUARTER_S, DemandForecast
from pricing.rules.repositioning import Advice, FlowSolver, plan
from simulator.people.fleet import Fleet
from simulator.people.habits import Habit
from simulator.service.virtual_dispatch import EventHandler


class StayAtDropoff(Habit):
    """Waits where the last rider got out."""

    def next_node(self, node: int, now_s: float, generator: np.random.Generator) -> int | None:
        """Where the driver is."""
        return node


class ReturnToZone(Habit):
    """Waits in one zone, wherever the last rider got out."""

    def __init__(self, zones: Zones, home: int) -> None:
        self._zones = zones
        self._home = home

    def next_node(self, node: int, now_s: float, generator: np.random.Generator) -> int | None:
        """A random node of the home zone, or the current node if already there."""
        return node if self._zones.of_node[node] == self._home else self._zones.draw_node(self._home, generator)


class Adviser:
    """Forecasts requests by zone and quarter-hour, and plans moves of idle drivers every `every_s` seconds."""

    def __init__(
        self, zones: Zones, forecast: DemandForecast, solve: FlowSolver, params: RepositioningParams, midnight_s: float
    ) -> None:
        """`forecast` counts by zone and by quarters from `midnight_s` on, local midnight in city time."""
        self.tick_s = params.every_s
        self._zones = zones
        self.forecast = forecast
        self._solve = solve
        self._params = params
        self._midnight_s = midnight_s
        self._counts: IntArray = np.zeros(len(zones), np.int64)
        self._quarter: int | None = None
        self.advice: Advice | None = None

    def handlers(self) -> dict[type[ev.RideEvent], EventHandler]:
        """Count every request as demand."""
        return {ev.RideRequested: self._on_request}

    def is_settled(self, now_s: float) -> bool:
        """Never: each quarter of an hour is reported, also one without requests."""
        return False

    def tick(self, fleet: Fleet, now_s: float) -> None:
        """Make a new plan; idle drivers who are driving count at their destination."""
        self._close_quarters(now_s)
        idle = np.bincount(self._zones.of_node[fleet.idle_nodes(now_s)], minlength=len(self._zones))
        ahead = self.forecast.ahead(self._quarter_of(now_s + self.tick_s))
        self.advice = plan(idle, ahead, self._zones.eta_s, self._solve, self._params)

    def _on_request(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.RideRequested)
        self._close_quarters(now_s)
        self._counts[self._zones.of_node[event.pickup.node]] += 1

    def _close_quarters(self, now_s: float) -> None:
        quarter = self._quarter_of(now_s)
        if self._quarter is None:
            self._quarter = quarter
        while self._quarter < quarter:
            self.forecast.observe(self._quarter, self._counts)
            self._counts[:] = 0
            self._quarter += 1

    def _quarter_of(self, now_s: float) -> int:
        return int((now_s - self._midnight_s) // QUARTER_S)


class FollowAdvice(StayAtDropoff):
    """Follows repositioning advice with a given probability, else stays at the last dropoff."""

    def __init__(self, zones: Zones, adviser: Adviser, compliance: float) -> None:
        """`compliance` is the share of advice that is followed. Raises ValueError unless it is 0 to 1."""
        if not 0.0 <= compliance <= 1.0:
            raise ValueError(f"compliance must be 0 to 1, not {compliance}")
        self._zones = zones
        self._adviser = adviser
        self._compliance = compliance

    def next_node(self, node: int, now_s: float, generator: np.random.Generator) -> int | None:
        """A random node of the advised zone, or the current node."""
        if self._adviser.advice is None or generator.random() >= self._compliance:
            return node
        here = int(self._zones.of_node[node])
        there = self._adviser.advice.take(here, lambda count: generator.gumbel(size=count))
        return node if there == here else self._zones.draw_node(there, generator)
