"""The interface of matching policies, and the steps that ours share: candidates, scores, choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dispatch.events import MatchFound, RideEvent
from dispatch.matching.candidates import Candidates, NearestByRoad, find_candidates, reach_s
from dispatch.matching.score import Pairs, RequestColumns, score_terms
from dispatch.matching.trips import TripTimes
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import nearest_by_road


class MatchingPolicy(Protocol):
    """Chooses pairs. It sends no offers and changes nothing."""

    def match(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> list[MatchFound]:
        """Pairs of the round.

        Each ride and each driver appears at most once; a driver who refused a ride is not paired with it again.
        `waiting` comes with the oldest request first.
        """
        ...


@runtime_checkable
class LearningPolicy(Protocol):
    """A policy that learns from events, which it receives in their order, live and in simulations alike.

    In the live service these are the committed events; after a restart the last of them come again.
    """

    #: The kinds of events that it observes.
    observed_events: tuple[type[RideEvent], ...]

    def observe(self, event: RideEvent) -> None:
        """Learn from an event. Called between rounds, never during one."""
        ...


@runtime_checkable
class FollowsTraffic(Protocol):
    """A policy that searches the roads, and is given them anew when their travel times change."""

    def follow_traffic(self, graph: RoadGraph) -> None:
        """Search this graph from now on: the same roads; comes between rounds, never during one."""


@dataclass(frozen=True, slots=True)
class Considered:
    """The pairs that a policy weighed: candidates, and the terms (e,) by name whose sum is the score (e,)."""

    candidates: Candidates
    terms: Mapping[str, NDArray[np.float64]]
    score: NDArray[np.float64]
    #: The probability of acceptance, (e,); None for policies that do not estimate it.
    acceptance: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class RoundDecision:
    """The matches of a round, and the pairs that were considered for them."""

    policy: str = ""
    matches: list[MatchFound] = field(default_factory=list)
    #: None if the policy does not say.
    considered: Considered | None = None
    #: Faults of the policy, each a sentence that names it.
    faults: tuple[str, ...] = ()


class MoveGain(Protocol):
    """The gain of a driver by the place where a trip ends; see `dispatch.matching.position_value.PositionValue`."""

    def move_gain_s(
        self, node: ArrayLike, next_node: ArrayLike, duration_s: ArrayLike, now_s: float
    ) -> NDArray[np.float64]:
        """The gain (e,), in seconds of earning, of being at `next_node` in `duration_s` rather than at `node` now."""
        ...


class PairPolicy:
    """Finds candidates by road time and scores them; a subclass chooses among them."""

    name = "pairs"
    #: Whether the choice depends on more than the pickup ETA.
    heeds_score = True

    def __init__(
        self, graph: RoadGraph, nearest: NearestByRoad = nearest_by_road, position_value: MoveGain | None = None
    ) -> None:
        self._graph = graph
        self._nearest = nearest
        self._position_value = position_value
        # Of the city as it was loaded: what is learned from trips must not depend on the traffic of the moment.
        self._trips = TripTimes(graph)

    def follow_traffic(self, graph: RoadGraph) -> None:
        """See `FollowsTraffic.follow_traffic`."""
        self._graph = graph

    def match(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> list[MatchFound]:
        """See `MatchingPolicy.match`."""
        return self.decide(waiting, supply, params, now_s).matches

    def decide(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> RoundDecision:
        """The matches of the round, and the pairs that were considered."""
        candidates = find_candidates(self._graph, waiting, supply, params, self._nearest)
        considered = self.weigh(candidates, waiting, supply, params, now_s)
        matches = [
            MatchFound(
                ride_id=waiting[candidates.request[edge]].ride_id,
                driver_id=supply.driver_id[candidates.driver[edge]],
                pickup_eta_s=float(candidates.pickup_eta_s[edge]),
                score=float(considered.score[edge]),
            )
            for edge in self.choose(considered, len(waiting), len(supply)).tolist()
        ]
        return RoundDecision(self.name, matches, considered)

    def weigh(
        self,
        candidates: Candidates,
        waiting: Sequence[Ride],
        supply: SupplySnapshot,
        params: DispatchParams,
        now_s: float,
    ) -> Considered:
        """The score of each candidate with its terms."""
        requests = request_columns(waiting, self._trips, params, now_s)
        gain = self._move_gain_s(candidates, waiting, supply, requests.trip_s, now_s)
        pairs = Pairs(candidates.request, candidates.driver, candidates.pickup_eta_s, gain)
        terms = score_terms(pairs, requests, supply, params.score)
        return Considered(candidates, terms, total(terms, len(candidates.request)))

    def choose(self, considered: Considered, n_requests: int, n_drivers: int) -> NDArray[np.int64]:
        """The candidates to match, as positions in the arrays (e,), in the order of their requests."""
        raise NotImplementedError

    def _move_gain_s(
        self,
        candidates: Candidates,
        waiting: Sequence[Ride],
        supply: SupplySnapshot,
        trip_s: NDArray[np.float64],
        now_s: float,
    ) -> NDArray[np.float64] | None:
        if self._position_value is None:
            return None
        dropoff_node = np.array([ride.dropoff.node for ride in waiting], np.int64)
        duration_s = candidates.pickup_eta_s + trip_s[candidates.request]
        return self._position_value.move_gain_s(
            supply.node[candidates.driver], dropoff_node[candidates.request], duration_s, now_s
        )


def request_columns(waiting: Sequence[Ride], trips: TripTimes, params: DispatchParams, now_s: float) -> RequestColumns:
    """The columns of the waiting requests that the score needs, (m,) each."""
    return RequestColumns(
        reach_s=np.array([reach_s(ride, params) for ride in waiting]),
        waited_s=np.array([now_s - ride.requested_s for ride in waiting]),
        trip_s=trips.of([ride.pickup for ride in waiting], [ride.dropoff for ride in waiting]),
        fare_cents=np.array([ride.fare_cents for ride in waiting], np.float64),
    )


def total(terms: Mapping[str, NDArray[np.float64]], n_pairs: int) -> NDArray[np.float64]:
    """The score of each pair, (e,): the sum of its terms."""
    return sum(terms.values(), start=np.zeros(n_pairs))
