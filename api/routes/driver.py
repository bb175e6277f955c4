"""Routes for drivers: shifts, pings, advice, offers, the steps of a ride and earnings."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body

from api.access import DriverDep
from api.edges import DriverEdgesDep
from api.pings import MSGPACK, PingsBody
from api.problems import ApiProblem
from api.routes.parameters import OfferId, RideId
from api.schemas.drivers import (
    AdviceAnswer,
    AdviceBody,
    DeclineBody,
    DropoffBody,
    EarningsBody,
    PingsAccepted,
    StatusBody,
    StatusRequest,
)
from api.schemas.rides import RideBody
from dispatch import commands as cmd
from dispatch.model import ShiftStatus

router = APIRouter(prefix="/v1", tags=["drivers"])


def _pings_schema() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([PingsBody], ref_template="#/components/schemas/{name}")
    inline: dict[str, Any] = components["PingsBody"]
    inline["properties"]["pings"]["items"] = components["PingBody"]
    return inline


@router.post("/drivers/me/status", summary="Go on or off shift")
async def set_status(body: StatusRequest, edges: DriverEdgesDep, driver: DriverDep) -> StatusBody:
    """Only drivers on shift whose position is known are asked. A driver with a live ride cannot go off shift."""
    return StatusBody.of(await edges.rides.set_shift(cmd.SetShift(driver.id, ShiftStatus(body.status), body.seats)))


@router.get("/drivers/me/advice", summary="Where you had better wait")
async def my_advice(edges: DriverEdgesDep, driver: DriverDep) -> AdviceAnswer:
    """Advice to an idle driver, where riders are expected and drivers are few; `null` if you are well where you are.

    New advice also comes on the stream, as a frame of type `advice`. Nobody has to follow it.
    """
    found = (await edges.advice.find([driver.id])).get(driver.id)
    stands = found is not None and found.expires_s > edges.now()
    return AdviceAnswer(advice=AdviceBody.of(found) if found is not None and stands else None)


@router.post(
    "/drivers/me/pings",
    status_code=202,
    summary="Say where you are and were",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": _pings_schema()} for media_type in ("application/json", *sorted(MSGPACK))
            },
        }
    },
)
async def send_pings(_: DriverDep) -> PingsAccepted:
    """A 202 means that the broker has the good pings; `refusals` names the others, each with its field and reason.

    Without a single good ping the answer is 422, or 409 if all are too late, with the same `refusals`. Speed and
    heading never make a ping bad: -1, NaN, 361 and null mean unknown. A negative accuracy does.
    """
    raise NotImplementedError("RawPings answers before routing; this is its description")


@router.post("/offers/{offer_id}/accept", summary="Take the ride")
async def accept_offer(offer_id: OfferId, edges: DriverEdgesDep, driver: DriverDep) -> RideBody:
    """The ride is yours with the answer, not before."""
    return RideBody.of((await edges.rides.handle(cmd.AcceptOffer(offer_id, driver.id))).ride)


@router.post("/offers/{offer_id}/decline", summary="Leave the ride to others")
async def decline_offer(
    offer_id: OfferId, edges: DriverEdgesDep, driver: DriverDep, body: Annotated[DeclineBody | None, Body()] = None
) -> RideBody:
    """Saying no at once is kinder to the rider than silence."""
    command = cmd.DeclineOffer(offer_id, driver.id, body.reason if body else None)
    return RideBody.of((await edges.rides.handle(command)).ride)


@router.post("/rides/{ride_id}/arrived", summary="You stand at the pickup")
async def arrived(ride_id: RideId, edges: DriverEdgesDep, driver: DriverDep) -> RideBody:
    """The rider is notified."""
    return RideBody.of((await edges.rides.handle(cmd.ReportArrival(ride_id, driver.id))).ride)


@router.post("/rides/{ride_id}/picked-up", summary="The rider is aboard")
async def picked_up(ride_id: RideId, edges: DriverEdgesDep, driver: DriverDep) -> RideBody:
    """The trip begins."""
    return RideBody.of((await edges.rides.handle(cmd.ReportPickup(ride_id, driver.id))).ride)


@router.post("/rides/{ride_id}/dropped-off", summary="The trip is over")
async def dropped_off(
    ride_id: RideId, edges: DriverEdgesDep, driver: DriverDep, body: Annotated[DropoffBody | None, Body()] = None
) -> RideBody:
    """The fare stands, and the driver is free again.

    It is the quote's, unless the region's tariff computes it anew for another dropoff, another duration or waiting;
    `receipt.changes` says why. Say where the rider left if it was not the agreed dropoff.
    """
    left_at = body.dropoff.point if body and body.dropoff else None
    return RideBody.of(await edges.finishing.finish(ride_id, driver.id, left_at))


@router.post("/rides/{ride_id}/no-show", summary="The rider does not come")
async def no_show(ride_id: RideId, edges: DriverEdgesDep, driver: DriverDep) -> RideBody:
    """Ends the ride at the pickup with the tariff's fee, once you have waited as long as the tariff says.

    Before that it is refused as `too_early`; `seconds_left` says how long you still have to wait.
    """
    return RideBody.of(await edges.ending.report_no_show(ride_id, driver.id))


@router.get("/drivers/me/rides/{ride_id}/earnings", summary="What you earn with a ride")
async def read_earnings(ride_id: RideId, edges: DriverEdgesDep, driver: DriverDep) -> EarningsBody:
    """What the rider pays without tax, less the platform's commission; as agreed until the dropoff.

    Of a ride that you drive, and of one that you are asked to take, while the offer stands.
    """
    ride, earnings = await edges.earnings.read(ride_id, driver.id)
    if earnings is None:
        detail = f"Nobody kept the tariff by which ride {ride_id} was quoted."
        raise ApiProblem(404, "tariff_unknown", detail, "Ask the operator: the fare itself stands in the ride.")
    return EarningsBody.of(ride, earnings)
