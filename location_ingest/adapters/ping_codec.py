"""Groups of pings and dead letters as MessagePack, as ARCHITECTURE.md lays the bytes down."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np

from location_ingest.columns import ROW_NUMBERS, PingColumns
from location_ingest.errors import UndecodableMessage
from location_ingest.model import ID_CHARS_MAX, DeadLetter, RawMessage

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
#: The edge sends some hundred; a message with more was not written by it.
_GROUP_PINGS_MAX = 1_000
#: A dead letter must fit into a message (1 MB by Kafka's default), so only the head of a long message is kept.
_LETTER_VALUE_BYTES_MAX = 256 * 1024


class _WireGroup(msgspec.Struct, frozen=True, rename={"region_id": "region"}):
    region_id: _Name
    received_s: float
    driver_ids: Annotated[list[_Name], msgspec.Meta(max_length=_GROUP_PINGS_MAX)]
    values: bytes


_decoder = msgspec.msgpack.Decoder(_WireGroup)
_encode = msgspec.msgpack.Encoder().encode
_WIRE_NUMBER = np.dtype("<f8")


def encode_columns(columns: PingColumns) -> bytes:
    """Return the bytes of a group."""
    values = np.ascontiguousarray(columns.values, _WIRE_NUMBER).tobytes()
    return _encode(_WireGroup(columns.region_id, columns.received_s, columns.driver_ids, values))


def decode_columns(value: bytes) -> PingColumns:
    """Return the group; raises UndecodableMessage, and nothing else, for bytes that are none."""
    try:
        wire = _decoder.decode(value)
    # Garbage must not stop the messages behind it, whatever it provokes.
    except Exception as error:
        raise UndecodableMessage(f"not a group of pings: {error}") from error
    if not math.isfinite(wire.received_s):
        raise UndecodableMessage(f"received_s is not a time: {wire.received_s}")
    wanted = len(wire.driver_ids) * ROW_NUMBERS * _WIRE_NUMBER.itemsize
    if len(wire.values) != wanted:
        raise UndecodableMessage(
            f"{len(wire.driver_ids)} drivers need {wanted} bytes of values, not {len(wire.values)}"
        )
    values = np.frombuffer(wire.values, _WIRE_NUMBER).reshape(-1, ROW_NUMBERS)
    return PingColumns(wire.region_id, wire.received_s, wire.driver_ids, values)


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

    def decode(self, message: RawMessage) -> PingColumns:
        """Return the group in the message; raises UndecodableMessage."""
        return decode_columns(message.value)
