"""Which travel times count, and what the last update of the learned ones stood on."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel, Field

from api.edges import TrafficInForce


class EvidenceBody(BaseModel):
    """What the last update stood on."""

    drivers: int = Field(description="different drivers it learned from")
    steps: int = Field(description="their stretches between two pings")
    edges: int = Field(description="edges that drivers of their own moved; the others follow their neighbourhood")
    pace: float = Field(description="travel time over free flow that the drives ask for, on average by length")
    held_back_steps: int = Field(description="stretches of other drivers, which judged it")
    error_in_force: float | None = Field(description="mean error of the logarithm of their durations, as it was")
    error_candidate: float | None = Field(description="the same with the weights of the update")


class TrafficBody(BaseModel):
    """The travel times in force, and the last update."""

    source: str = Field(description="what quotes are given by: learned, profile (the usual traffic) or free_flow")
    version: int = Field(description="of the weights that were put in force last; 0 before the first")
    epoch: int = Field(description="term of the process that made them")
    age_s: float | None = Field(description="city seconds since; null before the first")
    judged_ago_s: float | None = Field(description="city seconds since the last update was judged; null before it")
    refusal: str | None = Field(description="why it was refused; null if it was put in force")
    refused: dict[str, int] = Field(description="updates refused so far, by reason")
    evidence: EvidenceBody | None

    @classmethod
    def of(cls, traffic: TrafficInForce, now_s: float) -> TrafficBody:
        """The public face of the figures at a moment."""
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
