"""Two policies taking turns in one city: who is in force when, and what each interval saw."""

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

#: Tells these draws from those of the people and of the demand.
_TURNS = 3
ARMS = 2


@dataclass(frozen=True, slots=True)
class SwitchbackParams:
    """How long an arm is in force before the next is drawn, and how much of it is not counted after a change."""

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
    """Which arm is in force in each interval of a day, `arm` (g,)."""

    params: SwitchbackParams
    begin_s: float
    arm: IntArray

    @classmethod
    def draw(cls, params: SwitchbackParams, begin_s: float, last_request_s: float, seed: int) -> SwitchbackSchedule:
        """Give each arm half of the intervals, at random; of an odd number one gets one more, at random too.

        Raises ValueError if an arm would not get two intervals in which somebody asks for a ride.
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
        """The interval of a time; what comes before the first or after the last belongs to those."""
        number = math.floor((at_s - self.begin_s) / self.params.interval_s)
        return min(max(number, 0), len(self.arm) - 1)

    def is_counted(self, at_s: float) -> bool:
        """Whether a request at this time is out of the burn-in, which follows each change of arms and the start."""
        number = self.interval(at_s)
        is_new = number == 0 or self.arm[number] != self.arm[number - 1]
        into_s = at_s - self.begin_s - number * self.params.interval_s
        return not is_new or into_s >= self.params.burn_in_s


class SwitchingPolicy:
    """Whichever policy is in force: asked under its own name and guard, so that faults are told of the right one."""

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
        """What the policy in force decides, with its faults."""
        policy = self._policies[int(self._turns.arm[self._turns.interval(now_s)])]
        return decide_safely(policy, waiting, supply, params, now_s)


@dataclass(frozen=True)
class Cluster:
    """The rides requested in one interval outside the burn-in: counts and sums, for means over many clusters."""

    arm: int
    requests: int
    completed: int
    picked_up: int
    wait_s: float
    fares_cents: float


def clusters(rides: Iterable[Ride], turns: SwitchbackSchedule) -> list[Cluster]:
    """Sum up each interval of a day, in their order; a ride belongs to the interval of its request."""
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
