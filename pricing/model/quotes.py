"""Bills, receipts and quotes. Money is in integer minor units of the region's currency."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.points import Place, Point


@dataclass(frozen=True, slots=True)
class Line:
    """One amount of a bill; what is taken off is negative."""

    name: str
    cents: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A price and the lines that add up to it."""

    price_cents: int
    lines: tuple[Line, ...]
    #: The tax in the price: the line "tax" where it is added, a part of the other lines where it is included.
    tax_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How a fare came about: what it was computed from, and its lines."""

    #: `Tariff.version`.
    tariff_version: str
    #: City time of the quote: surcharges by the hour go by it, also at the dropoff.
    quoted_s: float
    distance_m: float
    travel_time_s: float
    surge_multiplier: float
    lines: tuple[Line, ...]
    tax_cents: int
    #: Why the fare is another one than the quoted: `rules.dropoff.Change`; empty while it is the quoted one.
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A price held for one rider and one trip until `expires_s` (city time)."""

    quote_id: str
    region_id: str
    rider_id: str
    pickup: Point
    dropoff: Point
    #: The road nodes that the points were snapped to.
    pickup_node: int
    dropoff_node: int
    seats: int
    price_cents: int
    currency: str
    surge_multiplier: float
    distance_m: float
    travel_time_s: float
    tariff_version: str
    lines: tuple[Line, ...]
    tax_cents: int
    issued_s: float
    expires_s: float
    #: The map whose numbers the nodes are (`geo.places`); empty in quotes of before maps had ids.
    map_id: str = ""

    def __post_init__(self) -> None:
        for name in ("quote_id", "region_id", "rider_id"):
            if not getattr(self, name):
                raise ValueError(f"a quote needs a {name}")
        if self.seats < 1:
            raise ValueError(f"seats must be at least 1, not {self.seats}")
        _require_cents("price_cents", self.price_cents)
        if not self.expires_s > self.issued_s:
            raise ValueError(f"expires_s must be after issued_s ({self.issued_s}), not {self.expires_s}")

    @property
    def places(self) -> tuple[Place, Place]:
        """The pickup and the dropoff with the road nodes that they were snapped to."""
        ends = (self.pickup, self.pickup_node), (self.dropoff, self.dropoff_node)
        pickup, dropoff = (Place(point.lat_deg, point.lng_deg, node) for point, node in ends)
        return pickup, dropoff

    @property
    def receipt(self) -> Receipt:
        """How the price came about, for the ride to keep."""
        return Receipt(
            tariff_version=self.tariff_version,
            quoted_s=self.issued_s,
            distance_m=self.distance_m,
            travel_time_s=self.travel_time_s,
            surge_multiplier=self.surge_multiplier,
            lines=self.lines,
            tax_cents=self.tax_cents,
        )


def _require_cents(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number of minor units, such as 250, not {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, but is {value}")
