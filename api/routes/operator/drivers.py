"""Routes for the list of approved drivers. While the list is empty, every driver is approved."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.access import OperatorDep
from api.edges import DriverControlEdges, DriverControlEdgesDep
from api.problems import ApiProblem
from api.schemas.driver_list import AddDriversRequest, DriverListBody, DriverRemovedBody, RemoveDriverRequest
from dispatch import commands as cmd
from dispatch.errors import DriverBusy
from dispatch.model import ShiftStatus

router = APIRouter(prefix="/v1/ops/drivers", tags=["operators"])

#: Drivers shown at once.
SHOWN_MAX = 1_000
#: Of a shift that ends; the driver says the number again when the next one begins.
SEATS = 4


@router.get("", summary="Who may drive")
async def read_drivers(
    edges: DriverControlEdgesDep,
    operator: OperatorDep,
    after: Annotated[str, Query(max_length=64, description="the last driver of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=SHOWN_MAX)] = SHOWN_MAX,
) -> DriverListBody:
    """The region's list by id. Without a list everybody may drive."""
    return await _list(edges, after, limit)


@router.post("/add", summary="Let drivers drive")
async def add_drivers(body: AddDriversRequest, edges: DriverControlEdgesDep, operator: OperatorDep) -> DriverListBody:
    """The first driver begins the list: from then on nobody else can start a shift. Shifts under way go on."""
    await edges.drivers.add(body.driver_ids, operator.id, edges.now())
    return await _list(edges)


@router.post("/remove", summary="Let a driver drive no more")
async def remove_driver(
    body: RemoveDriverRequest, edges: DriverControlEdgesDep, operator: OperatorDep
) -> DriverRemovedBody:
    """Ends the driver's shift and offers; a ride goes on, say it again after it. An empty list lets nobody drive."""
    if not await edges.drivers.is_begun():
        detail = "There is no list here, so everybody may drive; nobody was removed."
        raise ApiProblem(409, "no_driver_list", detail, "Begin a list by adding the drivers who may drive.")
    await edges.drivers.remove(body.driver_id)
    try:
        await edges.rides.set_shift(cmd.SetShift(body.driver_id, ShiftStatus.OFFLINE, SEATS))
    except DriverBusy:
        return DriverRemovedBody(driver_id=body.driver_id, is_on_shift=True)
    return DriverRemovedBody(driver_id=body.driver_id, is_on_shift=False)


@router.post("/open", summary="Let everybody drive")
async def open_to_everybody(edges: DriverControlEdgesDep, operator: OperatorDep) -> DriverListBody:
    """Forgets the list and who was on it."""
    await edges.drivers.end()
    return await _list(edges)


async def _list(edges: DriverControlEdges, after: str = "", limit: int = SHOWN_MAX) -> DriverListBody:
    return DriverListBody.of(await edges.drivers.read(after, limit), is_begun=await edges.drivers.is_begun())
