"""Switchback experiments: two policies alternate in one city; the schedule, and the results of each interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dispatch.events import MatchFound
from dispatch.matching.guard import decide_safely
from dispatch.matching.policy import MatchingPolicy, RoundDecision
from dispatch.model import DispatchParams, Ride, RideState, SupplySnapshot
from geo.arrays import IntArray

#: Separates these random draws from those of people and demand.
_TURNS = 3
ARMS = 2


@dataclass(frozen=True, slots=True)
class SwitchbackParams:
    """Length of an interval, and the burn-in after each change of arms whose rides are not counted."""

    interval_s: float
    burn_in_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.interval_s < math.inf:
            raise ValueError(f"the interval must be a positive number of seconds, not {self.interval_s}")
        if not 0.0 <= self.burn_in_s < self.interval_s:
            raise ValueError(
                f"the burn-in must be shorter than the interval of {self.interval_s:g} s, not {self.burn_in_s:g}"
            )


@dataclass(frozen=True)
class SwitchbackSchedule:
    """The active arm of each interval of a day, `arm` (g,)."""

    params: SwitchbackParams
    begin_s: float
    arm: IntArray

    @classmethod
    def draw(cls, params: SwitchbackParams, begin_s: float, last_request_s: float, seed: int) -> SwitchbackSchedule:
        """Assign half of the intervals to each arm at random; an odd one goes to either arm at random.

        Raises ValueError if an arm would get fewer than two intervals with requests.
        """
        count = math.floor((last_request_s - begin_s) / params.interval_s) + 1
        if count < 2 * ARMS:
            raise ValueError(
                f"requests come for {last_request_s - begin_s:.0f} s, which is {count} intervals of "
                f"{params.interval_s:g} s; a switchback needs {2 * ARMS} or more"
            )
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _TURNS))))
        arm = (np.arange(count) + generator.integers(ARMS)) % ARMS
        return cls(params, begin_s, generator.permutation(arm))

    def interval(self, at_s: float) -> int:
        """The interval that contains a time; times outside the day count to the first or last interval."""
        number = math.floor((at_s - self.begin_s) / self.params.interval_s)
        return min(max(number, 0), len(self.arm) - 1)

    def is_counted(self, at_s: float) -> bool:
        """Whether a request at this time counts: past the burn-in after the start and each change of arms."""
        number = self.interval(at_s)
        is_new = number == 0 or self.arm[number] != self.arm[number - 1]
        into_s = at_s - self.begin_s - number * self.params.interval_s
        return not is_new or into_s >= self.params.burn_in_s


class SwitchingPolicy:
    """Delegates each round to the active policy, with its own guard, so that faults name the right policy."""

    name = "switchback"

    def __init__(self, policies: Sequence[MatchingPolicy], turns: SwitchbackSchedule) -> None:
        if len(policies) != ARMS:
            raise ValueError(f"a switchback is about {ARMS} policies, not {len(policies)}")
        self._policies = policies
        self._turns = turns

    def match(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> list[MatchFound]:
        """See `MatchingPolicy.match`."""
        return self.decide(waiting, supply, params, now_s).matches

    def decide(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> RoundDecision:
        """Return the decision of the active policy, with its faults."""
        policy = self._policies[int(self._turns.arm[self._turns.interval(now_s)])]
        return decide_safely(policy, waiting, supply, params, now_s)


@dataclass(frozen=True)
class Cluster:
    """Counts and sums over the rides requested in one interval outside the burn-in."""

    arm: int
    requests: int
    completed: int
    picked_up: int
    wait_s: float
    fares_cents: float


def clusters(rides: Iterable[Ride], turns: SwitchbackSchedule) -> list[Cluster]:
    """Return one cluster per interval, in order; a ride belongs to the interval of its request."""
    inside: list[list[Ride]] = [[] for _ in turns.arm]
    for ride in rides:
        if turns.is_counted(ride.requested_s):
            inside[turns.interval(ride.requested_s)].append(ride)
    return [_cluster(int(arm), members) for arm, members in zip(turns.arm, inside, strict=True)]


def _cluster(arm: int, rides: Sequence[Ride]) -> Cluster:
    completed = [ride for ride in rides if ride.state is RideState.COMPLETED]
    waits_s = [ride.picked_up_s - ride.requested_s for ride in rides if ride.picked_up_s is not None]
    fares_cents = math.fsum(ride.fare_cents for ride in completed)
    return Cluster(arm, len(rides), len(completed), len(waits_s), math.fsum(waits_s), fares_cents)
