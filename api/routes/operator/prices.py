"""Routes for the history of surge prices with the cause of each change, and for orders that freeze prices."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.access import OperatorDep
from api.edges import PriceControlEdges, PriceControlEdgesDep
from api.routes.parameters import SAYS_AGE, CellName, say_age
from api.routes.surge import cell_id_of
from api.schemas.prices import ChangeBody, HistoryBody, OrderBody, OrderRequest, OrdersBody
from pricing.model.surge import FreezeOrder

router = APIRouter(prefix="/v1/ops/surge", tags=["operators"])

#: A cell that moved at every tick would fill it in two hours.
HISTORY_MAX = 500
#: How far back a history goes if nobody says.
SINCE_S = 86_400.0
ORDERS_MAX = 100


@router.get("/history", summary="Every change of a cell's price, and why", responses=SAYS_AGE)
async def read_history(
    cell: CellName,
    edges: PriceControlEdgesDep,
    operator: OperatorDep,
    answer: Response,
    since: Annotated[
        float | None, Query(allow_inf_nan=False, description="city seconds since 1970; a day ago if absent")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=HISTORY_MAX)] = 100,
) -> HistoryBody:
    """From the record that is written before a price is published: no price is charged that is not here."""
    since_s = edges.now() - SINCE_S if since is None else since
    changes, age_s = await edges.history(cell_id_of(cell, edges.region.surge_resolution), since_s, limit)
    say_age(answer, age_s)
    return HistoryBody(cell=cell, changes=[ChangeBody.of(change) for change in changes])


@router.post("/freeze", summary="Hold every price at the base")
async def freeze(body: OrderRequest, edges: PriceControlEdgesDep, operator: OperatorDep) -> OrderBody:
    """Quotes are at the base price from the next one on, whether or not the pricer runs, until unfrozen."""
    return await _order(body, edges, operator.id, is_frozen=True)


@router.post("/unfreeze", summary="Let prices move again")
async def unfreeze(body: OrderRequest, edges: PriceControlEdgesDep, operator: OperatorDep) -> OrderBody:
    """They walk from the base by bounded steps."""
    return await _order(body, edges, operator.id, is_frozen=False)


@router.get("/orders", summary="Freezes and their ends")
async def read_orders(edges: PriceControlEdgesDep, operator: OperatorDep) -> OrdersBody:
    """Who held prices, when and why."""
    orders = await edges.record.orders(edges.region.region_id, ORDERS_MAX)
    return OrdersBody(orders=[OrderBody.of(order) for order in orders])


async def _order(body: OrderRequest, edges: PriceControlEdges, operator: str, *, is_frozen: bool) -> OrderBody:
    """Recorded in SQL first: if Redis loses the order, the pricer writes it again at its next tick."""
    order = FreezeOrder(edges.now(), is_frozen, body.reason, operator)
    await edges.record.add_order(edges.region.region_id, order)
    await edges.prices.set_frozen(is_frozen=is_frozen)
    return OrderBody.of(order)
