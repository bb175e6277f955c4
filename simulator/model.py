"""Data types of the simulator: behaviour parameters, positions, offers and errands."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import NamedTuple

from kernel.points import Point


class Position(NamedTuple):
    """Where someone is and how they move; a heading is clockwise from north, None at rest."""

    lat_deg: float
    lng_deg: float
    heading_deg: float | None
    speed_mps: float


class RideStage(StrEnum):
    """A driver's progress with a ride, named after the ride's states."""

    ASSIGNED = "ASSIGNED"
    ARRIVED = "ARRIVED"
    ON_TRIP = "ON_TRIP"


@dataclass(frozen=True, slots=True)
class Offer:
    """A request as shown to one driver."""

    offer_id: str
    ride_id: str
    pickup: Point
    dropoff: Point
    pickup_eta_s: float
    expires_s: float


@dataclass(frozen=True, slots=True)
class Errand:
    """A ride that a driver carries out, from its current stage on."""

    ride_id: str
    pickup: Point
    dropoff: Point
    stage: RideStage = RideStage.ASSIGNED


class AskedAt(NamedTuple):
    """A driver was somewhere when an offer came; `number` is a place among the ids."""

    at_s: float
    number: int
    lat_deg: float
    lng_deg: float


@dataclass(frozen=True, slots=True)
class RiderParams:
    """Rider behaviour. Durations are in city seconds; a `…_share` is a probability."""

    #: Share of quotes accepted where there is no surge.
    acceptance_share: float = 0.97
    #: Acceptance is proportional to `surge_multiplier ** -price_elasticity`, also below 1, capped at 1; 0.4 to 0.6
    #: were measured for Uber (Cohen et al. 2016, doi:10.3386/w22627).
    price_elasticity: float = 0.5
    decision_s_mean: float = 6.0
    #: Patience until a driver is assigned is log-normal: this median, this spread of the logarithm, this floor.
    patience_s_median: float = 420.0
    patience_spread: float = 0.5
    patience_s_min: float = 60.0
    #: Share of assignments after which the rider changes their mind before the driver comes.
    change_of_mind_share: float = 0.02
    #: The rider cancels when the driver is later than the promised ETA by more than this.
    overdue_s_max: float = 900.0

    def __post_init__(self) -> None:
        _refuse_nonsense(self)


@dataclass(frozen=True, slots=True)
class DriverParams:
    """Driver behaviour. Durations are in city seconds; a `…_share` is a probability."""

    #: Share of offers accepted at a pickup ETA of 0, and at `far_pickup_eta_s` and beyond; linear in between.
    acceptance_share: float = 0.93
    far_acceptance_share: float = 0.6
    far_pickup_eta_s: float = 900.0
    #: Share of offers that are not answered at all.
    silence_share: float = 0.03
    thinking_s_mean: float = 4.0
    boarding_s: float = 30.0
    alighting_s: float = 15.0
    #: Share of assignments that the driver cancels before the pickup.
    cancel_share: float = 0.02
    #: Probabilities at each decision of an idle driver: take a break, lose the connection, cruise; else stay.
    break_share: float = 0.01
    break_s_mean: float = 600.0
    dark_share: float = 0.005
    dark_s_mean: float = 90.0
    cruise_share: float = 0.5
    cruise_m_max: float = 800.0
    stay_s_mean: float = 60.0
    #: Share of the advice on where to wait that is followed.
    compliance_share: float = 0.6
    #: Driving takes this many times the free-flow time of the road graph.
    pace: float = 1.0

    def __post_init__(self) -> None:
        _refuse_nonsense(self)
        if not self.far_acceptance_share <= self.acceptance_share <= 1.0 - self.silence_share:
            raise ValueError("far_acceptance_share <= acceptance_share <= 1 - silence_share must hold")
        if self.break_share + self.dark_share + self.cruise_share > 1.0:
            raise ValueError("break_share, dark_share and cruise_share must not exceed 1 together")
        if not (self.pace > 0.0 and self.far_pickup_eta_s > 0.0):
            raise ValueError("pace and far_pickup_eta_s must be positive")


def _refuse_nonsense(params: RiderParams | DriverParams) -> None:
    for field in fields(params):
        value = getattr(params, field.name)
        limit = 1.0 if field.name.endswith("_share") else 1e9
        if not 0.0 <= value <= limit:
            raise ValueError(f"{field.name} must be 0 to {limit:g}, not {value}")


def driver_ids(count: int) -> tuple[str, ...]:
    """The ids of so many drivers, ascending."""
    return tuple(f"d{number:06d}" for number in range(count))
