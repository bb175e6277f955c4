"""What people do: said in the imperative, carried out by whoever drives the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class GoOnline:
    """The driver starts to take offers."""


@dataclass(frozen=True, slots=True)
class GoOffline:
    """The driver takes a break."""


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """The driver wants the ride; the answer comes as `Driver.assigned` or `Driver.offer_gone`."""

    offer_id: str
    ride_id: str


@dataclass(frozen=True, slots=True)
class DeclineOffer:
    """The driver does not want the ride."""

    offer_id: str


@dataclass(frozen=True, slots=True)
class StaySilent:
    """The driver will not answer: nothing is sent, so that it can be counted."""

    offer_id: str


@dataclass(frozen=True, slots=True)
class ReportArrived:
    """The driver stands at the pickup."""

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
    """The rider gives the ride up, or the driver gives it back."""

    ride_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class AskQuote:
    """The rider asks what the ride costs."""


@dataclass(frozen=True, slots=True)
class RequestRide:
    """The rider takes the quote."""


@dataclass(frozen=True, slots=True)
class LeaveForPrice:
    """The rider finds the quote too dear: nothing is sent, so that it can be counted."""


DriverAction: TypeAlias = (
    GoOnline | GoOffline | AcceptOffer | DeclineOffer | StaySilent
    | ReportArrived | ReportPickedUp | ReportDroppedOff | CancelRide
)  # fmt: skip
RiderAction: TypeAlias = AskQuote | RequestRide | LeaveForPrice | CancelRide
