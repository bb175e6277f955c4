"""Bodies of the driver routes: shifts, pings, offers, advice and earnings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.schemas.base import Latitude, LineBody, Longitude, PointBody, Reason, Seconds, Strict, lines_of
from dispatch.model import Ride, Shift
from pricing.model.advice import DriverAdvice
from pricing.rules.earnings import Earnings

#: With fewer ratings, the mean would reveal individual ratings to the driver.
RATINGS_MIN = 10


class StatusRequest(Strict):
    """A request to go on or off shift."""

    status: Literal["online", "offline"]
    seats: Annotated[int, Field(ge=1, le=8)] = 4


class StatusBody(BaseModel):
    """The current state of a shift."""

    driver_id: str
    status: Literal["online", "offline"]
    seats: int
    changed_s: Seconds
    rating: Annotated[float | None, Field(description="your mean in stars; null for fewer than ten ratings")]

    @classmethod
    def of(cls, shift: Shift) -> StatusBody:
        """Convert a shift."""
        rating = round(shift.stars_sum / shift.stars_count, 2) if shift.stars_count >= RATINGS_MIN else None
        return cls(
            driver_id=shift.driver_id,
            status=shift.status.value,
            seats=shift.seats,
            changed_s=shift.changed_s,
            rating=rating,
        )


class PingRefusal(BaseModel):
    """A ping that does not count."""

    index: Annotated[int, Field(description="its place in the batch, from 0")]
    field: Annotated[str, Field(description="what is wrong; empty if the ping is no object")]
    reason: Annotated[
        str,
        Field(
            description="malformed, not_finite, out_of_range, from_the_future, too_old, off_region, duplicate_time or "
            "out_of_order"
        ),
    ]


class PositionBody(BaseModel):
    """Why a driver's position does not count, so that the driver is asked for no ride."""

    counts: bool
    reason: str
    since_s: Seconds | None
    detail: str
    hint: str


class PingsAccepted(BaseModel):
    """How many pings the broker has, and which do not count."""

    accepted: int
    refusals: Annotated[list[PingRefusal], Field(description="absent if all are good")] = []
    position: Annotated[
        PositionBody | None, Field(description="why your position does not count; absent while it does")
    ] = None


class AdviceBody(BaseModel):
    """The place where an idle driver should wait."""

    lat_deg: Latitude
    lng_deg: Longitude
    drive_s: Annotated[float, Field(description="seconds to drive there on empty roads")]
    given_s: Seconds
    expires_s: Annotated[float, Field(description="until then the place is reserved for you; on the city's clock")]

    @classmethod
    def of(cls, advice: DriverAdvice) -> AdviceBody:
        """Convert advice."""
        return cls(**asdict(advice))


class AdviceAnswer(BaseModel):
    """The current advice for a driver; null if there is none."""

    advice: AdviceBody | None


class DeclineBody(Strict):
    """An optional reason."""

    reason: Reason = None


class DropoffBody(Strict):
    """Where the rider got out."""

    dropoff: PointBody | None = None


class EarningsBody(BaseModel):
    """The driver's earnings of a ride, itemised."""

    ride_id: str
    currency: str
    driver_cents: int
    lines: Annotated[list[LineBody], Field(description="they add up to `driver_cents`")]
    platform_cents: int
    tax_cents: int
    fare_cents: Annotated[int, Field(description="what the rider pays: the shares of driver and platform, and the tax")]

    @classmethod
    def of(cls, ride: Ride, earnings: Earnings) -> EarningsBody:
        """Convert the earnings of a ride."""
        return cls(
            ride_id=ride.ride_id,
            currency=ride.currency,
            driver_cents=earnings.driver_cents,
            lines=lines_of(earnings.lines),
            platform_cents=earnings.platform_cents,
            tax_cents=earnings.tax_cents,
            fare_cents=ride.fare_cents,
        )
