"""Runs a policy and drops what breaks the rules, so that a faulty policy does not stop the round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from dispatch.events import MatchFound
from dispatch.matching.candidates import reach_s
from dispatch.matching.policy import MatchingPolicy, RoundDecision
from dispatch.model import DispatchParams, Ride, SupplySnapshot


def decide_safely(
    policy: MatchingPolicy, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
) -> RoundDecision:
    """The decision of the policy without the matches that break the rules of `MatchingPolicy.match`.

    A policy that raises, or returns something else than matches, decides nothing. Each fault is a sentence that names
    the policy.
    """
    name = str(getattr(policy, "name", type(policy).__name__))
    try:
        decide = getattr(policy, "decide", None)
        if decide is not None:
            decision: RoundDecision = decide(waiting, supply, params, now_s)
        else:
            decision = RoundDecision(matches=list(policy.match(waiting, supply, params, now_s)))
        judged = list(_judged(decision.matches, waiting, supply, params))
    except Exception as error:  # whatever a plugged-in policy does, offers must still expire and rides go on
        return RoundDecision(name, faults=(f"policy {name}: raised {error!r}; nobody is asked in this round",))
    lawful: list[MatchFound] = []
    faults = []
    for match, wrong in judged:
        if wrong:
            faults.append(f"policy {name}: {match.driver_id} for ride {match.ride_id} was left out: {wrong}")
        else:
            lawful.append(match)
    return replace(decision, policy=name, matches=lawful, faults=(*decision.faults, *faults))


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
