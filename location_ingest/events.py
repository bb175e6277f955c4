"""Events of ingestion."""

from __future__ import annotations

from dataclasses import dataclass

from location_ingest.model import DriverPing, Reason


@dataclass(frozen=True, slots=True)
class PositionAccepted:
    """A ping was accepted."""

    region_id: str
    ping: DriverPing


@dataclass(frozen=True, slots=True)
class PingRejected:
    """A ping was rejected, for one reason."""

    region_id: str
    ping: DriverPing
    reason: Reason


Event = PositionAccepted | PingRejected
