"""What operators do with rides, and the record of it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from api.schemas.base import PointBody, Seconds, Strict
from dispatch.model import Intervened

Why = Annotated[
    str, Field(min_length=1, max_length=200, description="kept with your name; the rider and driver see it")
]
#: The most that PostgreSQL and JavaScript both hold exactly is far above any fare.
Fare = Annotated[int | None, Field(ge=0, le=10**12, description="minor units of the ride's currency")]


class ReasonRequest(Strict):
    """Why."""

    reason: Why


class EndRequest(Strict):
    """Why, and for how much if not for what the tariff says."""

    reason: Why
    fare_cents: Fare = None


class CorrectRequest(Strict):
    """Why, and what is to be changed."""

    reason: Why
    fare_cents: Fare = None
    dropoff: PointBody | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.fare_cents is None and self.dropoff is None:
            raise ValueError("give fare_cents, dropoff or both")
        return self


class InterventionBody(BaseModel):
    """One change of a ride by somebody whose ride it is not."""

    ride_id: str
    sequence: Annotated[int, Field(description="number of the last of the ride's events that it led to")]
    at_s: Seconds
    by_whom: Annotated[str, Field(description="operator:<id>, or system for a deadline")]
    action: Annotated[str, Field(description="end, cancel, reassign, correct, or end_overdue")]
    reason: str

    @classmethod
    def of(cls, one: Intervened) -> InterventionBody:
        """The public face of an intervention."""
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
    """Interventions, the newest first."""

    interventions: list[InterventionBody]
