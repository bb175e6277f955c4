"""Shifts, pings, offers and the steps of a ride, as drivers use them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path

from api.edges import DriverDep, EdgesDep
from api.pings import MSGPACK, PingsBody
from api.problems import ApiProblem
from api.receipts import receipt_of, settled
from api.routes.rides import ID_PATTERN, RideId
from api.schemas import (
    AdviceAnswer,
    AdviceBody,
    DeclineBody,
    DropoffBody,
    EarningsBody,
    PingsAccepted,
    RideBody,
    StatusBody,
    StatusRequest,
    lines_of,
)
from dispatch import commands as cmd
from dispatch.model import Party, ShiftStatus

router = APIRouter(prefix="/v1", tags=["drivers"])

OfferId = Annotated[str, Path(max_length=128, pattern=ID_PATTERN, description="as told on the driver's stream")]


def _schema() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([PingsBody], ref_template="#/components/schemas/{name}")
    inline: dict[str, Any] = components["PingsBody"]
    inline["properties"]["pings"]["items"] = components["PingBody"]
    return inline


@router.post("/drivers/me/status", summary="Go on or off shift")
async def set_status(body: StatusRequest, edges: EdgesDep, driver: DriverDep) -> StatusBody:
    """Only drivers on shift whose position is known are asked. A driver with a live ride cannot go off shift."""
    return StatusBody.of(await edges.rides.set_shift(cmd.SetShift(driver.id, ShiftStatus(body.status), body.seats)))


@router.get("/drivers/me/advice", summary="Where you had better wait")
async def my_advice(edges: EdgesDep, driver: DriverDep) -> AdviceAnswer:
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
            "content": {media_type: {"schema": _schema()} for media_type in ("application/json", *sorted(MSGPACK))},
        }
    },
)
async def send_pings(_: DriverDep) -> PingsAccepted:
    """A 202 means that the broker has the pings. One bad ping refuses the batch, naming each bad one and its reason."""
    raise NotImplementedError("RawPings answers before routing; this is its description")


@router.post("/offers/{offer_id}/accept", summary="Take the ride")
async def accept_offer(offer_id: OfferId, edges: EdgesDep, driver: DriverDep) -> RideBody:
    """The ride is yours with the answer, not before."""
    return RideBody.of((await edges.rides.handle(cmd.AcceptOffer(offer_id, driver.id))).ride)


@router.post("/offers/{offer_id}/decline", summary="Leave the ride to others")
async def decline_offer(
    offer_id: OfferId, edges: EdgesDep, driver: DriverDep, body: Annotated[DeclineBody | None, Body()] = None
) -> RideBody:
    """Saying no at once is kinder to the rider than silence."""
    command = cmd.DeclineOffer(offer_id, driver.id, body.reason if body else None)
    return RideBody.of((await edges.rides.handle(command)).ride)


@router.post("/rides/{ride_id}/arrived", summary="You stand at the pickup")
async def arrived(ride_id: RideId, edges: EdgesDep, driver: DriverDep) -> RideBody:
    """The rider is told."""
    return RideBody.of((await edges.rides.handle(cmd.ReportArrival(ride_id, driver.id))).ride)


@router.post("/rides/{ride_id}/picked-up", summary="The rider is aboard")
async def picked_up(ride_id: RideId, edges: EdgesDep, driver: DriverDep) -> RideBody:
    """The trip begins."""
    return RideBody.of((await edges.rides.handle(cmd.ReportPickup(ride_id, driver.id))).ride)


@router.post("/rides/{ride_id}/dropped-off", summary="The trip is over")
async def dropped_off(
    ride_id: RideId, edges: EdgesDep, driver: DriverDep, body: Annotated[DropoffBody | None, Body()] = None
) -> RideBody:
    """The fare stands, and the driver is free again.

    It is the quote's, unless the region's tariff computes it anew for another dropoff, another duration or waiting;
    `receipt.changes` says why. Say where the rider left if it was not the agreed dropoff.
    """
    ride = await edges.rides.find(ride_id, Party.DRIVER, driver.id)
    left_at = body.dropoff.point if body and body.dropoff else None
    fare_cents, receipt = await settled(edges.fares, ride, left_at, edges.now(), edges.outages)
    command = cmd.ReportDropoff(ride_id, driver.id, fare_cents, receipt)
    return RideBody.of((await edges.rides.handle(command)).ride)


@router.get("/drivers/me/rides/{ride_id}/earnings", summary="What you earn with a ride")
async def read_earnings(ride_id: RideId, edges: EdgesDep, driver: DriverDep) -> EarningsBody:
    """What the rider pays without tax, less the platform's commission; as agreed until the dropoff.

    Of a ride that you drive, and of one that you are asked to take, while the offer stands.
    """
    ride = await edges.rides.find_for_driver(ride_id, driver.id)
    receipt = receipt_of(ride)
    earnings = await edges.fares.earnings(ride.fare_cents, receipt) if receipt else None
    if earnings is None:
        detail = f"Nobody kept the tariff by which ride {ride_id} was quoted."
        raise ApiProblem(404, "tariff_unknown", detail, "Ask the operator: the fare itself stands in the ride.")
    return EarningsBody(
        ride_id=ride_id,
        currency=ride.currency,
        driver_cents=earnings.driver_cents,
        lines=lines_of(earnings.lines),
        platform_cents=earnings.platform_cents,
        tax_cents=earnings.tax_cents,
        fare_cents=ride.fare_cents,
    )
