"""What a trip costs, as a region's file says it. Money is in integer minor units of the region's currency.

Everything here refuses nonsense at birth with `FieldWrong`, which names the key, what it is and what was expected.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from kernel.money import MINOR_UNIT_DIGITS
from pricing.errors import FieldWrong

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 86_400.0
#: Lines of a fare that surge can multiply; fees, surcharges and tax are never surged.
SURGEABLE = ("base", "distance", "time", "minimum")
ROUNDINGS = ("half_up", "half_even", "up")
PLACES = ("pickup", "dropoff", "either", "way")
TAX_ROUNDINGS = ("total", "line")
#: A signed quote names those that apply and has to fit into a request.
SURCHARGES_MAX = 20
#: Shares are whole numbers of these: percentages may have four decimals.
SHARE_UNITS = 1_000_000
_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_NAME_EXPECTED = "1 to 32 of a-z, 0-9, _ and -"


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A moment on the clocks of a region."""

    #: 0 is Monday.
    weekday: int
    second_of_day: float


@dataclass(frozen=True, slots=True)
class Zone:
    """A named set of cells, all of one resolution."""

    name: str
    resolution: int
    #: As hex, sorted.
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Surcharge:
    """An amount on top, where and when it applies: a night surcharge, an airport fee, a toll."""

    name: str
    #: One of the two: a fixed amount, or a percentage of base, distance, time and minimum as they are without surge.
    amount_cents: int = 0
    percent: float = 0.0
    #: A zone of the tariff; None for everywhere.
    zone: str | None = None
    #: What must lie in the zone: the pickup, the dropoff, either of them, or any crossing of the quickest way.
    at: str = "either"
    #: Days on which the hours begin; all of them if empty.
    weekdays: tuple[str, ...] = ()
    #: Local hours as seconds since midnight, the second one not included; both None for the whole day. An end before
    #: the beginning is on the next day.
    from_s: float | None = None
    until_s: float | None = None
    is_taxed: bool = True
    #: Passed on to the driver in full, as a toll is: no commission is taken of it.
    is_drivers: bool = False

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise FieldWrong("name", self.name, _NAME_EXPECTED)
        _require_cents(self, "amount_cents")
        _require_percent(self, "percent", 1000)
        if (self.amount_cents > 0) == (self.percent > 0):
            raise FieldWrong("percent", self.percent, "either percent or amount_cents above 0, and not both")
        _require_one_of(self, "at", PLACES)
        for day in self.weekdays:
            if day not in WEEKDAYS:
                raise FieldWrong("weekdays", day, f"some of {', '.join(WEEKDAYS)}")
        for name in ("is_taxed", "is_drivers"):
            _require_bool(self, name)
        self._check_hours()

    @property
    def share(self) -> int:
        """The percentage in `SHARE_UNITS`."""
        return _share(self.percent)

    def _check_hours(self) -> None:
        if (self.from_s is None) != (self.until_s is None):
            given = "from" if self.until_s is None else "until"
            raise FieldWrong(given, f"without {'until' if given == 'from' else 'from'}", "both or neither")
        if self.from_s is not None and self.from_s == self.until_s:
            raise FieldWrong("until", "the same as from", "another time; leave out both for the whole day")


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax on the fare and all that is taxed with it."""

    rate_percent: float
    #: The amounts of the tariff contain it already; if not, it is added as a line.
    is_included: bool
    #: Rounded to the minor unit once for the "total", or for each "line".
    rounded_per: str = "total"

    def __post_init__(self) -> None:
        _require_percent(self, "rate_percent", 100)
        _require_bool(self, "is_included")
        _require_one_of(self, "rounded_per", TAX_ROUNDINGS)

    @property
    def share(self) -> int:
        """The rate in `SHARE_UNITS`."""
        return _share(self.rate_percent)


@dataclass(frozen=True, slots=True)
class AtDropoff:
    """When the fare is computed anew at the dropoff, and by how much it may exceed the quote."""

    #: A dropoff no farther than this from the quoted one is the quoted one.
    place_tolerance_m: float = 300.0
    #: A trip as long as quoted within the larger of the two took as long as quoted.
    time_tolerance_share: float = 0.25
    time_tolerance_s: float = 180.0
    #: The fare exceeds the quote by at most this share of it, whatever happened.
    above_quote_share_max: float = 0.5
    #: Waiting at the pickup is free for so long, and costs so much from then on.
    waiting_free_s: float = 180.0
    waiting_per_minute_cents: int = 0

    def __post_init__(self) -> None:
        for name in ("place_tolerance_m", "time_tolerance_share", "time_tolerance_s", "waiting_free_s"):
            _require_number(self, name, 0, 1e6)
        _require_number(self, "above_quote_share_max", 0, 100)
        _require_cents(self, "waiting_per_minute_cents")


@dataclass(frozen=True, slots=True)
class NoShow:
    """How long a driver waits for a rider who does not come, and what that costs the rider."""

    #: From the driver's arrival until the driver may end the ride.
    wait_s: float = 300.0
    fee_cents: int = 0

    def __post_init__(self) -> None:
        _require_number(self, "wait_s", 0, 86_400)
        _require_cents(self, "fee_cents")


@dataclass(frozen=True, slots=True)
class DriverShare:
    """What the platform keeps and adds. Tolls pass to the driver in full, booking fees stay with the platform."""

    commission_percent: float = 0.0
    #: Of the surge line; the same as of the rest if None. 100 where drivers get an additive bonus instead.
    surge_commission_percent: float | None = None
    #: What a driver gets on top of a ride for each 1.00 of the pickup's multiplier above 1, however long the ride is.
    surge_bonus_cents: int = 0

    def __post_init__(self) -> None:
        _require_cents(self, "surge_bonus_cents")
        _require_percent(self, "commission_percent", 100)
        if self.surge_commission_percent is not None:
            _require_percent(self, "surge_commission_percent", 100)

    @property
    def commission_share(self) -> int:
        """The platform's share of the fare without surge, in `SHARE_UNITS`."""
        return _share(self.commission_percent)

    @property
    def surge_commission_share(self) -> int:
        """The platform's share of the surge line, in `SHARE_UNITS`."""
        percent = self.surge_commission_percent
        return self.commission_share if percent is None else _share(percent)


@dataclass(frozen=True)
class Tariff:
    """The tariff of a region; `pricing.rules.fares` says how it becomes a price."""

    #: ISO 4217, such as "USD".
    currency: str
    base_cents: int
    per_km_cents: int
    per_minute_cents: int
    #: The least that base, distance and time come to, surged or not.
    minimum_cents: int
    #: Prices are multiples of this; 1 keeps every minor unit.
    rounding_cents: int
    rounding: str = "half_up"
    booking_fee_cents: int = 0
    surge_on: tuple[str, ...] = SURGEABLE
    tax: Tax | None = None
    zones: tuple[Zone, ...] = ()
    surcharges: tuple[Surcharge, ...] = ()
    #: None: the quote's price is final.
    at_dropoff: AtDropoff | None = None
    #: None: the usual wait, and no fee.
    no_show: NoShow | None = None
    driver: DriverShare = field(default_factory=DriverShare)

    def __post_init__(self) -> None:
        if not (isinstance(self.currency, str) and self.currency in MINOR_UNIT_DIGITS):
            raise FieldWrong("currency", self.currency, "a currency of ISO 4217 in capital letters, such as USD")
        for name in ("base_cents", "per_km_cents", "per_minute_cents", "minimum_cents", "booking_fee_cents"):
            _require_cents(self, name)
        _require_cents(self, "rounding_cents", least=1)
        if self.minimum_cents % self.rounding_cents:
            expected = f"a multiple of rounding_cents, which is {self.rounding_cents}"
            raise FieldWrong("minimum_cents", self.minimum_cents, expected)
        _require_one_of(self, "rounding", ROUNDINGS)
        self._check_surged()
        self._check_surcharges()

    def _check_surged(self) -> None:
        for line in self.surge_on:
            if line not in SURGEABLE:
                raise FieldWrong("surge_on", line, f"some of {', '.join(SURGEABLE)}")
        if "minimum" in self.surge_on and not {"distance", "time"} <= set(self.surge_on):
            # The longer the trip, the less is missing to the minimum: its surge may not fall faster than others rise.
            raise FieldWrong(
                "surge_on", list(self.surge_on), "minimum only with distance and time, or longer trips may cost less"
            )

    def _check_surcharges(self) -> None:
        if len(self.surcharges) > SURCHARGES_MAX:
            raise FieldWrong("surcharges", f"{len(self.surcharges)} of them", f"at most {SURCHARGES_MAX}")
        zones, seen = [zone.name for zone in self.zones], set[str]()
        for number, surcharge in enumerate(self.surcharges):
            if surcharge.zone is not None and surcharge.zone not in zones:
                known = f"one of {', '.join(zones)}" if zones else "a zone: there is no [tariff.zones]"
                raise FieldWrong("zone", surcharge.zone, known, ("surcharges", number))
            if surcharge.name in seen:
                raise FieldWrong("name", surcharge.name, "another name: it is taken", ("surcharges", number))
            seen.add(surcharge.name)

    @cached_property
    def version(self) -> str:
        """Sixteen hex digits that stand for the whole content, and for no layout or comment of the file."""
        content_of = asdict(self)
        if self.no_show is None:  # a key that came later: a tariff without it keeps the version it had
            del content_of["no_show"]
        content = json.dumps(content_of, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _share(percent: float) -> int:
    """The share that a percentage names, in units: exactly what is written, not the double nearest to it."""
    return round(percent * (SHARE_UNITS // 100))


def zone_of(name: str, resolution_of: Mapping[str, int]) -> Zone:
    """The zone of these cells, each with its resolution. Raises FieldWrong."""
    if not _NAME.fullmatch(name):
        raise FieldWrong(name, "a zone of this name", _NAME_EXPECTED)
    resolutions = sorted(set(resolution_of.values()))
    if len(resolutions) != 1:
        found = f"of the resolutions {resolutions}" if resolutions else "empty"
        raise FieldWrong(name, found, "cells, all of one resolution")
    return Zone(name, resolutions[0], tuple(sorted(resolution_of)))


def _require_cents(owner: object, name: str, least: int = 0) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FieldWrong(name, value, f"a whole number of minor units, at least {least}")


def _require_number(owner: object, name: str, least: float, most: float) -> None:
    value = getattr(owner, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not least <= value <= most:
        raise FieldWrong(name, value, f"a number from {least:g} to {most:g}")


def _require_percent(owner: object, name: str, most: float) -> None:
    _require_number(owner, name, 0, most)
    value = getattr(owner, name)
    if round(value, 4) != value:
        raise FieldWrong(name, value, "a percentage of at most four decimals")


def _require_bool(owner: object, name: str) -> None:
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise FieldWrong(name, value, "true or false")


def _require_one_of(owner: object, name: str, known: Sequence[str]) -> None:
    value = getattr(owner, name)
    if value not in known:
        raise FieldWrong(name, value, f"one of {', '.join(known)}")
