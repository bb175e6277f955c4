"""Actions of simulated riders and drivers, returned as values; the simulation carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class GoOnline:
    """The driver starts a shift."""


@dataclass(frozen=True, slots=True)
class GoOffline:
    """The driver takes a break."""


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """The driver accepts an offer; the service answers with `Driver.assigned` or `Driver.offer_gone`."""

    offer_id: str
    ride_id: str


@dataclass(frozen=True, slots=True)
class DeclineOffer:
    """The driver declines an offer."""

    offer_id: str


@dataclass(frozen=True, slots=True)
class StaySilent:
    """The driver will not answer. Nothing is sent; the action exists to be counted."""

    offer_id: str


@dataclass(frozen=True, slots=True)
class ReportArrived:
    """The driver reports the arrival at the pickup."""

    ride_id: str


@dataclass(frozen=True, slots=True)
class ReportPickedUp:
    """The rider is aboard."""

    ride_id: str


@dataclass(frozen=True, slots=True)
class ReportDroppedOff:
    """The rider has left the car at the dropoff."""

    ride_id: str


@dataclass(frozen=True, slots=True)
class CancelRide:
    """The rider cancels the ride, or the driver cancels the assignment."""

    ride_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class AskQuote:
    """The rider asks for a quote."""


@dataclass(frozen=True, slots=True)
class RequestRide:
    """The rider accepts the quote and requests the ride."""


@dataclass(frozen=True, slots=True)
class LeaveForPrice:
    """The rider rejects the quote as too expensive. Nothing is sent; the action exists to be counted."""


DriverAction: TypeAlias = (
    GoOnline | GoOffline | AcceptOffer | DeclineOffer | StaySilent
    | ReportArrived | ReportPickedUp | ReportDroppedOff | CancelRide
)  # fmt: skip
RiderAction: TypeAlias = AskQuote | RequestRide | LeaveForPrice | CancelRide
