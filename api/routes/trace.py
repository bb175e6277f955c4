"""Why this driver, and why no other: the grounds of a ride's matching rounds."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.edges import EdgesDep, OperatorDep
from api.routes.rides import RideId
from api.schemas import Seconds
from dispatch.errors import NotFound
from dispatch.matching.reasons import WORDS, Reason, RideTrace

router = APIRouter(prefix="/v1/ops", tags=["operators"])


class CandidateBody(BaseModel):
    """A driver who was weighed for the ride."""

    driver_id: str
    pickup_eta_s: float
    score: float
    terms: dict[str, float] = Field(description="parts of the score by name; they add up to it")
    acceptance: float | None = Field(description="the chance of a yes, if the policy asked for it")
    reason: Reason | None = Field(description="why not; null for the driver who was asked")
    words: str | None = Field(description="the reason in words")


class RoundBody(BaseModel):
    """One round as the ride met it."""

    at_s: Seconds
    policy: str
    n_drivers: int = Field(description="drivers whom the region saw in this round")
    asked: str | None = Field(description="the driver who got the offer")
    not_chosen: dict[Reason, int] = Field(description="all others, each counted under exactly one reason")
    candidates: list[CandidateBody] = Field(description="those who were weighed, nearest first")
    faults: list[str] = Field(description="what the matching policy did wrong in this round")

    @classmethod
    def of(cls, trace: RideTrace) -> RoundBody:
        """The public face of a trace."""
        return cls(
            at_s=trace.at_s,
            policy=trace.policy,
            n_drivers=trace.n_drivers,
            asked=trace.asked,
            not_chosen={Reason(reason): count for reason, count in trace.not_chosen.items()},
            candidates=[
                CandidateBody(
                    driver_id=one.driver_id,
                    pickup_eta_s=one.pickup_eta_s,
                    score=one.score,
                    terms=one.terms,
                    acceptance=one.acceptance,
                    reason=one.reason,
                    words=None if one.reason is None else WORDS[one.reason],
                )
                for one in trace.candidates
            ],
            faults=list(trace.faults),
        )


class TraceBody(BaseModel):
    """The last rounds in which the ride waited."""

    ride_id: str
    state: str
    rounds: list[RoundBody] = Field(
        description="the newest first; empty once they are forgotten, or if far too many riders waited at once"
    )


@router.get("/rides/{ride_id}/trace", summary="Why this driver, and why no other")
async def read_trace(ride_id: RideId, edges: EdgesDep, operator: OperatorDep) -> TraceBody:
    """The grounds of the ride's last matching rounds, kept for an hour."""
    ride = await edges.store.find_ride(ride_id)
    if ride is None:
        raise NotFound("ride", ride_id)
    rounds = [RoundBody.of(trace) for trace in await edges.traces(ride_id)]
    return TraceBody(ride_id=ride_id, state=ride.state, rounds=rounds)
