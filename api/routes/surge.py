"""Routes for surge prices, which every principal may read."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import AnyoneDep
from api.edges import PriceEdgesDep
from api.problems import ApiProblem
from api.routes.parameters import CellName
from api.schemas.prices import SurgeBody
from geo import cells
from pricing.rules.earnings import bonus_cents

router = APIRouter(prefix="/v1", tags=["everyone"])


@router.get("/surge", summary="The surge multiplier of a cell")
async def read_surge(cell: CellName, edges: PriceEdgesDep, principal: AnyoneDep) -> SurgeBody:
    """What quotes in this cell are multiplied by now; 1.0 where nothing has moved the price."""
    price = await edges.prices.read(cell_id_of(cell, edges.region.surge_resolution), edges.now())
    bonus = bonus_cents(edges.tariff.tariff, price.multiplier)
    return SurgeBody(cell=cell, multiplier=price.multiplier, bonus_cents=bonus, updated_s=price.updated_s)


def cell_id_of(cell: str, resolution: int) -> int:
    """Return the id of an H3 cell of this resolution. Raises ApiProblem 422 for anything else."""
    try:
        cell_id = cells.string_to_cell(cell)
        if cells.resolution_of(cell_id) != resolution:
            raise ValueError(f"it has resolution {cells.resolution_of(cell_id)}")
    except ValueError as error:
        detail = f"{cell!r} is not a cell of resolution {resolution}: {error}."
        raise ApiProblem(422, "invalid_cell", detail, "Send an H3 index such as 882a100d65fffff.") from error
    return cell_id
