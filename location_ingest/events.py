"""What ingestion decided."""

from __future__ import annotations

from dataclasses import dataclass

from location_ingest.model import DriverPing, Reason


@dataclass(frozen=True, slots=True)
class PositionAccepted:
    """The driver is believed to have been where the ping says."""

    region_id: str
    ping: DriverPing


@dataclass(frozen=True, slots=True)
class PingRejected:
    """The ping is not believed, for one reason."""

    region_id: str
    ping: DriverPing
    reason: Reason


Event = PositionAccepted | PingRejected
