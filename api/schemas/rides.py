"""Bodies of quotes and rides, for riders and drivers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.schemas.base import LineBody, PointBody, Reason, Seconds, Strict, lines_of
from dispatch.model import STARS, Ride, RideState
from kernel.money import MINOR_UNIT_DIGITS
from pricing.model.quotes import Receipt
from workflows.quote import SignedQuote
from workflows.receipts import receipt_of

#: The notice of a ride that ended long ago.
PLACES_NOT_KEPT = "Where this ride began and ended is no longer kept: too much time has passed since its end."


class QuoteRequest(Strict):
    """A trip to quote: pickup, dropoff and number of seats."""

    pickup: PointBody
    dropoff: PointBody
    seats: Annotated[int, Field(ge=1, le=8)] = 1


class QuoteBody(BaseModel):
    """A price that holds until `expires_s`."""

    quote_id: Annotated[str, Field(description="signed: send it back unchanged to request the ride")]
    price_cents: Annotated[int, Field(description="minor units of the currency")]
    currency: str
    minor_unit_digits: Annotated[int, Field(description="decimals of the currency: 0 for JPY, 2 for USD, 3 for KWD")]
    lines: Annotated[list[LineBody], Field(description="they add up to the price")]
    tax_cents: Annotated[int, Field(description="the tax in the price, whether it is a line or included in others")]
    tariff_version: str
    surge_multiplier: float
    distance_m: float
    travel_time_s: float
    pickup_eta_s: Annotated[float | None, Field(description="of the nearest free driver; null if there is none")]
    expires_s: Seconds

    @classmethod
    def of(cls, signed: SignedQuote) -> QuoteBody:
        """Convert a quote."""
        quote = signed.quote
        return cls(
            quote_id=signed.text,
            price_cents=quote.price_cents,
            currency=quote.currency,
            minor_unit_digits=MINOR_UNIT_DIGITS[quote.currency],
            lines=lines_of(quote.lines),
            tax_cents=quote.tax_cents,
            tariff_version=quote.tariff_version,
            surge_multiplier=quote.surge_multiplier,
            distance_m=quote.distance_m,
            travel_time_s=quote.travel_time_s,
            pickup_eta_s=signed.pickup_eta_s,
            expires_s=quote.expires_s,
        )


class RideRequestBody(Strict):
    """A request for the ride of a quote."""

    quote_id: Annotated[str, Field(min_length=1, max_length=4096)]


class CancelBody(Strict):
    """An optional reason."""

    reason: Reason = None


class RatingBody(Strict):
    """The rider's rating of a trip."""

    stars: Annotated[int, Field(ge=STARS[0], le=STARS[-1], description="1 is the worst, 5 the best")]


class ReceiptBody(BaseModel):
    """The fare of a ride, itemised."""

    tariff_version: str
    quoted_s: Seconds
    distance_m: float
    travel_time_s: float
    surge_multiplier: float
    lines: Annotated[list[LineBody], Field(description="they add up to the fare")]
    tax_cents: int
    changes: Annotated[list[str], Field(description="why the fare differs from the quote; empty if it does not")]

    @classmethod
    def of(cls, receipt: Receipt) -> ReceiptBody:
        """Convert a receipt."""
        return cls(**asdict(receipt))


class RideBody(BaseModel):
    """A ride, for its rider and its driver."""

    ride_id: str
    region_id: str
    state: RideState
    sequence: Annotated[int, Field(description="number of the ride's last event")]
    rider_id: str
    pickup: Annotated[PointBody | None, Field(description="null once the places of a long ended ride are not kept")]
    dropoff: Annotated[PointBody | None, Field(description="null once the places of a long ended ride are not kept")]
    seats: int
    fare_cents: int
    currency: str
    requested_s: Seconds
    driver_id: str | None
    pickup_eta_s: Annotated[float | None, Field(description="seconds to the pickup when the driver was asked")]
    assigned_s: float | None
    arrived_s: float | None
    picked_up_s: float | None
    dropped_off_s: float | None
    ended_s: float | None
    cancelled_by: Literal["rider", "driver", "system", "operator"] | None
    cancel_reason: str | None
    is_no_show: Annotated[
        bool, Field(description="whether the rider did not come; `fare_cents` is then the no-show fee")
    ]
    ended_by: Annotated[
        Literal["rider", "driver", "system", "operator"] | None,
        Field(description="who ended it without a dropoff: a no-show's driver, a deadline or an operator"),
    ]
    end_reason: str | None
    owed_cents: Annotated[int | None, Field(description="what the rider owes; null until the ride has ended")]
    receipt: Annotated[ReceiptBody | None, Field(description="null for rides without a quote of this service")]
    notice: Annotated[str | None, Field(description="a word for the rider, such as that nobody is asked just now")] = (
        None
    )

    @classmethod
    def of(cls, ride: Ride, notice: str | None = None) -> RideBody:
        """Convert a ride."""
        receipt, are_kept = receipt_of(ride), ride.coarse_resolution is None
        return cls(
            ride_id=ride.ride_id,
            region_id=ride.region_id,
            state=ride.state,
            sequence=ride.sequence,
            rider_id=ride.rider_id,
            pickup=PointBody.of(ride.pickup) if are_kept else None,
            dropoff=PointBody.of(ride.dropoff) if are_kept else None,
            seats=ride.seats,
            fare_cents=ride.fare_cents,
            currency=ride.currency,
            requested_s=ride.requested_s,
            driver_id=ride.driver_id,
            pickup_eta_s=ride.offer.pickup_eta_s if ride.offer and ride.driver_id else None,
            assigned_s=ride.assigned_s,
            arrived_s=ride.arrived_s,
            picked_up_s=ride.picked_up_s,
            dropped_off_s=ride.dropped_off_s,
            ended_s=ride.ended_s,
            cancelled_by=ride.cancelled_by.value if ride.cancelled_by else None,
            cancel_reason=ride.cancel_reason,
            is_no_show=ride.is_no_show,
            ended_by=ride.ended_by.value if ride.ended_by else None,
            end_reason=ride.end_reason,
            owed_cents=ride.owed_cents,
            receipt=ReceiptBody.of(receipt) if receipt else None,
            notice=notice if are_kept else PLACES_NOT_KEPT,
        )
