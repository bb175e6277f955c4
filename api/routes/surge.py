"""Prices per cell, the record of them, and the operator's brake."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.edges import AnyoneDep, Edges, EdgesDep, OperatorDep
from api.problems import ApiProblem
from api.schemas import Seconds, Strict, SurgeBody
from geo import cells
from pricing.model.surge import FreezeOrder
from pricing.rules.earnings import bonus_cents
from pricing.rules.price_changes import BOUND_WORDS, WORDS, PriceChange, Reason

router = APIRouter(prefix="/v1", tags=["surge"])
ops_router = APIRouter(prefix="/v1/ops/surge", tags=["operators"])

#: A cell that moved at every tick would fill it in two hours.
HISTORY_MAX = 500
#: How far back a history goes if nobody says.
SINCE_S = 86_400.0
ORDERS_MAX = 100

CellName = Annotated[str, Query(max_length=16, description="an H3 cell of the region's surge resolution, as hex")]


@router.get("/surge", summary="The surge multiplier of a cell")
async def read_surge(cell: CellName, edges: EdgesDep, principal: AnyoneDep) -> SurgeBody:
    """What quotes in this cell are multiplied by now; 1.0 where nothing has moved the price."""
    price = await edges.prices.read(_cell_id(cell, edges), edges.now())
    bonus = bonus_cents(edges.tariff.tariff, price.multiplier)
    return SurgeBody(cell=cell, multiplier=price.multiplier, bonus_cents=bonus, updated_s=price.updated_s)


def _cell_id(cell: str, edges: Edges) -> int:
    resolution = edges.city.region.surge_resolution
    try:
        cell_id = cells.string_to_cell(cell)
        if cells.resolution_of(cell_id) != resolution:
            raise ValueError(f"it has resolution {cells.resolution_of(cell_id)}")
    except ValueError as error:
        detail = f"{cell!r} is not a cell of resolution {resolution}: {error}."
        raise ApiProblem(422, "invalid_cell", detail, "Send an H3 index such as 882a100d65fffff.") from error
    return cell_id


class BoundBody(BaseModel):
    """What kept a price from the one that would clear the cell."""

    bound: str
    words: str


class ChangeBody(BaseModel):
    """One change of a cell's price, with everything it was decided on."""

    at_s: Seconds
    multiplier: float
    multiplier_before: float
    reason: Reason
    words: str = Field(description="the reason in words")
    requests: float = Field(description="in the cell, each counting half after the half-life of demand")
    quotes: float = Field(description="asked in the cell, counted alike")
    idle_drivers: float = Field(description="in the cell")
    supply: float = Field(description="idle drivers within reach, by shares that add up to one for each driver")
    target: float = Field(description="the multiplier that would clear the cell, within floor, cap and evidence")
    wanted: float = Field(description="the same, once brought near the prices next door")
    bounds: list[BoundBody]
    version: str = Field(description="of rules and parameters: the same version decides the same")

    @classmethod
    def of(cls, change: PriceChange) -> ChangeBody:
        """The public face of a change on record."""
        return cls(
            at_s=change.at_s,
            multiplier=change.multiplier,
            multiplier_before=change.multiplier_before,
            reason=change.reason,
            words=WORDS[change.reason],
            requests=change.requests,
            quotes=change.quotes,
            idle_drivers=change.idle_drivers,
            supply=change.supply,
            target=change.target,
            wanted=change.wanted,
            bounds=[
                BoundBody(bound=str(bound.name).lower(), words=BOUND_WORDS[bound]) for bound in change.bounds_acted
            ],
            version=change.version,
        )


class HistoryBody(BaseModel):
    """What a cell has cost."""

    cell: str
    changes: list[ChangeBody] = Field(description="the newest first")


@ops_router.get("/history", summary="Every change of a cell's price, and why")
async def read_history(
    cell: CellName,
    edges: EdgesDep,
    operator: OperatorDep,
    since: Annotated[
        float | None, Query(allow_inf_nan=False, description="city seconds since 1970; a day ago if absent")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=HISTORY_MAX)] = 100,
) -> HistoryBody:
    """From the record that is written before a price is published: no price is charged that is not here."""
    since_s = edges.now() - SINCE_S if since is None else since
    region_id = edges.city.region.region_id
    changes = await edges.price_record.history(region_id, _cell_id(cell, edges), since_s, limit)
    return HistoryBody(cell=cell, changes=[ChangeBody.of(change) for change in changes])


class OrderRequest(Strict):
    """Why."""

    reason: Annotated[str, Field(min_length=3, max_length=500, description="kept on record")]


class OrderBody(BaseModel):
    """An operator's order as it is on record."""

    at_s: Seconds
    is_frozen: bool
    reason: str
    operator: str

    @classmethod
    def of(cls, order: FreezeOrder) -> OrderBody:
        """The public face of an order."""
        return cls(at_s=order.at_s, is_frozen=order.is_frozen, reason=order.reason, operator=order.operator)


class OrdersBody(BaseModel):
    """What operators ordered."""

    orders: list[OrderBody] = Field(description="the newest first; it stands")


@ops_router.post("/freeze", summary="Hold every price at the base")
async def freeze(body: OrderRequest, edges: EdgesDep, operator: OperatorDep) -> OrderBody:
    """Quotes are at the base price from the next one on, whether or not the pricer runs, until unfrozen."""
    return await _order(body, edges, operator.id, is_frozen=True)


@ops_router.post("/unfreeze", summary="Let prices move again")
async def unfreeze(body: OrderRequest, edges: EdgesDep, operator: OperatorDep) -> OrderBody:
    """They walk from the base by bounded steps."""
    return await _order(body, edges, operator.id, is_frozen=False)


@ops_router.get("/orders", summary="Freezes and their ends")
async def read_orders(edges: EdgesDep, operator: OperatorDep) -> OrdersBody:
    """Who held prices, when and why."""
    orders = await edges.price_record.orders(edges.city.region.region_id, ORDERS_MAX)
    return OrdersBody(orders=[OrderBody.of(order) for order in orders])


async def _order(body: OrderRequest, edges: Edges, operator: str, *, is_frozen: bool) -> OrderBody:
    """On record first: Redis may lose it, and is told again by the pricer at its next tick."""
    order = FreezeOrder(edges.now(), is_frozen, body.reason, operator)
    await edges.price_record.add_order(edges.city.region.region_id, order)
    await edges.prices.set_frozen(is_frozen=is_frozen)
    return OrderBody.of(order)
