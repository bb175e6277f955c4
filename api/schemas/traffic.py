"""Bodies of the travel times in force and of the last update of the learned ones."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel, Field

from api.edges import TrafficInForce


class EvidenceBody(BaseModel):
    """The data behind the last update."""

    drivers: int = Field(description="different drivers it learned from")
    steps: int = Field(description="drives between two pings")
    edges: int = Field(description="edges with drives of their own; the others follow their neighbourhood")
    pace: float = Field(description="mean ratio of driven to free-flow travel time, weighted by length")
    held_back_steps: int = Field(description="drives of other drivers, by which the update was checked")
    error_in_force: float | None = Field(description="mean error of the logarithm of their durations before the update")
    error_candidate: float | None = Field(description="the same with the weights of the update")


class TrafficBody(BaseModel):
    """The travel times in force, and the last update."""

    source: str = Field(description="what quotes use: learned, profile (the usual traffic) or free_flow")
    version: int = Field(description="version of the weights in force; 0 before the first")
    epoch: int = Field(description="term of the process that learned them")
    age_s: float | None = Field(description="city seconds since; null before the first")
    judged_ago_s: float | None = Field(description="city seconds since the last update was judged; null before it")
    refusal: str | None = Field(description="why it was refused; null if it was put in force")
    refused: dict[str, int] = Field(description="updates refused so far, by reason")
    evidence: EvidenceBody | None

    @classmethod
    def of(cls, traffic: TrafficInForce, now_s: float) -> TrafficBody:
        """Convert the figures at a moment."""
        figures = traffic.figures
        return cls(
            source=traffic.source,
            version=figures.version,
            epoch=figures.epoch,
            age_s=None if figures.made_s is None else now_s - figures.made_s,
            judged_ago_s=None if figures.judged_s is None else now_s - figures.judged_s,
            refusal=figures.refusal,
            refused=figures.refused,
            evidence=None if figures.evidence is None else EvidenceBody(**asdict(figures.evidence)),
        )
