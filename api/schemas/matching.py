"""Why drivers were asked for a ride or not, and how well their answers were foreseen."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.schemas.base import Seconds
from dispatch.matching.calibration import AcceptanceFigures
from dispatch.matching.reasons import WORDS, CandidateTrace, Reason, RideTrace


class CandidateBody(BaseModel):
    """A driver who was weighed for the ride."""

    driver_id: str
    pickup_eta_s: float
    score: float
    terms: dict[str, float] = Field(description="parts of the score by name; they add up to it")
    acceptance: float | None = Field(description="the chance of a yes, if the policy asked for it")
    reason: Reason | None = Field(description="why not; null for the driver who was asked")
    words: str | None = Field(description="the reason in words")

    @classmethod
    def of(cls, candidate: CandidateTrace) -> CandidateBody:
        """The public face of a driver who was weighed."""
        return cls(
            driver_id=candidate.driver_id,
            pickup_eta_s=candidate.pickup_eta_s,
            score=candidate.score,
            terms=candidate.terms,
            acceptance=candidate.acceptance,
            reason=candidate.reason,
            words=None if candidate.reason is None else WORDS[candidate.reason],
        )


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
            candidates=[CandidateBody.of(candidate) for candidate in trace.candidates],
            faults=list(trace.faults),
        )


class TraceBody(BaseModel):
    """The last rounds in which the ride waited."""

    ride_id: str
    state: str
    rounds: list[RoundBody] = Field(
        description="the newest first; empty once they are forgotten, or if far too many riders waited at once"
    )


class DecileBody(BaseModel):
    """A tenth of the last forecasts."""

    predicted: float = Field(description="chance of a yes, as forecast on average")
    observed: float = Field(description="share of yes that came")
    count: int


class AcceptanceBody(BaseModel):
    """Forecasts beside answers."""

    answers: int = Field(description="answers ever learned from")
    window: int = Field(description="the last of them, which the other figures are about")
    brier: float | None = Field(description="mean square of forecast minus answer; null without answers")
    brier_of_mean: float | None = Field(description="Brier score of a baseline that predicts the mean acceptance rate")
    deciles: list[DecileBody] = Field(description="from the lowest forecasts to the highest")

    @classmethod
    def of(cls, figures: AcceptanceFigures) -> AcceptanceBody:
        """The public face of the figures."""
        deciles = [
            DecileBody(predicted=one.predicted, observed=one.observed, count=one.count) for one in figures.deciles
        ]
        return cls(
            answers=figures.answers,
            window=figures.window,
            brier=figures.brier,
            brier_of_mean=figures.brier_of_mean,
            deciles=deciles,
        )
