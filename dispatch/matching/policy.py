"""What a matching policy is, and the frame that ours share: candidates, scores, a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dispatch.events import MatchFound
from dispatch.matching.candidates import Candidates, NearestByRoad, find_candidates, reach_s
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from geo.roads import RoadGraph
from geo.travel_times import nearest_by_road

#: A second that a rider has waited already counts as this many seconds of pickup ETA, so that nobody starves.
WAITED_WEIGHT = 1.0


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


@dataclass(frozen=True, slots=True)
class Considered:
    """The pairs that a policy weighed: candidates, and the terms (e,) by name whose sum is the score (e,)."""

    candidates: Candidates
    terms: Mapping[str, NDArray[np.float64]]
    score: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RoundDecision:
    """What a round decided, and on what grounds."""

    policy: str = ""
    matches: list[MatchFound] = field(default_factory=list)
    #: None if the policy does not say.
    considered: Considered | None = None
    #: What the policy did wrong, each a sentence that names it.
    faults: tuple[str, ...] = ()


class PairPolicy:
    """Candidates by road time, scores, and a choice among them, which is all that is left to say in a subclass."""

    name = "pairs"

    def __init__(self, graph: RoadGraph, nearest: NearestByRoad = nearest_by_road) -> None:
        self._graph = graph
        self._nearest = nearest

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
        terms = score_terms(candidates, waiting, params, now_s)
        considered = Considered(candidates, terms, sum(terms.values(), start=np.zeros(len(candidates.request))))
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

    def choose(self, considered: Considered, n_requests: int, n_drivers: int) -> NDArray[np.int64]:
        """The candidates to match, as places in the arrays (e,), by the order of their requests."""
        raise NotImplementedError


def score_terms(
    candidates: Candidates, waiting: Sequence[Ride], params: DispatchParams, now_s: float
) -> dict[str, NDArray[np.float64]]:
    """The parts of each pair's score, (e,) each, in seconds of pickup ETA.

    `pickup` is the ETA that the pair saves against the ride's reach, `waited` what the rider has waited.
    """
    reach = np.array([reach_s(ride, params) for ride in waiting])
    waited_s = np.array([now_s - ride.requested_s for ride in waiting])
    return {
        "pickup": reach[candidates.request] - candidates.pickup_eta_s,
        "waited": WAITED_WEIGHT * waited_s[candidates.request],
    }
