"""How travel times follow the traffic."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.edges import EdgesDep, OperatorDep

router = APIRouter(prefix="/v1/ops", tags=["operators"])


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
    judged_ago_s: float | None = Field(description="city seconds since the last update was judged")
    refusal: str | None = Field(description="why it was refused; null if it was put in force")
    refused: dict[str, int] = Field(description="updates refused so far, by reason")
    evidence: EvidenceBody | None


@router.get("/traffic", summary="How travel times follow the traffic")
async def read_traffic(edges: EdgesDep, operator: OperatorDep) -> TrafficBody:
    """Version and age of the learned weights, the last update and what it stood on, and refusals by reason."""
    traffic, now_s = await edges.traffic(), edges.now()
    figures = traffic.figures
    evidence = figures.evidence
    return TrafficBody(
        source=traffic.source,
        version=figures.version,
        epoch=figures.epoch,
        age_s=None if figures.made_s is None else now_s - figures.made_s,
        judged_ago_s=None if figures.judged_s is None else now_s - figures.judged_s,
        refusal=figures.refusal,
        refused=figures.refused,
        evidence=None
        if evidence is None
        else EvidenceBody(
            drivers=evidence.drivers,
            steps=evidence.steps,
            edges=evidence.edges,
            pace=evidence.pace,
            held_back_steps=evidence.held_back_steps,
            error_in_force=evidence.error_in_force,
            error_candidate=evidence.error_candidate,
        ),
    )
