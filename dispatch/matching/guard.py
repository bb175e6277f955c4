"""Runs a policy and drops what breaks the rules, so that a faulty policy does not stop the round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from dispatch.events import MatchFound
from dispatch.matching.candidates import reach_s
from dispatch.matching.policy import MatchingPolicy, RoundDecision
from dispatch.model import DispatchParams, Ride, SupplySnapshot

#: Decisions tried while the ride that a policy fails on is looked for: enough for three among thousands.
TRIES_MAX = 48


def decide_safely(
    policy: MatchingPolicy, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
) -> RoundDecision:
    """The decision of the policy without the matches that break the rules of `MatchingPolicy.match`.

    A ride that the policy raises on is left out, and the policy decides on the others; a policy that raises on all of
    them, or returns something else than matches, decides nothing. Each fault is a sentence that names the policy.
    """
    name = str(getattr(policy, "name", type(policy).__name__))
    run = _Runs(policy, supply, params, now_s)
    try:
        decision, judged = run.decide(waiting)
        faults: tuple[str, ...] = ()
    except Exception as error:  # whatever a plugged-in policy does, offers must still expire and rides go on
        bad = run.fails_on(waiting)
        good = [ride for ride in waiting if ride.ride_id not in bad]
        found = run.try_to_decide(good) if bad and good else None
        if found is None:
            return RoundDecision(name, faults=(f"policy {name}: raised {error!r}; nobody is asked in this round",))
        decision, judged = found
        faults = tuple(f"policy {name}: raised {error!r} on ride {ride_id}, which is left out" for ride_id in bad)
    lawful: list[MatchFound] = []
    for match, wrong in judged:
        if wrong:
            faults += (f"policy {name}: {match.driver_id} for ride {match.ride_id} was left out: {wrong}",)
        else:
            lawful.append(match)
    return replace(decision, policy=name, matches=lawful, faults=(*decision.faults, *faults))


Judged = tuple[RoundDecision, list[tuple[MatchFound, str]]]


class _Runs:
    """Runs of a policy on parts of one round."""

    def __init__(self, policy: MatchingPolicy, supply: SupplySnapshot, params: DispatchParams, now_s: float) -> None:
        self._policy = policy
        self._supply = supply
        self._params = params
        self._now_s = now_s
        self._tries_left = TRIES_MAX

    def decide(self, waiting: Sequence[Ride]) -> Judged:
        """The decision on these rides, with the rule that each match breaks. Raises what the policy raises."""
        decide = getattr(self._policy, "decide", None)
        if decide is not None:
            decision: RoundDecision = decide(waiting, self._supply, self._params, self._now_s)
        else:
            matches = self._policy.match(waiting, self._supply, self._params, self._now_s)
            decision = RoundDecision(matches=list(matches))
        return decision, list(_judged(decision.matches, waiting, self._supply, self._params))

    def try_to_decide(self, waiting: Sequence[Ride]) -> Judged | None:
        """As `decide`; None if it raises, or was tried too often."""
        if self._tries_left == 0:
            return None
        self._tries_left -= 1
        try:
            return self.decide(waiting)
        except Exception:
            return None

    def fails_on(self, waiting: Sequence[Ride]) -> list[str]:
        """The ids of single rides on which the policy raises, found by halves; none if it raises on too many."""
        suspects, bad = [list(waiting)], []
        while suspects and self._tries_left:
            part = suspects.pop()
            if len(part) == 1:
                bad.append(part[0].ride_id)
                continue
            half = len(part) // 2
            suspects += [side for side in (part[half:], part[:half]) if self.try_to_decide(side) is None]
        return [] if suspects else bad


def _judged(
    matches: Sequence[MatchFound], waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams
) -> Iterator[tuple[MatchFound, str]]:
    """Each match with the rule that it breaks, empty if none."""
    ride_of = {ride.ride_id: ride for ride in waiting}
    seats_of = dict(zip(supply.driver_id, supply.seats.tolist(), strict=True))
    rides, drivers = set(), set()
    for match in matches:
        wrong = ""
        ride = ride_of.get(match.ride_id)
        if ride is None:
            wrong = "the ride does not wait"
        elif match.driver_id not in seats_of:
            wrong = "the driver is not free"
        elif match.ride_id in rides:
            wrong = "the ride has a driver already"
        elif match.driver_id in drivers:
            wrong = "the driver has a ride already"
        elif match.driver_id in ride.refused_by:
            wrong = "the driver refused it before"
        elif seats_of[match.driver_id] < ride.seats:
            wrong = f"the car has {seats_of[match.driver_id]} seats, {ride.seats} are needed"
        elif not 0 <= match.pickup_eta_s <= reach_s(ride, params) or not abs(match.score) < inf:
            wrong = f"a pickup in {match.pickup_eta_s} s for a score of {match.score} is no offer"
        else:
            rides.add(match.ride_id)
            drivers.add(match.driver_id)
        yield match, wrong
