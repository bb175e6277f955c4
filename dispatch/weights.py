"""What each part of a pair's score is worth in a region, in seconds of pickup ETA."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class ScoreWeights:
    """The weights of the score's terms: section `[dispatch.score]` of a city's file.

    The unit of every term is the second: what a rider gains by a car that is there a second sooner. The defaults are a
    rider's interest, the shortest waits over all; whatever else an operator wants has its price in seconds here.
    """

    #: Seconds for each second that the rider has waited already, so that nobody starves; times the share of the
    #: requests that idle drivers suffice for: in a shortage, whoever waited longest is mostly far from every car.
    waited: float = 1.0
    #: Seconds that a pair loses whose way is all pickup; one with a pickup as long as the trip loses half of it.
    efficiency_s: float = 0.0
    #: Seconds for each star above the usual, and against a pair for each below.
    rating_s_per_star: float = 0.0
    #: What a driver without ratings counts as, and as how many ratings that weighs against real ones.
    rating_usual: float = 4.8
    rating_usual_count: float = 20.0
    #: Seconds for each second that the driver has been idle: fairness between drivers.
    idle: float = 0.0
    #: A driver idle for longer counts as idle for so long.
    idle_s_max: float = 1800.0
    #: Seconds that a pair loses for each second that its driver still has another rider aboard: the idle cannot be
    #: called away meanwhile, and until then somebody nearer may be free. Measured: decision 046.
    aboard: float = 2.0
    #: Seconds that a pair loses for each second that it takes of the car's time, pickup and trip, times the share of
    #: the requests that must go without a car; at most half of what its pickup saves. More rides in all, fewer long
    #: ones: 0 gives trips of all lengths the same chance, decision 111 has the curve.
    car_time: float = 0.01
    #: Seconds for each minor unit of the fare.
    price_s_per_cent: float = 0.0
    #: Seconds for each second of earning by which the dropoff is a better place to be free at than where the driver is;
    #: of no effect without position values.
    position: float = 1.0
    #: What a refusal costs the rider: the time until another driver has said yes. Policy `expected` alone.
    refusal_s: float = 30.0
    #: The rate at which riders cancel while a driver is on the way: one in seventeen within five minutes.
    #: Policy `expected` alone.
    cancellations_per_s: float = 2e-4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"[dispatch.score] {field.name} must be a finite number from 0, not {value}")
        if not self.rating_usual_count > 0.0:
            raise ValueError("[dispatch.score] rating_usual_count must be above 0: a single rating would say it all")
