"""What pricing reads of a message on the topic ride.events; fields it does not need are skipped unread."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pricing.commands import CountRequest, MarkDriverBusy, MarkDriverFree

#: Events after which the ride holds no driver.
ENDINGS = frozenset({"AssignmentCancelled", "RiderDroppedOff", "RideCancelled", "RideExpired"})

Ident = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class WirePoint(msgspec.Struct, frozen=True):
    """A place, (lat, lng) in degrees."""

    lat_deg: Annotated[float, msgspec.Meta(ge=-90.0, le=90.0)]
    lng_deg: Annotated[float, msgspec.Meta(ge=-180.0, le=180.0)]


class RideEvent(msgspec.Struct, frozen=True):
    """One event of a ride."""

    event: str
    ride_id: Ident
    # Beyond 2^53 the counting function, whose numbers are doubles, could not tell neighbours apart.
    sequence: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    at_s: Annotated[float, msgspec.Meta(ge=0.0, lt=2.0**43)]
    region: Ident
    pickup: WirePoint | None = None
    driver_id: Ident | None = None

    def __post_init__(self) -> None:
        if self.event == "RideRequested" and self.pickup is None:
            raise ValueError("RideRequested lacks its pickup")
        if self.event == "OfferAccepted" and self.driver_id is None:
            raise ValueError("OfferAccepted lacks its driver_id")


_DECODER = msgspec.json.Decoder(RideEvent)


def decode(value: bytes | None) -> RideEvent | None:
    """Return the event, or None for anything that is not one: no message may stop the stream."""
    try:
        return _DECODER.decode(value or b"")
    # RecursionError: thousands of nested brackets in a field that is only skipped.
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None


def to_command(event: RideEvent, cell_index: int) -> CountRequest | MarkDriverBusy | MarkDriverFree | None:
    """Return what the event asks of the engine, None if nothing; ``cell_index`` is the pickup's, -1 outside."""
    match event.event:
        case "RideRequested" if cell_index >= 0:
            return CountRequest(event.ride_id, event.sequence, cell_index, event.at_s)
        case "OfferAccepted" if event.driver_id is not None:
            return MarkDriverBusy(event.ride_id, event.sequence, event.driver_id, event.at_s)
        case name if name in ENDINGS:
            return MarkDriverFree(event.ride_id, event.sequence, event.at_s)
    return None
