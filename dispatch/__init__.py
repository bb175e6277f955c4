"""Who drives whom: requests, candidates, matching, offers and the life of a ride."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from dispatch.engine import DispatchEngine
    from dispatch.matching.optimal import OptimalPolicy
    from dispatch.matching.policy import MatchingPolicy
    from dispatch.matching.registry import make_policy
    from dispatch.model import DispatchParams, Ride, RideState, SupplySnapshot
    from dispatch.rules.invariants import check_history
    from dispatch.service.rides import RideService
    from dispatch.weights import ScoreWeights

__all__ = [
    "DispatchEngine",
    "DispatchParams",
    "MatchingPolicy",
    "OptimalPolicy",
    "Ride",
    "RideService",
    "RideState",
    "ScoreWeights",
    "SupplySnapshot",
    "check_history",
    "make_policy",
]

__getattr__ = lazy(
    __name__,
    {
        "DispatchEngine": "engine",
        "DispatchParams": "model",
        "MatchingPolicy": "matching.policy",
        "OptimalPolicy": "matching.optimal",
        "Ride": "model",
        "RideService": "service.rides",
        "RideState": "model",
        "ScoreWeights": "weights",
        "SupplySnapshot": "model",
        "check_history": "rules.invariants",
        "make_policy": "matching.registry",
    },
)
