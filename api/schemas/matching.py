"""Traces of matching rounds, and the accuracy of acceptance forecasts."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.schemas.base import Seconds
from dispatch.matching.calibration import AcceptanceFigures
from dispatch.matching.reasons import WORDS, CandidateTrace, Reason, RideTrace


class CandidateBody(BaseModel):
    """A driver who was a candidate for the ride."""

    driver_id: str
    pickup_eta_s: float
    score: float
    terms: dict[str, float] = Field(description="parts of the score by name; they add up to it")
    acceptance: float | None = Field(description="forecast chance of acceptance, if the policy uses it")
    reason: Reason | None = Field(description="why the driver was not asked; null for the one who was")
    words: str | None = Field(description="the reason in words")

    @classmethod
    def of(cls, candidate: CandidateTrace) -> CandidateBody:
        """Convert a candidate."""
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
    """One matching round in which the ride waited."""

    at_s: Seconds
    policy: str
    n_drivers: int = Field(description="drivers of the region in this round")
    asked: str | None = Field(description="the driver who got the offer")
    not_chosen: dict[Reason, int] = Field(description="all other drivers, each counted under exactly one reason")
    candidates: list[CandidateBody] = Field(description="the candidates, nearest first")
    faults: list[str] = Field(description="rules that the matching policy broke in this round")

    @classmethod
    def of(cls, trace: RideTrace) -> RoundBody:
        """Convert a trace."""
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
        description="newest first; empty after an hour, or if too many riders waited at once to keep traces"
    )


class DecileBody(BaseModel):
    """A tenth of the newest forecasts."""

    predicted: float = Field(description="mean forecast chance of acceptance")
    observed: float = Field(description="share of offers that were accepted")
    count: int


class AcceptanceBody(BaseModel):
    """Acceptance forecasts compared with the drivers' answers."""

    answers: int = Field(description="answers learned from so far")
    window: int = Field(description="number of newest answers that the other figures cover")
    brier: float | None = Field(description="mean square of forecast minus answer; null without answers")
    brier_of_mean: float | None = Field(description="Brier score of a baseline that predicts the mean acceptance rate")
    deciles: list[DecileBody] = Field(description="from the lowest forecasts to the highest")

    @classmethod
    def of(cls, figures: AcceptanceFigures) -> AcceptanceBody:
        """Convert the figures."""
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
