from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.points import Point
from pricing.adapters import event_codec as wire
from pricing.commands import CountQuote, CountRequest
from pricing.model.quotes import Line, Quote
from pricing.rules.signals import quote_ident, quote_signal, ride_signal

REQUESTED = {
    "event": "RideRequested",
    "ride_id": "ride-1",
    "sequence": 1,
    "at_s": 1000.5,
    "region_id": "grid",
    "rider_id": "rider-1",
    "pickup": {"lat_deg": 40.75, "lng_deg": -73.98, "node": 3},
}


def encoded(**changes: object) -> bytes:
    return json.dumps({**REQUESTED, **changes}).encode()


def test_a_request_becomes_demand() -> None:
    event = wire.decode_ride(encoded())
    assert event is not None
    assert ride_signal(event, 7) == CountRequest(7, 1000.5)
    assert ride_signal(event, -1) is None


@pytest.mark.parametrize("other", ["OfferSent", "OfferAccepted", "RiderPickedUp", "RideCancelled", "InventedLater"])
def test_other_events_ask_for_nothing(other: str) -> None:
    event = wire.decode_ride(encoded(event=other))
    assert event is not None
    assert ride_signal(event, 7) is None


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
        encoded(region_id=""),
        encoded(pickup=None),
        encoded(pickup={"lat_deg": 91.0, "lng_deg": 0.0}),
        encoded(pickup={"lat_deg": 40.0}),
    ],
)
def test_bytes_that_are_no_event_decode_to_none(value: bytes | None) -> None:
    assert wire.decode_ride(value) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise_or_are_taken_for_an_event(value: bytes) -> None:
    assert (wire.decode_ride(value), wire.decode_quote(value)) == (None, None)


QUOTE = Quote(
    quote_id="quote-1",
    region_id="grid",
    rider_id="rider-1",
    pickup=Point(40.75, -73.98),
    dropoff=Point(40.76, -73.97),
    pickup_node=1,
    dropoff_node=2,
    seats=1,
    price_cents=900,
    currency="USD",
    surge_multiplier=1.0,
    distance_m=1000.0,
    travel_time_s=120.0,
    tariff_version="0123456789abcdef",
    lines=(Line("base", 900),),
    tax_cents=0,
    issued_s=1000.5,
    expires_s=1300.5,
)


def test_a_quote_is_read_as_it_was_told_and_becomes_demand_and_its_price_stays_at_home() -> None:
    told = wire.encode_quote(QUOTE)
    event = wire.decode_quote(told)
    assert event is not None
    assert (event.quote_id, event.region_id, event.at_s) == ("quote-1", "grid", 1000.5)
    assert quote_signal(event, 7) == CountQuote(7, 1000.5)
    assert quote_signal(event, -1) is None
    assert b"900" not in told


def test_repeated_quotes_within_minutes_count_once_and_later_or_elsewhere_again() -> None:
    def ident(issued_s: float, quote_id: str, cell_index: int = 7) -> str:
        again = replace(QUOTE, quote_id=quote_id, issued_s=issued_s, expires_s=issued_s + 1.0)
        event = wire.decode_quote(wire.encode_quote(again))
        assert event is not None
        return quote_ident(event, cell_index)

    assert ident(1000.5, "quote-1") == ident(1100.0, "quote-2")
    assert ident(1000.5, "quote-1") != ident(1000.5, "quote-1", cell_index=8)
    assert ident(1000.5, "quote-1") != ident(1300.0, "quote-2")


def test_a_ride_event_is_no_quote() -> None:
    assert wire.decode_quote(encoded()) is None
