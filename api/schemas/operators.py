"""Bodies of the operator routes: the city, its figures and its tariff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from pydantic import BaseModel, Field

from geo.city import City
from kernel.money import MINOR_UNIT_DIGITS
from pricing.service.tariff_watch import TariffWatch

#: Prefix of the ingester's counters of rejected pings.
REJECTED_PREFIX = "pings_rejected:"


class BoundsBody(BaseModel):
    """The bounding box of all roads."""

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
    minor_unit_digits: Annotated[int, Field(description="decimals of the currency: 0 for JPY, 2 for USD, 3 for KWD")]
    bounds_deg: BoundsBody
    attribution: str
    speed: Annotated[float, Field(description="city seconds per wall second")]

    @classmethod
    def of(cls, city: City, speed: float) -> CityBody:
        """Convert a city."""
        region = city.region
        return cls(
            region_id=region.region_id,
            name=region.name,
            timezone=region.timezone,
            currency=region.currency,
            minor_unit_digits=MINOR_UNIT_DIGITS[region.currency],
            bounds_deg=BoundsBody(**city.bounds_deg),
            attribution=region.attribution,
            speed=speed,
        )


class FiguresBody(BaseModel):
    """The figures beside the live map; null where there is no data yet."""

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
    rides_age_s: Annotated[
        float, Field(description="seconds that the counts and waits of rides may be old; more than 0 from a replica")
    ]


class RefusalBody(BaseModel):
    """Why a tariff file was not put in force."""

    file: str
    line: int
    key: str
    found: str
    expected: str


class TariffBody(BaseModel):
    """The tariff that quotes are calculated with."""

    region_id: str
    version: str
    currency: str
    refusal: Annotated[RefusalBody | None, Field(description="what is wrong with the file; null if it is in force")]
    content: Annotated[dict[str, object], Field(description="the tariff in force")]

    @classmethod
    def of(cls, region_id: str, watch: TariffWatch) -> TariffBody:
        """Convert the tariff in force."""
        tariff, refusal = watch.tariff, watch.refusal
        return cls(
            region_id=region_id,
            version=tariff.version,
            currency=tariff.currency,
            refusal=RefusalBody(**vars(refusal)) if refusal else None,
            content=msgspec.to_builtins(tariff),
        )


class TotalsBody(BaseModel):
    """Progress of the streams since the stores were created."""

    events_committed: int
    events_published: int
    events_consumed: int
    pings_accepted: int
    pings_rejected: dict[str, int] = Field(description="by the ingester, by reason; replays are not counted")

    @classmethod
    def of(cls, committed: int, published: int, totals: Mapping[str, int]) -> TotalsBody:
        """Convert the outbox's progress and the counters of the region."""
        return cls(
            events_committed=committed,
            events_published=published,
            events_consumed=totals.get("ride_events_consumed", 0),
            pings_accepted=totals.get("pings_accepted", 0),
            pings_rejected={
                name.removeprefix(REJECTED_PREFIX): count
                for name, count in sorted(totals.items())
                if name.startswith(REJECTED_PREFIX)
            },
        )
