"""What the public routes take and give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.receipts import receipt_of
from dispatch.model import STARS, Ride, RideState, Shift
from kernel.money import MINOR_UNIT_DIGITS
from kernel.points import Point
from pricing.model.advice import DriverAdvice
from pricing.model.quotes import Line, Quote, Receipt

Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, description="degrees, WGS84")]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, description="degrees, WGS84")]
Seconds = Annotated[float, Field(description="seconds since 1970 on the city's clock")]
Reason = Annotated[str | None, Field(max_length=200, description="free text, kept with the ride")]

#: A mean over fewer would tell a driver who gave which stars.
RATINGS_MIN = 10


class Strict(BaseModel):
    """Unknown fields are refused: a misspelt one must not be silently without effect."""

    model_config = ConfigDict(extra="forbid")


class PointBody(Strict):
    """A point on the map."""

    lat_deg: Latitude
    lng_deg: Longitude

    @property
    def point(self) -> Point:
        """The point, checked as the schema says."""
        return Point(self.lat_deg, self.lng_deg)

    @classmethod
    def of(cls, point: Point) -> PointBody:
        """The public face of a point."""
        return cls(lat_deg=point.lat_deg, lng_deg=point.lng_deg)


class QuoteRequest(Strict):
    """Where from, where to, how many."""

    pickup: PointBody
    dropoff: PointBody
    seats: Annotated[int, Field(ge=1, le=8)] = 1


class LineBody(BaseModel):
    """One amount of a price; what is taken off is negative."""

    name: str
    cents: Annotated[int, Field(description="minor units of the currency")]


def lines_of(lines: Sequence[Line]) -> list[LineBody]:
    """The public face of a bill's lines."""
    return [LineBody(name=line.name, cents=line.cents) for line in lines]


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
    def of(cls, quote: Quote, signed: str, pickup_eta_s: float | None) -> QuoteBody:
        """The public face of a quote."""
        return cls(
            quote_id=signed,
            price_cents=quote.price_cents,
            currency=quote.currency,
            minor_unit_digits=MINOR_UNIT_DIGITS[quote.currency],
            lines=lines_of(quote.lines),
            tax_cents=quote.tax_cents,
            tariff_version=quote.tariff_version,
            surge_multiplier=quote.surge_multiplier,
            distance_m=quote.distance_m,
            travel_time_s=quote.travel_time_s,
            pickup_eta_s=pickup_eta_s,
            expires_s=quote.expires_s,
        )


class RideRequestBody(Strict):
    """Request the ride of a quote."""

    quote_id: Annotated[str, Field(min_length=1, max_length=4096)]


class CancelBody(Strict):
    """Why, if you like."""

    reason: Reason = None


class DeclineBody(Strict):
    """Why, if you like."""

    reason: Reason = None


class ReceiptBody(BaseModel):
    """How the fare of a ride came about."""

    tariff_version: str
    quoted_s: Seconds
    distance_m: float
    travel_time_s: float
    surge_multiplier: float
    lines: Annotated[list[LineBody], Field(description="they add up to the fare")]
    tax_cents: int
    changes: Annotated[list[str], Field(description="why the fare is not the quoted one; empty while it is")]

    @classmethod
    def of(cls, receipt: Receipt) -> ReceiptBody:
        """The public face of a receipt."""
        return cls(**asdict(receipt))


class DropoffBody(Strict):
    """Where the rider left."""

    dropoff: PointBody | None = None


class RatingBody(Strict):
    """How the trip was."""

    stars: Annotated[int, Field(ge=STARS[0], le=STARS[-1], description="the more the better")]


class EarningsBody(BaseModel):
    """What the driver earns with a ride, and how it came about."""

    ride_id: str
    currency: str
    driver_cents: int
    lines: Annotated[list[LineBody], Field(description="they add up to what the driver gets")]
    platform_cents: int
    tax_cents: int
    fare_cents: Annotated[int, Field(description="what the rider pays: the driver's, the platform's and the tax")]


class RideBody(BaseModel):
    """A ride as its rider and its driver see it."""

    ride_id: str
    region_id: str
    state: RideState
    sequence: Annotated[int, Field(description="number of the ride's last event")]
    rider_id: str
    pickup: PointBody
    dropoff: PointBody
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
    cancelled_by: Literal["rider", "driver", "system"] | None
    cancel_reason: str | None
    receipt: Annotated[ReceiptBody | None, Field(description="null for rides without a quote of this service")]

    @classmethod
    def of(cls, ride: Ride) -> RideBody:
        """The public face of a ride."""
        receipt = receipt_of(ride)
        return cls(
            ride_id=ride.ride_id,
            region_id=ride.region_id,
            state=ride.state,
            sequence=ride.sequence,
            rider_id=ride.rider_id,
            pickup=PointBody.of(ride.pickup),
            dropoff=PointBody.of(ride.dropoff),
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
            receipt=ReceiptBody.of(receipt) if receipt else None,
        )


class StatusRequest(Strict):
    """Go on or off shift."""

    status: Literal["online", "offline"]
    seats: Annotated[int, Field(ge=1, le=8)] = 4


class StatusBody(BaseModel):
    """The shift as it stands."""

    driver_id: str
    status: Literal["online", "offline"]
    seats: int
    changed_s: Seconds
    rating: Annotated[float | None, Field(description="your mean in stars; null for fewer than ten ratings")]

    @classmethod
    def of(cls, shift: Shift) -> StatusBody:
        """The public face of a shift."""
        rating = round(shift.stars_sum / shift.stars_count, 2) if shift.stars_count >= RATINGS_MIN else None
        return cls(
            driver_id=shift.driver_id,
            status=shift.status.value,
            seats=shift.seats,
            changed_s=shift.changed_s,
            rating=rating,
        )


class SurgeBody(BaseModel):
    """The multiplier that quotes in a cell get now."""

    cell: str
    multiplier: float
    bonus_cents: Annotated[int, Field(description="what any ride from here brings its driver on top, short or long")]
    updated_s: Annotated[float | None, Field(description="when it was last set; null if never")]


class PingsAccepted(BaseModel):
    """How many pings the broker has."""

    accepted: int


class BoundsBody(BaseModel):
    """The smallest box round all roads."""

    south: float
    west: float
    north: float
    east: float


class CityBody(BaseModel):
    """The city that is served."""

    region_id: str
    name: str
    timezone: str
    currency: str
    bounds_deg: BoundsBody
    attribution: str
    speed: Annotated[float, Field(description="city seconds in a second")]


class FiguresBody(BaseModel):
    """The figures beside the live map; null where there is nothing to count yet."""

    drivers_online: int
    drivers_idle: int
    drivers_busy: int
    requests_open: int
    rides_completed: int
    rides_cancelled: int
    rides_expired: int
    pickup_wait_mean_s: float | None
    pickup_wait_p95_s: float | None
    oldest_request_age_s: float | None
    pings_per_s: float
    round_ms_p50: float | None
    round_ms_p99: float | None
    surge_max: float


class AdviceBody(BaseModel):
    """Where an idle driver had better wait."""

    lat_deg: Latitude
    lng_deg: Longitude
    drive_s: Annotated[float, Field(description="seconds to drive there on empty roads")]
    given_s: Seconds
    expires_s: Annotated[float, Field(description="until then the place is kept for you; on the city's clock")]

    @classmethod
    def of(cls, advice: DriverAdvice) -> AdviceBody:
        """The public face of advice."""
        return cls(**asdict(advice))


class AdviceAnswer(BaseModel):
    """The advice that stands for a driver."""

    advice: AdviceBody | None


class RefusalBody(BaseModel):
    """Why a tariff file was not put in force."""

    file: str
    line: int
    key: str
    found: str
    expected: str


class TariffBody(BaseModel):
    """The tariff that quotes are given by."""

    region_id: str
    version: str
    currency: str
    refusal: Annotated[RefusalBody | None, Field(description="what is wrong with the file; null if it is in force")]
    content: Annotated[dict[str, object], Field(description="the tariff in force")]


class TotalsBody(BaseModel):
    """How far the streams are, since the stores were new."""

    events_committed: int
    events_published: int
    events_consumed: int
    pings_accepted: int
    pings_rejected: dict[str, int] = Field(description="by reason, behind the edge; replays are not counted")


class Health(BaseModel):
    """Whether a part answers."""

    status: Literal["ok", "failing"]
    checks: dict[str, str] = Field(default_factory=dict)
