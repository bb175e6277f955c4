"""The policy `expected`: maximises the expected value of a round, with the chances of refusals and cancellations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dispatch.events import RideEvent
from dispatch.matching.acceptance import OfferColumns
from dispatch.matching.answers import OBSERVED_EVENTS, Answers
from dispatch.matching.candidates import Candidates, NearestByRoad
from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.policy import Considered, MoveGain, total
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.weights import ScoreWeights
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import nearest_by_road


class ExpectedPolicy(OptimalPolicy):
    """Maximises v - (1 - p)r - p·c·v over a round.

    v is the score of a pair as the policy `optimal` has it, p the chance that the driver accepts, c the chance that
    the rider cancels before the pickup, and r what a refusal costs: the time until the next driver is asked. A refusal
    does not cost v: the ride is still there, and has found a driver a few seconds later.
    """

    name = "expected"
    #: See `LearningPolicy`.
    observed_events = OBSERVED_EVENTS

    def __init__(
        self,
        graph: RoadGraph,
        nearest: NearestByRoad = nearest_by_road,
        position_value: MoveGain | None = None,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(graph, nearest, position_value)
        #: What was learned so far; before the first answer all drivers are equally likely to accept.
        self.answers = answers or Answers(graph)

    def observe(self, event: RideEvent) -> None:
        """See `LearningPolicy.observe`."""
        self.answers.observe(event)

    def weigh(
        self,
        candidates: Candidates,
        waiting: Sequence[Ride],
        supply: SupplySnapshot,
        params: DispatchParams,
        now_s: float,
    ) -> Considered:
        """See `PairPolicy.weigh`; the terms `refusal` and `cancellation` are the mean losses by either."""
        worth = super().weigh(candidates, waiting, supply, params, now_s)
        model = self.answers.model
        share = model.probability(model.features(self._columns(candidates, waiting, supply), candidates.driver))
        terms = {**worth.terms, **losses(worth.score, share, candidates.pickup_eta_s, params.score)}
        return replace(worth, terms=terms, score=total(terms, len(share)), acceptance=share)

    def _columns(self, candidates: Candidates, waiting: Sequence[Ride], supply: SupplySnapshot) -> OfferColumns:
        trip_s = self._trips.of([ride.pickup for ride in waiting], [ride.dropoff for ride in waiting])
        refusals = np.array([len(ride.refused_by) for ride in waiting], np.float64)
        fare_cents = np.array([ride.fare_cents for ride in waiting], np.float64)
        row = candidates.request
        return OfferColumns(
            supply.driver_id, candidates.pickup_eta_s, refusals[row], trip_s[row], fare_cents[row], supply.now_s
        )


def losses(
    worth: NDArray[np.float64],
    acceptance: NDArray[np.float64],
    pickup_eta_s: NDArray[np.float64],
    weights: ScoreWeights,
) -> dict[str, NDArray[np.float64]]:
    """The mean losses of each pair (e,), in seconds, by a refusal and by a cancellation before the pickup."""
    cancellation = -np.expm1(-weights.cancellations_per_s * pickup_eta_s)
    return {
        "refusal": -(1.0 - acceptance) * weights.refusal_s,
        "cancellation": -acceptance * cancellation * worth,
    }
