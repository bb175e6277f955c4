"""What a matching policy is, and the frame that ours share: candidates, scores, a choice."""

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
    """Chooses pairs; sends nothing, changes nothing."""

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
    """A policy that learns from what happens: it is told, in order, live and in simulations alike.

    Live it is told what was committed, after a restart the last events again.
    """

    #: The events that it wants to hear of.
    observed_events: tuple[type[RideEvent], ...]

    def observe(self, event: RideEvent) -> None:
        """Take in an event; comes between rounds, never during one."""
        ...


@dataclass(frozen=True, slots=True)
class Considered:
    """The pairs that a policy weighed: candidates, and the terms (e,) by name whose sum is the score (e,)."""

    candidates: Candidates
    terms: Mapping[str, NDArray[np.float64]]
    score: NDArray[np.float64]
    #: The chance that the driver says yes, (e,); None for policies that do not ask for it.
    acceptance: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class RoundDecision:
    """What a round decided, and on what grounds."""

    policy: str = ""
    matches: list[MatchFound] = field(default_factory=list)
    #: None if the policy does not say.
    considered: Considered | None = None
    #: What the policy did wrong, each a sentence that names it.
    faults: tuple[str, ...] = ()


class MoveGain(Protocol):
    """What drivers gain by where a trip leaves them; see `dispatch.matching.position_value.PositionValue`."""

    def move_gain_s(
        self, node: ArrayLike, next_node: ArrayLike, duration_s: ArrayLike, now_s: float
    ) -> NDArray[np.float64]:
        """Seconds of earning gained (e,) by being at `next_node` rather than at `node`, `duration_s` from now."""
        ...


class PairPolicy:
    """Candidates by road time, scores, and a choice among them, which is all that is left to say in a subclass."""

    name = "pairs"
    #: Whether the choice depends on more than the pickup ETA.
    heeds_score = True

    def __init__(
        self, graph: RoadGraph, nearest: NearestByRoad = nearest_by_road, position_value: MoveGain | None = None
    ) -> None:
        self._graph = graph
        self._nearest = nearest
        self._position_value = position_value
        self._trips = TripTimes(graph)

    def match(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> list[MatchFound]:
        """See `MatchingPolicy.match`."""
        return self.decide(waiting, supply, params, now_s).matches

    def decide(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> RoundDecision:
        """The matches of the round with what was considered for them."""
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
        """The candidates to match, as places in the arrays (e,), by the order of their requests."""
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
    """What the score takes from the requests that wait, (m,) each."""
    return RequestColumns(
        reach_s=np.array([reach_s(ride, params) for ride in waiting]),
        waited_s=np.array([now_s - ride.requested_s for ride in waiting]),
        trip_s=trips.of([ride.pickup for ride in waiting], [ride.dropoff for ride in waiting]),
        fare_cents=np.array([ride.fare_cents for ride in waiting], np.float64),
    )


def total(terms: Mapping[str, NDArray[np.float64]], n_pairs: int) -> NDArray[np.float64]:
    """The score of each pair, (e,): the sum of its terms."""
    return sum(terms.values(), start=np.zeros(n_pairs))
