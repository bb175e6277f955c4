from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing import wire
from pricing.commands import CountRequest, MarkDriverBusy, MarkDriverFree

REQUESTED = {
    "event": "RideRequested",
    "ride_id": "ride-1",
    "sequence": 1,
    "at_s": 1000.5,
    "region": "grid",
    "rider_id": "rider-1",
    "pickup": {"lat_deg": 40.75, "lng_deg": -73.98, "node": 3},
}


def encoded(**changes: object) -> bytes:
    return json.dumps({**REQUESTED, **changes}).encode()


def test_a_request_becomes_demand() -> None:
    event = wire.decode(encoded())
    assert event is not None
    assert wire.to_command(event, 7) == CountRequest("ride-1", 1, 7, 1000.5)
    assert wire.to_command(event, -1) is None


def test_an_acceptance_takes_the_driver() -> None:
    event = wire.decode(encoded(event="OfferAccepted", sequence=3, driver_id="driver-1"))
    assert event is not None
    assert wire.to_command(event, 7) == MarkDriverBusy("ride-1", 3, "driver-1", 1000.5)


@pytest.mark.parametrize("ending", ["AssignmentCancelled", "RiderDroppedOff", "RideCancelled", "RideExpired"])
def test_an_ending_frees_the_driver(ending: str) -> None:
    event = wire.decode(encoded(event=ending, sequence=9, driver_id=None))
    assert event is not None
    assert wire.to_command(event, -1) == MarkDriverFree("ride-1", 9, 1000.5)


@pytest.mark.parametrize("other", ["OfferSent", "OfferDeclined", "DriverArrived", "RiderPickedUp", "InventedLater"])
def test_other_events_ask_for_nothing(other: str) -> None:
    event = wire.decode(encoded(event=other))
    assert event is not None
    assert wire.to_command(event, 7) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"x":' + b"[" * 100_000,
        encoded(sequence=0),
        encoded(sequence=1.5),
        encoded(sequence=2**53),
        encoded(sequence=True),
        encoded(at_s="now"),
        encoded(at_s=-1.0),
        encoded(at_s=float("nan")),
        encoded(ride_id=""),
        encoded(ride_id="x" * 201),
        encoded(ride_id=None),
        encoded(region=""),
        encoded(pickup=None),
        encoded(pickup={"lat_deg": 91.0, "lng_deg": 0.0}),
        encoded(pickup={"lat_deg": 40.0}),
        encoded(event="OfferAccepted"),
    ],
)
def test_what_is_not_an_event_is_none(value: bytes | None) -> None:
    assert wire.decode(value) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(value: bytes) -> None:
    wire.decode(value)
