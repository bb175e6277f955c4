"""Learned traffic: travel times of edges from where drivers were seen, checked before they are put in force."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from traffic.engine import TrafficEngine
    from traffic.model import Evidence, LearnedTrafficParams, Refusal, Weights
    from traffic.service.update import UpdateService
    from traffic.service.watch import TrafficWatch

__all__ = [
    "Evidence",
    "LearnedTrafficParams",
    "Refusal",
    "TrafficEngine",
    "TrafficWatch",
    "UpdateService",
    "Weights",
]

__getattr__ = lazy(
    __name__,
    {
        "Evidence": "model",
        "LearnedTrafficParams": "model",
        "Refusal": "model",
        "TrafficEngine": "engine",
        "TrafficWatch": "service.watch",
        "UpdateService": "service.update",
        "Weights": "model",
    },
)
