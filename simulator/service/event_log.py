"""The canonical event log of a run: one JSON line per event, as the live service publishes it, and its SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from dispatch.events import RIDE_EVENTS, RideEvent

#: A simulated day has one map and does not name it.
_NO_MAP = b',"map_id":""}'
_HEADS = {kind: f'{{"event":"{kind.__name__}",'.encode() for kind in RIDE_EVENTS}


def lines(events: Iterable[RideEvent]) -> Iterator[bytes]:
    """Yield each event as a JSON object without a line break: its type under `event`, then its fields in order."""
    encode = msgspec.json.Encoder().encode
    for event in events:
        line = _HEADS[type(event)] + encode(event)[1:]
        yield line.removesuffix(_NO_MAP) + b"}" if line.endswith(_NO_MAP) else line


def sha256_of(events: Iterable[RideEvent]) -> str:
    """Return the SHA-256 (hex) of the whole log, each line with a line break at its end."""
    digest = hashlib.sha256()
    for line in lines(events):
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()
