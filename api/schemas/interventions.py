"""Bodies of operators' interventions in rides and of their record."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from api.schemas.base import PointBody, Seconds, Strict
from api.schemas.driver_list import DriverId
from dispatch.model import Intervened

Why = Annotated[
    str, Field(min_length=1, max_length=200, description="kept with your name; the rider and driver see it")
]
#: The most that PostgreSQL and JavaScript both hold exactly is far above any fare.
Fare = Annotated[int | None, Field(ge=0, le=10**12, description="minor units of the ride's currency")]


class ReasonRequest(Strict):
    """The reason of an intervention."""

    reason: Why


class ReassignRequest(Strict):
    """A reason, and the driver who gets the ride; without one it is matched anew."""

    reason: Why
    driver_id: DriverId | None = None


class EndRequest(Strict):
    """A reason, and a fare if it is not the tariff's."""

    reason: Why
    fare_cents: Fare = None


class CorrectRequest(Strict):
    """A reason, and the corrections."""

    reason: Why
    fare_cents: Fare = None
    dropoff: PointBody | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.fare_cents is None and self.dropoff is None:
            raise ValueError("give fare_cents, dropoff or both")
        return self


class InterventionBody(BaseModel):
    """One recorded change of a ride by an operator or the system."""

    ride_id: str
    sequence: Annotated[int, Field(description="number of the last ride event that it caused")]
    at_s: Seconds
    by_whom: Annotated[str, Field(description="operator:<id>, or system for a deadline")]
    action: Annotated[str, Field(description="end, cancel, reassign, correct, or end_overdue")]
    reason: str

    @classmethod
    def of(cls, one: Intervened) -> InterventionBody:
        """Convert an intervention."""
        made = one.intervention
        return cls(
            ride_id=one.ride_id,
            sequence=one.sequence,
            at_s=one.at_s,
            by_whom=made.by_whom,
            action=made.action,
            reason=made.reason,
        )


class InterventionsBody(BaseModel):
    """Interventions, newest first."""

    interventions: list[InterventionBody]
