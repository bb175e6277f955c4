"""Groups of pings and dead letters as MessagePack, as ARCHITECTURE.md lays the bytes down."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from location_ingest.errors import UndecodableMessage
from location_ingest.model import ID_CHARS_MAX, DeadLetter, DriverPing, PingGroup, RawMessage

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
#: The edge sends some hundred; a message with more was not written by it.
_GROUP_PINGS_MAX = 1_000
#: A letter must fit into a message however large the bad one was (1 MB by Kafka's default); its head tells what it is.
_LETTER_VALUE_BYTES_MAX = 256 * 1024


class _WirePing(msgspec.Struct, array_like=True, frozen=True):
    driver_id: _Name
    t_s: float
    lat_deg: float
    lng_deg: float
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None


class _WireGroup(msgspec.Struct, frozen=True):
    region: _Name
    received_s: float
    pings: Annotated[list[_WirePing], msgspec.Meta(max_length=_GROUP_PINGS_MAX)]


_decoder = msgspec.msgpack.Decoder(_WireGroup)


def encode_group(group: PingGroup) -> bytes:
    """Return the bytes of a group."""
    pings = [(p.driver_id, p.t_s, p.lat_deg, p.lng_deg, p.heading_deg, p.speed_mps, p.accuracy_m) for p in group.pings]
    return msgspec.msgpack.encode({"region": group.region, "received_s": group.received_s, "pings": pings})


def decode_group(value: bytes) -> PingGroup:
    """Return the group; raises UndecodableMessage, and nothing else, for bytes that are none."""
    try:
        wire = _decoder.decode(value)
    # Garbage must not stop the messages behind it, whatever it provokes.
    except Exception as error:
        raise UndecodableMessage(f"not a group of pings: {error}") from error
    if not math.isfinite(wire.received_s):
        raise UndecodableMessage(f"received_s is not a time: {wire.received_s}")
    pings = (
        DriverPing(p.driver_id, p.t_s, p.lat_deg, p.lng_deg, p.heading_deg, p.speed_mps, p.accuracy_m)
        for p in wire.pings
    )
    return PingGroup(wire.region, wire.received_s, tuple(pings))


def encode_letter(letter: DeadLetter) -> bytes:
    """Return the bytes of a dead letter; of a very long message only the head."""
    return msgspec.msgpack.encode(
        {
            "reason": letter.reason,
            "partition": letter.message.partition,
            "offset": letter.message.offset,
            "value": letter.message.value[:_LETTER_VALUE_BYTES_MAX],
        }
    )


class MessagePackPings:
    """A PingReader."""

    def decode(self, message: RawMessage) -> PingGroup:
        """Return the group in the message; raises UndecodableMessage."""
        return decode_group(message.value)
