"""How well the matcher foresees what drivers answer."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.edges import EdgesDep, OperatorDep
from dispatch.matching.calibration import AcceptanceFigures

router = APIRouter(prefix="/v1/ops", tags=["operators"])


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
    brier_of_mean: float | None = Field(description="the same of whoever knew only the share of yes")
    deciles: list[DecileBody] = Field(description="from the lowest forecasts to the highest")


@router.get("/acceptance", summary="How well drivers' answers are foreseen")
async def read_acceptance(edges: EdgesDep, operator: OperatorDep) -> AcceptanceBody:
    """Brier score and calibration of the acceptance model; zero answers if the region's policy has none."""
    figures = await edges.acceptance() or AcceptanceFigures(0, 0, None, None, ())
    deciles = [DecileBody(predicted=one.predicted, observed=one.observed, count=one.count) for one in figures.deciles]
    return AcceptanceBody(
        answers=figures.answers,
        window=figures.window,
        brier=figures.brier,
        brier_of_mean=figures.brier_of_mean,
        deciles=deciles,
    )
