"""Ride events as JSON, for the outbox, the topic and the inboxes."""

from __future__ import annotations

from typing import Any

import msgspec

from dispatch.events import RIDE_EVENTS, RideEvent

_BY_NAME = {event_type.__name__: event_type for event_type in RIDE_EVENTS}


def encode(event: RideEvent) -> str:
    """One event as a JSON object; its type is under `event`."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return msgspec.json.encode({"event": type(event).__name__, **fields}).decode()


def decode(payload: str | bytes) -> RideEvent:
    """The event in a JSON object. Raises ValueError for an unknown type or wrong fields."""
    try:
        fields = msgspec.json.decode(payload)
        return msgspec.convert(fields, _BY_NAME[fields.pop("event")])
    except (msgspec.DecodeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"not a ride event: {error!r}") from error
