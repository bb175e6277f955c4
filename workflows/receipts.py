"""Converts pricing's receipts to and from the plain values that dispatch stores in rides without reading them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dispatch.model import Ride
from pricing.model.quotes import Receipt


def to_plain(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as a ride keeps it, equal to what the store gives back: of JSON's types alone."""
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(receipt))
    return values


def receipt_of(ride: Ride) -> Receipt | None:
    """Return the receipt of a ride; None for one that was requested without a quote of this service."""
    return from_plain(ride.receipt)


def from_plain(values: Mapping[str, object] | None) -> Receipt | None:
    """Return the receipt that a ride keeps; None for what is none of this service."""
    try:
        return msgspec.convert(values, Receipt)
    except msgspec.ValidationError:
        return None
