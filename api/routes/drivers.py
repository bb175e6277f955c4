"""Shifts, pings, offers and the steps of a ride, as drivers use them."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path, Request

from api.edges import DriverDep, Edges, EdgesDep
from api.problems import ApiProblem
from api.routes.rides import ID_PATTERN, RideId
from api.schemas import DeclineBody, PingsAccepted, RideBody, StatusBody, StatusRequest
from dispatch import commands as cmd
from dispatch.model import ShiftStatus
from location_ingest.model import DriverPing

router = APIRouter(prefix="/v1", tags=["drivers"])

OfferId = Annotated[str, Path(max_length=128, pattern=ID_PATTERN, description="as told on the driver's stream")]

#: Pings in one batch: two hours of one each 4 s, which is more than a phone should keep back.
PINGS_MAX = 2000


class PingBody(msgspec.Struct, forbid_unknown_fields=True):
    """One GPS report; the ingestion filter judges the values, so that each gets its own reason."""

    t_s: float
    lat_deg: float
    lng_deg: float
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None


class PingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Reports of one phone, the oldest first."""

    pings: Annotated[list[PingBody], msgspec.Meta(min_length=1, max_length=PINGS_MAX)]


#: The words that many JSON writers put for numbers that are none.
_NOT_FINITE = re.compile(rb"[:,\[]\s*-?(NaN|Infinity)\b")
#: What msgspec raises for bytes that are not the JSON it expects.
NOT_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)
_pings = msgspec.json.Decoder(PingsBody)


def decode_pings(raw: bytes) -> PingsBody:
    """Read a batch of pings. Raises ApiProblem 422 that says where it is wrong."""
    try:
        return _pings.decode(raw)
    except NOT_JSON as error:
        hint = 'Send {"pings": [{"t_s": …, "lat_deg": …, "lng_deg": …}]}; see /docs.'
        raise not_understood("invalid_pings", raw, error, hint) from error


def not_understood(code: str, raw: bytes, error: Exception, hint: str) -> ApiProblem:
    """The problem of JSON that msgspec refused; a number that is none has a code of its own."""
    if _NOT_FINITE.search(raw):
        detail = "JSON has no NaN and no Infinity, and they are no place or time."
        return ApiProblem(422, "ping_not_finite", detail, "Leave out what the phone does not know.")
    return ApiProblem(422, code, f"{error}.", hint)


def driver_pings(body: PingsBody, driver_id: str) -> list[DriverPing]:
    """The pings as ingestion takes them."""
    return [
        DriverPing(driver_id, p.t_s, p.lat_deg, p.lng_deg, p.heading_deg, p.speed_mps, p.accuracy_m) for p in body.pings
    ]


def _schema() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([PingsBody], ref_template="#/components/schemas/{name}")
    inline: dict[str, Any] = components["PingsBody"]
    inline["properties"]["pings"]["items"] = components["PingBody"]
    return inline


@router.post("/drivers/me/status", summary="Go on or off shift")
async def set_status(body: StatusRequest, edges: EdgesDep, driver: DriverDep) -> StatusBody:
    """Only drivers on shift whose position is known are asked. A driver with a live ride cannot go off shift."""
    shift = await edges.rides.set_shift(cmd.SetShift(driver.id, ShiftStatus(body.status), body.seats))
    return StatusBody(driver_id=driver.id, status=shift.status.value, seats=shift.seats, changed_s=shift.changed_s)


@router.post(
    "/drivers/me/pings",
    status_code=202,
    summary="Say where you are and were",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}}},
)
async def send_pings(request: Request, edges: EdgesDep, driver: DriverDep) -> PingsAccepted:
    """A 202 means that the broker has the pings. One bad ping refuses the batch, naming each bad one and its reason."""
    return PingsAccepted(accepted=await submit_pings(edges, driver.id, await request.body()))


async def submit_pings(edges: Edges, driver_id: str, raw: bytes) -> int:
    """Hand a batch to ingestion; returns how many pings it held. Raises what the gateway raises, or ApiProblem."""
    pings = driver_pings(decode_pings(raw), driver_id)
    await edges.gateway.submit(pings, edges.now())
    return len(pings)


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
async def dropped_off(ride_id: RideId, edges: EdgesDep, driver: DriverDep) -> RideBody:
    """The fare stands, and the driver is free again."""
    return RideBody.of((await edges.rides.handle(cmd.ReportDropoff(ride_id, driver.id))).ride)
