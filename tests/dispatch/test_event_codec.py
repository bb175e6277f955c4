"""Ride events as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.adapters.event_codec import decode, encode
from dispatch.events import RIDE_EVENTS, RideEvent
from dispatch.model import Party
from dispatch.rules.audience import inboxes
from kernel.points import Place

finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**53), 2**53)
STRATEGY = {
    str: st.text(),
    str | None: st.none() | st.text(),
    int: whole,
    float: finite,
    Place: st.builds(Place, st.floats(-90.0, 90.0), st.floats(-180.0, 180.0), whole),
    Party: st.sampled_from(Party),
    Mapping[str, object] | None: st.none()
    | st.dictionaries(st.text(), st.text() | whole | st.lists(st.dictionaries(st.text(), whole))),
}


def events(event_type: Any) -> Any:
    return st.builds(event_type, **{name: STRATEGY[hint] for name, hint in get_type_hints(event_type).items()})


@pytest.mark.parametrize("event_type", RIDE_EVENTS)
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_every_event_comes_back_as_it_went(event_type: Any, data: Any) -> None:
    event = data.draw(events(event_type))
    back = decode(encode(event))
    assert back == event
    assert type(back) is event_type
    assert decode(encode(event).encode()) == event
    assert all(name.split(":")[0] in ("rider", "driver") for name in inboxes(event))


def test_every_kind_of_event_can_be_sent() -> None:
    named = {event_type.__name__ for event_type in RIDE_EVENTS}
    assert named == {event_type.__name__ for event_type in RideEvent.__subclasses__()}


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "null",
        "7",
        "[]",
        "[1]",
        "{}",
        '"event"',
        '{"event": "Unheard"}',
        '{"event": []}',
        '{"event": {}}',
        '{"event": "RideExpired"}',
        '{"event": "RideExpired", "ride_id": 1, "sequence": 1, "at_s": 0, "region_id": "r", "rider_id": "a"}',
        b"\xff",
    ],
)
def test_what_is_no_event_is_a_value_error(payload: Any) -> None:
    with pytest.raises(ValueError, match="not a ride event"):
        decode(payload)
