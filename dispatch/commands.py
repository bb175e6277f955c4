"""The commands that dispatch accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.model import STARS, Party, ShiftStatus
from kernel.points import Place


@dataclass(frozen=True, slots=True)
class RequestRide:
    """A rider wants to go; the quote's price holds. `receipt` and `map_id`: see `Ride`."""

    ride_id: str
    region_id: str
    rider_id: str
    quote_id: str
    pickup: Place
    dropoff: Place
    seats: int
    fare_cents: int
    currency: str
    receipt: Mapping[str, object] | None = None
    map_id: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Leave a waiting ride out of the rounds on this map, where its pickup or dropoff is near no road."""

    ride_id: str
    map_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SendOffer:
    """Show a ride to a driver for whom the lease `token` was taken."""

    ride_id: str
    driver_id: str
    token: int
    pickup_eta_s: float


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """The driver takes the ride."""

    offer_id: str
    driver_id: str


@dataclass(frozen=True, slots=True)
class DeclineOffer:
    """The driver does not want the ride."""

    offer_id: str
    driver_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CancelRide:
    """A rider gives the ride up, its driver gives it back, or an operator or the system ends it for nothing."""

    ride_id: str
    by: Party
    principal_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The driver will not come: the ride is taken from them and matched anew."""

    ride_id: str
    driver_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportArrival:
    """The driver stands at the pickup."""

    ride_id: str
    driver_id: str


@dataclass(frozen=True, slots=True)
class ReportPickup:
    """The rider is aboard."""

    ride_id: str
    driver_id: str


@dataclass(frozen=True, slots=True)
class ReportDropoff:
    """The rider has left at the dropoff. Without a fare the one that was agreed stands, with its receipt."""

    ride_id: str
    driver_id: str
    fare_cents: int | None = None
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ReportNoShow:
    """The rider did not come. Refused until `wait_s` after the arrival; `fare_cents` is the fee."""

    ride_id: str
    driver_id: str
    wait_s: float
    fare_cents: int = 0
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class EndRide:
    """End a ride without its driver: a trip as driven, a ride at its pickup as a no-show.

    Without a fare the one that was agreed stands, and a no-show costs nothing.
    """

    ride_id: str
    by: Party
    reason: str
    fare_cents: int | None = None
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class EndOverdue:
    """End a ride as `EndRide` does, or give it to another driver before the arrival, if it is overdue."""

    ride_id: str
    fare_cents: int | None = None
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Reassign:
    """Take a ride from the driver who has it, or is asked for it: it is matched anew."""

    ride_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class AssignDriver:
    """Give a ride to a driver whom an operator names, whoever has it or is asked for it. `token` is of a new lease."""

    ride_id: str
    driver_id: str
    reason: str
    token: int
    pickup_eta_s: float


@dataclass(frozen=True, slots=True)
class WithdrawOffer:
    """The driver cannot take the ride any more, having gone off shift."""

    offer_id: str
    driver_id: str


@dataclass(frozen=True, slots=True)
class CorrectRide:
    """Change what is owed, or where the rider left, of a ride that has ended; None leaves it as it is."""

    ride_id: str
    reason: str
    fare_cents: int | None = None
    dropoff: Place | None = None
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class RateRide:
    """The rider says how the trip was, in stars from 1 to 5."""

    ride_id: str
    rider_id: str
    stars: int

    def __post_init__(self) -> None:
        if self.stars not in STARS:
            raise ValueError(f"stars must be from {STARS[0]} to {STARS[-1]}, not {self.stars}")


@dataclass(frozen=True, slots=True)
class ExpireDue:
    """End the offers and requests whose time is over, and the rides that are overdue.

    Without `with_drivers` only rides that have none: the live service settles the others, each by itself.
    `no_show_fee_cents` is what a rider owes whose driver waited at the pickup until the deadline.
    """

    with_drivers: bool = True
    no_show_fee_cents: int = 0


@dataclass(frozen=True, slots=True)
class SetShift:
    """A driver goes on or off shift."""

    driver_id: str
    status: ShiftStatus
    seats: int


RideCommand = (
    RequestRide
    | SetAside
    | SendOffer
    | AcceptOffer
    | DeclineOffer
    | CancelRide
    | TakeBack
    | ReportArrival
    | ReportPickup
    | ReportDropoff
    | ReportNoShow
    | EndRide
    | EndOverdue
    | Reassign
    | AssignDriver
    | WithdrawOffer
    | CorrectRide
    | RateRide
    | ExpireDue
)
