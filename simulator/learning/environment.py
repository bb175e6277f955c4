"""A simulated day as a Gymnasium environment: an agent steers the matching of the shipped engine. Needs gymnasium.

What is steered follows the literature. How far a driver is sent, down to holding a round altogether, is the delayed
matching of Yang et al. 2020 (doi:10.1016/j.trb.2020.01.008) and Qin et al. 2021 (doi:10.1016/j.trc.2021.103239). What a
driver gains by where a trip ends is the value of a place of Xu et al. 2018 (doi:10.1145/3219819.3219824).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from dispatch.events import RideRequested
from dispatch.matching.position_value import cells_of_nodes
from geo.arrays import FloatArray, IntArray
from geo.cells import cells_to_strings
from geo.city import City
from simulator.day import Day, Outcome
from simulator.day_params import DayParams
from simulator.demand.inputs import DriverStarts, PlacedRequests
from simulator.demand.resample import resampled
from simulator.learning.rewards import RewardParams, Tallies, Tally
from simulator.learning.steered_policy import SteeredPolicy
from simulator.reports.figures import figures_of

DAY_S = 86_400.0
#: Figures of each zone, in their order.
ZONE_FIGURES = ("idle", "free_soon", "waiting", "requested")
#: Figures of the whole city, after those of the zones.
CITY_FIGURES = ("idle", "aboard", "waited_s_mean", "hour_cos", "hour_sin", "over")
#: Seeds of days, drawn by the environment, are below this.
_SEEDS = 2**31

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EnvParams:
    """Parameters of the environment. All durations are in city seconds."""

    #: Length of a step; a multiple of the batch window.
    step_s: float = 60.0
    #: Zones are H3 cells: at 7 a good kilometre from the centre to an edge, so that Manhattan has some twenty.
    zone_resolution: int = 7
    #: What a zone may be worth at most, in seconds of pickup ETA.
    value_s_max: float = 300.0
    #: Drivers whose dropoff is within this time are observed as free soon.
    free_soon_s: float = 600.0
    #: Whether each episode resamples the recorded requests, against overfitting to one day.
    is_resampled: bool = False
    reward: RewardParams = field(default_factory=RewardParams)

    def __post_init__(self) -> None:
        for name in ("step_s", "value_s_max", "free_soon_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number of seconds, not {getattr(self, name)}")
        if not 0 <= self.zone_resolution <= 15:
            raise ValueError(f"zone_resolution must be an H3 resolution, 0 to 15, not {self.zone_resolution}")


class DispatchEnv(gymnasium.Env[Floats32, Floats32]):
    """One episode is one day; a step is `EnvParams.step_s` of it, through all rounds that fall into it.

    Action, (1 + z,) from -1 to 1: how far drivers are sent, from nobody (-1: the round is held) to as far as the city
    allows (1); then what being free in each of z zones is worth, as a part of `EnvParams.value_s_max`. `shipped_action`
    leaves everything as the optimal policy does it: a day under it is the day that `hexhail simulate` lives.

    Observation, from 0 to 1, named by `observation_names`. Of each zone idle drivers, drivers who will be free there
    soon, riders waiting without an offer and riders who asked in the last step, each as a part of the fleet, at most 1.
    Of the city the parts of the fleet that are idle and that have a rider aboard and nobody after; how long riders
    without an offer have waited on average, as a part of the longest wait; the hour as a point on a circle; how much of
    the time in which riders ask is over.

    Reward: `Tally.reward` of what happened in the step, in units of the currency. An episode terminates with the day;
    what is under way then is lived to its end and counts to the last step.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as the interface has it

    def __init__(
        self,
        city: City,
        requests: PlacedRequests,
        starts: DriverStarts,
        day: DayParams | None = None,
        params: EnvParams | None = None,
    ) -> None:
        """`day` without a seed that matters: each episode has its own. Raises ValueError for what `Day` refuses."""
        self.params = params or EnvParams()
        self._day_params = day or DayParams()
        self._city, self._requests, self._starts = city, requests, starts
        self._max_wait_s = self._day_params.dispatch(city.sections).max_wait_s
        cell, self._zone_of_node = cells_of_nodes(city.graph, self.params.zone_resolution)
        self.zones = tuple(cells_to_strings(cell))
        of_zones = [f"{figure} {zone}" for zone in self.zones for figure in ZONE_FIGURES]
        self.observation_names = (*of_zones, *CITY_FIGURES)
        self.observation_space = Box(0.0, 1.0, (len(self.observation_names),), np.float32)
        self.action_space = Box(-1.0, 1.0, (1 + len(self.zones),), np.float32)
        self.outcome: Outcome | None = None
        self._day: Day | None = None

    @property
    def shipped_action(self) -> Floats32:
        """The action that leaves the shipped policy unchanged."""
        action = np.zeros(1 + len(self.zones), np.float32)
        action[0] = 1.0
        return action

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Floats32, dict[str, Any]]:
        """Start a day, determined by `seed`. `options["day_seed"]` is the seed of `hexhail simulate --seed`."""
        super().reset(seed=seed)
        day_seed = int((options or {}).get("day_seed", self.np_random.integers(_SEEDS)))
        requests = resampled(self._requests, day_seed) if self.params.is_resampled else self._requests
        self._policy = SteeredPolicy(self._city.graph, self._zone_of_node)
        params = replace(self._day_params, seed=day_seed)
        self._day = Day(self._city, requests, self._starts, self._policy, params)
        self._day.begin()
        self._last_request_s = float(requests.asked.t_s[-1])
        self._now_s, self._heard, self.outcome = float(self._day.begin_s), 0, None
        self._tallies = Tallies()
        self._day.advance(self._now_s)
        return self._observation(self._day, np.zeros(0, np.int64)), {"day_seed": day_seed, "now_s": self._now_s}

    def step(self, action: Floats32) -> tuple[Floats32, float, bool, bool, dict[str, Any]]:
        """Simulate one step under an action.

        Raises RuntimeError before `reset` or after the end, ValueError for an action that is not in the space.
        """
        if self._day is None or self.outcome is not None:
            raise RuntimeError("there is no day under way: call reset first")
        self._steer(action)
        day, self._now_s = self._day, self._now_s + self.params.step_s
        is_over = not day.advance(self._now_s)
        if is_over:
            day.advance(math.inf)
            self.outcome = day.end()
            self._now_s = max(self._now_s, self.outcome.end_s)
        events = day.virtual_dispatch.events[self._heard :]
        self._heard += len(events)
        tally = self._tallies.take(events, self._now_s)
        asked = [event.pickup.node for event in events if isinstance(event, RideRequested)]
        reward = tally.reward(self.params.reward, self._city.region.currency)
        return self._observation(day, np.array(asked, np.int64)), reward, is_over, False, self._info(tally)

    def _steer(self, action: Floats32) -> None:
        levers = np.asarray(action, np.float64)
        if levers.shape != self.action_space.shape or not (np.abs(levers) <= 1.0).all():
            raise ValueError(f"an action is {self.action_space.shape} numbers from -1 to 1, not {action!r}")
        self._policy.steer((float(levers[0]) + 1.0) / 2.0, levers[1:] * self.params.value_s_max)

    def _info(self, tally: Tally) -> dict[str, Any]:
        info: dict[str, Any] = {"now_s": self._now_s, **{name: getattr(tally, name) for name in Tally.__slots__}}
        if self.outcome is not None:
            info["figures"] = figures_of(self.outcome)
        return info

    # -- observations ------------------------------------------------------------------------------------------------

    def _observation(self, day: Day, asked_node: IntArray) -> Floats32:
        waiting = day.virtual_dispatch.waiting_rides()
        node, free_in_s = day.fleet.dropoffs(self._now_s)
        idle = day.fleet.idle_nodes(self._now_s)
        drivers = len(self._starts)
        zones = np.column_stack(
            [
                self._by_zone(idle),
                self._by_zone(node[free_in_s <= self.params.free_soon_s]),
                self._by_zone(np.array([ride.pickup.node for ride in waiting], np.int64)),
                self._by_zone(asked_node),
            ]
        )
        waited_s = [self._now_s - ride.requested_s for ride in waiting]
        angle = 2.0 * math.pi * (self._now_s % DAY_S) / DAY_S
        over_s = self._now_s - day.begin_s
        city = [
            len(idle) / drivers,
            len(node) / drivers,
            float(np.mean(waited_s)) / self._max_wait_s if waited_s else 0.0,
            (1.0 + math.cos(angle)) / 2.0,
            (1.0 + math.sin(angle)) / 2.0,
            over_s / max(self._last_request_s - day.begin_s, over_s, 1.0),
        ]
        seen = np.concatenate([zones.ravel() / drivers, city])
        observed: Floats32 = np.clip(seen, 0.0, 1.0).astype(np.float32)
        return observed

    def _by_zone(self, node: IntArray) -> FloatArray:
        return np.bincount(self._zone_of_node[node], minlength=len(self.zones)).astype(np.float64)
