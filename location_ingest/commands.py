"""Commands of ingestion."""

from __future__ import annotations

from dataclasses import dataclass

from location_ingest.model import DriverPing


@dataclass(frozen=True, slots=True)
class RecordPings:
    """Judge pings of one region in the order given; `received_s` is the city time when the edge took them in."""

    region_id: str
    received_s: float
    pings: tuple[DriverPing, ...]


Command = RecordPings
