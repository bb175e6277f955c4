"""Prices per cell."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.edges import AnyoneDep, EdgesDep
from api.problems import ApiProblem
from api.schemas import SurgeBody
from geo import cells

router = APIRouter(prefix="/v1", tags=["surge"])


@router.get("/surge", summary="The surge multiplier of a cell")
async def read_surge(
    cell: Annotated[str, Query(max_length=16, description="an H3 cell of the region's surge resolution, as hex")],
    edges: EdgesDep,
    principal: AnyoneDep,
) -> SurgeBody:
    """What quotes in this cell are multiplied by now; 1.0 where nothing has moved the price."""
    resolution = edges.city.region.surge_resolution
    try:
        cell_id = cells.string_to_cell(cell)
        if cells.resolution_of(cell_id) != resolution:
            raise ValueError(f"it has resolution {cells.resolution_of(cell_id)}")
    except ValueError as error:
        detail = f"{cell!r} is not a cell of resolution {resolution}: {error}."
        raise ApiProblem(422, "invalid_cell", detail, "Send an H3 index such as 882a100d65fffff.") from error
    price = await edges.prices.read(cell_id, edges.now())
    return SurgeBody(cell=cell, multiplier=price.multiplier, updated_s=price.updated_s)
